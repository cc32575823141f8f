//! The two reads of each request: the session's stamps from Redis, and the account.
//!
//! Both come from this process's memory for as long as Redis tells of no change ([`redis_link`]), and for [`LIFETIME`] at
//! most: whatever happens to the link, what has changed is seen by then. The account's next place is its copy in Redis
//! ([`user_copies`]), its last one Postgres ([`user_reads`]), which is the truth: without it, and unless it tells us of
//! changes ([`user_changes`]), no copy is taken.
//!
//! [`redis_link`]: super::redis_link
//! [`user_changes`]: super::user_changes
//! [`user_reads`]: super::user_reads

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::recent::Recent;
use super::redis_link::{Change, Redis, RedisConfig};
use super::sessions::{SessionId, Stamps};
use super::user_reads::UserReads;
use super::users::User;
use super::{StoreError, sessions, user_copies};

/// How long a value is taken from memory. With the way of a request it stays below two seconds.
const LIFETIME: Duration = Duration::from_millis(1500);

/// Sessions, and accounts, that are remembered: about 200 and 400 bytes each.
const REMEMBERED_MAX: usize = 32_768;

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
    is_told: Arc<AtomicBool>,
}

impl Reads {
    /// Makes the link to Redis, too: the reads are told what changes there.
    pub fn start(config: &RedisConfig, postgres: UserReads) -> Result<(Self, Redis), StoreError> {
        let memory = Arc::new(Memory {
            sessions: Recent::new(REMEMBERED_MAX, LIFETIME, config.timeout),
            users: Recent::new(REMEMBERED_MAX, LIFETIME, config.timeout),
        });
        let told = Arc::clone(&memory);
        let redis = Redis::connect(config, move |change| told.forget(&change))?;
        Ok((Self { redis: redis.clone(), postgres, memory, is_told: Arc::default() }, redis))
    }

    /// The stamps of a session; `None` if it is over.
    pub async fn stamps(&self, id: SessionId) -> Result<Option<Stamps>, StoreError> {
        self.memory.sessions.get(&id, async || sessions::stamps(&self.redis, id).await).await
    }

    /// The account, or `None` if there is none.
    pub async fn user(&self, id: Uuid) -> Result<Option<Arc<User>>, StoreError> {
        let read = async || {
            let copy = user_copies::read(&self.redis, id).await?.filter(|_| self.is_told.load(Ordering::Relaxed));
            match copy {
                Some(user) => Ok(Some(Arc::new(user))),
                None => self.user_from_postgres(id).await,
            }
        };
        self.memory.users.get(&id, read).await
    }

    /// Both, past what is remembered, the account first.
    ///
    /// A session's new stamp is announced to Redis before it is committed to Postgres, so that in this order what belongs
    /// together is seen together.
    pub async fn anew(&self, id: SessionId) -> Result<(Option<Stamps>, Option<Arc<User>>), StoreError> {
        self.forget_user(id.user_id);
        let user = self.user_from_postgres(id.user_id).await?;
        self.memory.sessions.forget(&id);
        Ok((self.stamps(id).await?, user))
    }

    async fn user_from_postgres(&self, id: Uuid) -> Result<Option<Arc<User>>, StoreError> {
        let user = self.postgres.find(id).await?;
        if let Some(user) = &user {
            user_copies::put(&self.redis, user).await?;
        }
        Ok(user.map(Arc::new))
    }

    /// Whether Postgres tells us of changes. While it does not, or is away, no copy is taken for the truth.
    pub fn set_told(&self, is_told: bool) {
        if self.is_told.swap(is_told, Ordering::Relaxed) != is_told {
            self.memory.users.forget_all();
        }
    }

    /// An account is about to have this version: no replica takes an older one from Redis any more.
    pub async fn announce(&self, id: Uuid, version: i64) -> Result<(), StoreError> {
        user_copies::announce(&self.redis, id, version).await
    }

    /// An account has changed, and is this now. Every replica sees it, this one at once.
    pub async fn changed(&self, user: &User) {
        // Failing, it leaves what was announced: no replica keeps an older row for longer than LIFETIME.
        if let Err(error) = user_copies::put(&self.redis, user).await {
            tracing::warn!(%error, "the change of an account is not told to other replicas");
        }
        self.forget_user(user.id);
    }

    /// An account has changed to this version, or is gone with it. Every replica sees it, this one at once.
    pub async fn changed_to(&self, id: Uuid, version: i64) {
        if let Err(error) = user_copies::announce(&self.redis, id, version).await {
            tracing::warn!(%error, "the change of an account is not told to other replicas");
        }
        self.forget_user(id);
    }

    /// This process has changed a session.
    pub fn forget_session(&self, id: SessionId) {
        self.memory.sessions.forget(&id);
    }

    fn forget_user(&self, id: Uuid) {
        self.memory.users.forget(&id);
    }
}
