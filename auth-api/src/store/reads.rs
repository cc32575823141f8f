//! The two reads of each request: the session's stamps from Redis, and the account.
//!
//! Both come from this process's memory for as long as Redis is known to tell of changes and tells of none ([`redis_link`],
//! [`lease`]): whatever happens to the link, what has changed is seen within [`lease::TERM`]. The account's next place is its
//! copy in Redis ([`user_copies`]), its last one Postgres ([`user_reads`]), which is the truth: without it, and unless it
//! tells us of changes ([`user_changes`]), no copy is taken.
//!
//! [`redis_link`]: super::redis_link
//! [`lease`]: super::lease
//! [`lease::TERM`]: super::lease::TERM
//! [`user_changes`]: super::user_changes
//! [`user_reads`]: super::user_reads

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use uuid::Uuid;

use super::lease::{Lease, Moment, TERM, Validity};
use super::recent::{Kept, Recent};
use super::redis_link::{Change, Redis, RedisConfig, Tracked};
use super::sessions::{SessionId, Stamps};
use super::user_reads::UserReads;
use super::users::User;
use super::{StoreError, sessions, user_copies};

/// Sessions, and accounts, that are remembered: about 250 and 500 bytes each.
const REMEMBERED_MAX: usize = 32_768;

/// Then a value is read anew though it has not changed: Redis tells of everything but SWAPDB.
const LIFETIME: Duration = Duration::from_mins(1);

/// What was read lately.
#[derive(Debug)]
struct Memory {
    sessions: Recent<SessionId, Option<Stamps>>,
    users: Recent<Uuid, Option<Arc<User>>>,
}

impl Memory {
    fn forget(&self, change: &Change) {
        match change {
            Change::Of(key) => {
                if let Some(id) = SessionId::of_key(key) {
                    self.sessions.forget(&id);
                } else if let Some(id) = user_copies::id_of(key) {
                    self.users.forget(&id);
                }
            }
            Change::Any => {
                self.sessions.forget_all();
                self.users.forget_all();
            }
        }
    }
}

/// Where to read. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reads {
    redis: Redis,
    postgres: UserReads,
    memory: Arc<Memory>,
    told: Arc<RwLock<Option<Told>>>,
    copy_lifetime: Duration,
}

/// Postgres tells us of changes of accounts.
#[derive(Clone, Debug)]
struct Told {
    lease: Lease,
    /// From then on no copy in Redis is of before we were told: somebody may have changed a row while nobody listened.
    believes_copies: Moment,
}

impl Reads {
    /// Makes the link to Redis, too: the reads are told what changes there. Copies are kept for `copy_lifetime`.
    pub fn start(
        config: &RedisConfig,
        copy_lifetime: Duration,
        postgres: UserReads,
    ) -> Result<(Self, Redis), StoreError> {
        let memory = Arc::new(Memory {
            sessions: Recent::new(REMEMBERED_MAX, config.timeout),
            users: Recent::new(REMEMBERED_MAX, config.timeout),
        });
        let told = Arc::clone(&memory);
        let redis = Redis::connect(config, move |change| told.forget(&change))?;
        Ok((Self { redis: redis.clone(), postgres, memory, told: Arc::default(), copy_lifetime }, redis))
    }

    /// The stamps of a session; `None` if it is over.
    pub async fn stamps(&self, id: SessionId) -> Result<Arc<Kept<Option<Stamps>>>, StoreError> {
        self.memory.sessions.get(&id, async || sessions::stamps(&self.redis, id).await).await
    }

    /// The account, or `None` if there is none.
    pub async fn user(&self, id: Uuid) -> Result<Arc<Kept<Option<Arc<User>>>>, StoreError> {
        self.memory.users.get(&id, async || self.read_user(id).await).await
    }

    async fn read_user(&self, id: Uuid) -> Result<(Option<Arc<User>>, Validity), StoreError> {
        let asked = Moment::now();
        // Before the copy is read: what was promised later says nothing of it.
        let told = self.told();
        // The copy is read though it may not be believed: so we are told when it changes.
        let Tracked { value: copy, expires, lease } = user_copies::read(&self.redis, id).await?;
        match (told, lease) {
            (Some(told), Some(lease)) => {
                let (user, until) = match copy {
                    Some(user) if told.believes_copies.is_over() => {
                        (Some(Arc::new(user)), expires.min(asked.after(LIFETIME)))
                    }
                    copy => (self.user_from_postgres(id, copy).await?, asked.after(LIFETIME)),
                };
                Ok((user, Validity::leased(until, [Some(lease), Some(told.lease)])))
            }
            _ => Ok((self.user_from_postgres(id, copy).await?, Validity::until(asked.after(TERM)))),
        }
    }

    /// Both, past what is remembered, the account first.
    ///
    /// A session's new stamp is announced to Redis before it is committed to Postgres, so that in this order what belongs
    /// together is seen together.
    pub async fn anew(&self, id: SessionId) -> Result<(Option<Stamps>, Option<Arc<User>>), StoreError> {
        self.forget_user(id.user_id);
        let user = self.user_from_postgres(id.user_id, None).await?;
        self.memory.sessions.forget(&id);
        Ok((*self.stamps(id).await?.value(), user))
    }

    /// Reads the row, and makes a copy of it, unless `copy` is one.
    async fn user_from_postgres(&self, id: Uuid, copy: Option<User>) -> Result<Option<Arc<User>>, StoreError> {
        let user = self.postgres.find(id).await?;
        if let Some(user) = &user
            && copy.is_none_or(|copy| copy.version != user.version)
        {
            user_copies::put(&self.redis, user, self.copy_lifetime).await?;
        }
        Ok(user.map(Arc::new))
    }

    /// Postgres tells us of changes from now on, for as long as `lease` holds. While it does not, no copy is taken for the
    /// truth, and what is remembered is as good as gone.
    pub fn set_told(&self, lease: Lease) {
        let told = Told { lease, believes_copies: Moment::now().after(self.copy_lifetime) };
        *self.told.write().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }

    /// How long a copy in Redis is good, at most.
    pub fn copy_lifetime(&self) -> Duration {
        self.copy_lifetime
    }

    fn told(&self) -> Option<Told> {
        let told = self.told.read().unwrap_or_else(PoisonError::into_inner).clone();
        told.filter(|told| told.lease.is_held())
    }

    /// An account is about to have this version: no replica takes an older one from Redis any more.
    pub async fn announce(&self, id: Uuid, version: i64) -> Result<(), StoreError> {
        user_copies::announce(&self.redis, id, version).await
    }

    /// An account has changed, and is this now. Every replica sees it, this one at once.
    pub async fn changed(&self, user: &User) {
        // Failing, it leaves what was announced: there is no copy.
        if let Err(error) = user_copies::put(&self.redis, user, self.copy_lifetime).await {
            tracing::warn!(%error, "an account that has changed is read from Postgres");
        }
        self.forget_user(user.id);
    }

    /// An account has changed to this version, or is gone with it. Every replica sees it, this one at once.
    ///
    /// Fails where Redis may hold a copy of before the change still.
    pub async fn changed_to(&self, id: Uuid, version: i64) -> Result<(), StoreError> {
        self.forget_user(id);
        let announced = user_copies::announce(&self.redis, id, version).await;
        self.forget_user(id);
        announced
    }

    /// This process has changed a session.
    pub fn forget_session(&self, id: SessionId) {
        self.memory.sessions.forget(&id);
    }

    fn forget_user(&self, id: Uuid) {
        self.memory.users.forget(&id);
    }
}
