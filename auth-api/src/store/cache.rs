//! Cache of what every request reads: its session's password stamps, from Redis, and its user, from Postgres.
//!
//! | module | what it is |
//! | --- | --- |
//! | `local` | in-process cache with single-flight loading |
//! | `freshness` | staleness bound of an entry |
//! | [`user_loader`] | batched `SELECT` of users |
//! | [`listener`] | invalidations from Postgres, by LISTEN/NOTIFY |
//!
//! Redis sends the invalidations of sessions (client-side caching, [`crate::redis_client`]). A change is visible on every
//! replica at once as a rule, and within 2 s always: an entry is served only under the [lease](crate::lease) of the
//! connection that delivers its invalidations.

mod freshness;
pub mod listener;
mod local;
pub mod user_loader;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use self::freshness::{CacheEntry, MAX_AGE};
use self::local::LocalCache;
use self::user_loader::UserLoader;
use super::StoreError;
use super::sessions::{self, SessionId, SessionStamps};
use super::users::User;
use crate::lease::{LEASE_TTL, Lease};
use crate::redis_client::{Invalidation, Redis, RedisConfig};

/// Maximum entries of each cache, of about 250 bytes for a session and 500 for a user.
const ENTRIES_MAX: usize = 32_768;

/// Read-through cache of sessions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SessionCache {
    redis: Redis,
    entries: Arc<LocalCache<SessionId, Option<SessionStamps>>>,
}

impl SessionCache {
    /// Connects to Redis, which sends the invalidations. Returns the client, too.
    pub fn connect(config: &RedisConfig) -> (Self, Redis) {
        let entries = Arc::new(LocalCache::new(ENTRIES_MAX, config.timeout));
        let invalidated = Arc::clone(&entries);
        let redis = Redis::connect(config, move |invalidation| match invalidation {
            Invalidation::Key(key) => {
                SessionId::of_key(&key).inspect(|id| invalidated.invalidate(id));
            }
            Invalidation::All => invalidated.clear(),
        });
        (Self { redis: redis.clone(), entries }, redis)
    }

    /// Returns the password stamps of a session, or `None` if it has ended; at most 2 s stale.
    pub async fn stamps(&self, id: SessionId) -> Result<Option<SessionStamps>, StoreError> {
        self.entries.get(&id, async || self.load(id).await).await
    }

    async fn load(&self, id: SessionId) -> Result<CacheEntry<Option<SessionStamps>>, StoreError> {
        let started = Instant::now();
        let read = sessions::read_stamps(&self.redis, id).await?;
        Ok(match read.lease {
            Some(lease) => CacheEntry::leased(read.value, started + read.ttl.min(MAX_AGE), lease),
            None => CacheEntry::expiring(read.value, started),
        })
    }

    /// Reads a session past the cache.
    pub async fn reload(&self, id: SessionId) -> Result<Option<SessionStamps>, StoreError> {
        self.invalidate(id);
        self.stamps(id).await
    }

    /// Invalidates a session that this replica has changed.
    pub fn invalidate(&self, id: SessionId) {
        self.entries.invalidate(&id);
    }
}

/// Limit of the wait for the notification of this replica's own change.
const NOTIFICATION_WAIT: Duration = Duration::from_millis(100);

/// Buffered notifications. A change that misses its own because of an overflow stops waiting.
const NOTIFICATIONS_MAX: usize = 256;

/// Read-through cache of users. Cheap to clone.
#[derive(Clone, Debug)]
pub struct UserCache(Arc<Users>);

#[derive(Debug)]
struct Users {
    loader: UserLoader,
    entries: LocalCache<Uuid, Option<Arc<User>>>,
    /// Valid while Postgres notifies this replica of changes.
    subscription: Lease,
    /// Id and version of each change that Postgres has notified this replica of.
    notifications: Sender<(Uuid, i64)>,
}

impl UserCache {
    /// A cache that reads through `loader`. Until a [`listener`] runs, entries expire after [`LEASE_TTL`].
    pub fn new(loader: UserLoader, load_timeout: Duration) -> Self {
        Self(Arc::new(Users {
            loader,
            entries: LocalCache::new(ENTRIES_MAX, load_timeout),
            subscription: Lease::expired(),
            notifications: channel(NOTIFICATIONS_MAX).0,
        }))
    }

    /// Returns the user, or `None` if there is none with this id; at most 2 s stale.
    pub async fn get(&self, id: Uuid) -> Result<Option<Arc<User>>, StoreError> {
        self.0.entries.get(&id, async || self.load(id).await).await
    }

    async fn load(&self, id: Uuid) -> Result<CacheEntry<Option<Arc<User>>>, StoreError> {
        let started = Instant::now();
        // Before the read: a subscription that starts later does not cover it.
        let is_subscribed = self.0.subscription.is_valid_at(started);
        let user = self.0.loader.load(id).await?.map(Arc::new);
        Ok(if is_subscribed {
            CacheEntry::leased(user, started + MAX_AGE, self.0.subscription.clone())
        } else {
            CacheEntry::expiring(user, started + LEASE_TTL)
        })
    }

    /// Reads a user past the cache.
    pub async fn reload(&self, id: Uuid) -> Result<Option<Arc<User>>, StoreError> {
        self.0.entries.invalidate(&id);
        self.get(id).await
    }

    /// To be called before the commit that changes the user to `version`, or deletes it with that version.
    #[must_use = "invalidate the user after the commit"]
    pub fn begin_change(&self, id: Uuid, version: i64) -> UserChange {
        let is_subscribed = self.0.subscription.is_valid_at(Instant::now());
        let notifications = is_subscribed.then(|| self.0.notifications.subscribe());
        UserChange { users: self.clone(), id, version, notifications }
    }

    fn subscribed(&self) {
        // Changes before the subscription sent no invalidation, and the lease must not make their entries fresh again.
        self.0.entries.clear();
    }

    fn unsubscribed(&self) {
        self.0.subscription.end();
    }

    fn heartbeat_received(&self, sent: Instant) {
        self.0.subscription.renew(sent);
    }

    fn notified(&self, id: Uuid, version: i64) {
        self.0.entries.invalidate(&id);
        // Fails where no change waits.
        let _ = self.0.notifications.send((id, version));
    }
}

/// A change of a user by this replica, from before its commit.
#[derive(Debug)]
pub struct UserChange {
    users: UserCache,
    id: Uuid,
    version: i64,
    notifications: Option<Receiver<(Uuid, i64)>>,
}

impl UserChange {
    /// Invalidates the user after the commit: here at once, on the other replicas as a rule before this returns.
    ///
    /// Postgres notifies all replicas at the commit. So this waits for the notification of this replica, for 100 ms at most:
    /// then the others have theirs, too, and a client that has the response reads its change from any of them.
    pub async fn committed(self) {
        self.users.0.entries.invalidate(&self.id);
        let Some(mut notifications) = self.notifications else { return };
        let arrival = async {
            loop {
                match notifications.recv().await {
                    Ok((id, version)) if id == self.id && version >= self.version => return,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_) | RecvError::Closed) => return,
                }
            }
        };
        if timeout(NOTIFICATION_WAIT, arrival).await.is_err() {
            tracing::debug!(user_id = %self.id, "no notification of a change from Postgres within 100 ms");
        }
    }
}
