//! A running stack with users and sessions.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use auth_api::config::Config;
use auth_api::redis_client::Redis;
use auth_api::store::sessions::{self, NewSession};
use auth_api::tokens::{IssueTimes, TokenConfig, TokenPair, Tokens, refresh_digests};
use deploy::{Interrupt, Options, Service, Stack};
use shared::clock::Clock;
use shared::random::Random;
use shared::settings::Settings;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::error::Error;
use crate::harness::population::{self, SessionKind, Size};

/// A stack with users and sessions. Dropping it stops it in order.
pub struct Deployment {
    stack: Option<Stack>,
    pub size: Size,
    /// Settings of auth-api.
    pub config: Arc<Config>,
    tokens: Tokens,
    access_tokens: OnceCell<Vec<String>>,
}

/// Longer than the longest run.
const ACCESS_LIFETIME: Duration = Duration::from_hours(12);

impl Deployment {
    /// Starts a stack with its state in `data`, and loads missing users and sessions.
    pub fn start(runtime: &Runtime, data: &Path, size: Size, interrupt: Interrupt) -> Result<Self, Error> {
        let progress = |doing: &str| eprintln!("{doing} …");
        let stack = Stack::start(Options { interrupt, progress, ..Options::new(data)? })?;
        let config = Arc::new(config(&stack, data)?);
        let lasting = TokenConfig { access_lifetime: ACCESS_LIFETIME, ..config.tokens.clone() };
        let tokens = Tokens::open(lasting, Clock::system(), &Random::system())?;
        let deployment = Self { stack: Some(stack), size, config, tokens, access_tokens: OnceCell::new() };
        runtime.block_on(async {
            population::ensure_users(&deployment.config, size).await?;
            deployment.make_sessions().await
        })?;
        Ok(deployment)
    }

    /// Returns the stack.
    pub fn stack(&self) -> Result<&Stack, Error> {
        self.stack.as_ref().ok_or(Error::Stack(deploy::Error::NotRunning(Service::AuthApi.name())))
    }

    /// Connects to Redis as auth-api does.
    pub fn redis(&self) -> Result<Redis, Error> {
        Ok(Redis::connect(&self.config.redis, |_| ()))
    }

    /// Returns access tokens of all active sessions; the same for all rows, as a client reuses its token.
    pub fn access_tokens(&self) -> Result<&[String], Error> {
        if let Some(signed) = self.access_tokens.get() {
            return Ok(signed);
        }
        let tokens = self.size.active_users().map(|user| Ok(self.pair(user, SessionKind::Counted)?.access));
        let signed = tokens.collect::<Result<_, Error>>()?;
        Ok(self.access_tokens.get_or_init(|| signed))
    }

    /// Creates a session again and returns its refresh token.
    pub async fn make_session(&self, redis: &Redis, user: u32, kind: SessionKind) -> Result<String, Error> {
        create(redis, &self.config, user, kind).await?;
        Ok(self.pair(user, kind)?.refresh)
    }

    /// Returns the first token pair of a session.
    fn pair(&self, user: u32, kind: SessionKind) -> Result<TokenPair, Error> {
        let now = Clock::system().unix_seconds();
        let times = IssueTimes { refresh: now, access: now, session_ends_at: u64::MAX };
        Ok(self.tokens.pair(population::session(user, kind), population::first_jti(user, kind), times)?)
    }

    /// Deletes all sessions and creates them again, in the current format of auth-api.
    async fn make_sessions(&self) -> Result<(), Error> {
        let redis = self.redis()?;
        rewrite_aof_now_and_disable_rewrites(&redis).await?;
        redis::cmd("FLUSHDB").exec_async(&mut redis.clone()).await?;
        let mut tasks = JoinSet::new();
        let users: Vec<u32> = self.size.signed_in().collect();
        for users in users.chunks(users.len().div_ceil(PIPELINED).max(1)) {
            let (redis, config, users) = (redis.clone(), Arc::clone(&self.config), users.to_vec());
            tasks.spawn(async move {
                for user in users {
                    create(&redis, &config, user, SessionKind::Counted).await?;
                }
                Ok::<_, Error>(())
            });
        }
        while let Some(made) = tasks.join_next().await {
            made.map_err(Error::client)??;
        }
        Ok(())
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if let Some(stack) = self.stack.take() {
            stack.shutdown();
        }
    }
}

/// Redis rewrites its append-only file when it has doubled in size, which would disturb a measurement.
async fn rewrite_aof_now_and_disable_rewrites(redis: &Redis) -> Result<(), Error> {
    redis::cmd("CONFIG").arg(&["SET", "auto-aof-rewrite-percentage", "0"]).exec_async(&mut redis.clone()).await?;
    // Fails if a rewrite is in progress already.
    let _ = redis::cmd("BGREWRITEAOF").exec_async(&mut redis.clone()).await;
    while redis::cmd("INFO")
        .arg("persistence")
        .query_async::<String>(&mut redis.clone())
        .await?
        .contains("aof_rewrite_in_progress:1")
    {
        sleep(REWRITE_POLL).await;
    }
    Ok(())
}

/// Pause between two checks whether the rewrite has ended.
const REWRITE_POLL: Duration = Duration::from_millis(100);

/// Sessions created concurrently, in one pipeline.
const PIPELINED: usize = 512;

async fn create(redis: &Redis, config: &Config, user: u32, kind: SessionKind) -> Result<(), Error> {
    let new = NewSession {
        id: population::session(user, kind),
        digests: &refresh_digests(population::first_jti(user, kind)),
        stamp: population::stamp(user),
        lifetime: config.tokens.refresh_lifetime,
        ip: [127, 0, 0, 1].into(),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    };
    sessions::create(redis, &new, config.sessions_max).await?;
    Ok(())
}

/// Returns the settings of the stack's auth-api.
fn config(stack: &Stack, data: &Path) -> Result<Config, Error> {
    let env = stack.env();
    let keys: PathBuf = data.join("keys");
    let mut settings = Settings::given([
        ("DATABASE_URL", env.postgres.as_str()),
        ("REDIS_URL", &env.redis_url()),
        ("TOKEN_KEYS_DIR", &keys.to_string_lossy()),
        ("REFRESH_SECRET_FILE", &keys.join("refresh-secret").to_string_lossy()),
    ]);
    Ok(Config::read(&mut settings)?)
}
