//! Everything that handlers share.

use std::net::SocketAddr;

use shared::clock::Clock;
use shared::random::Random;
use shared::secret::{Secret, SecretError};

use crate::config::Config;
use crate::error::Error;
use crate::form::FormParser;
use crate::hashing::Hashing;
use crate::login_throttle::LoginThrottle;
use crate::pictures::client::MediaClient;
use crate::redis_client::Redis;
use crate::request_limits::RequestLimits;
use crate::store::StoreError;
use crate::store::cache::user_loader::UserLoader;
use crate::store::cache::{SessionCache, UserCache};
use crate::store::migrations::MigrationError;
use crate::store::postgres::Postgres;
use crate::tokens::{KeyError, Tokens};

/// The state of the service.
pub struct App {
    pub config: Config,
    pub clock: Clock,
    pub random: Random,
    pub postgres: Postgres,
    pub users: UserCache,
    pub session_cache: SessionCache,
    pub redis: Redis,
    pub login_throttle: LoginThrottle,
    pub request_limits: RequestLimits,
    pub hashing: Hashing,
    pub tokens: Tokens,
    pub media: MediaClient,
    pub forms: FormParser,
}

/// Why auth-api does not start: one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("MEDIA_SECRET_FILE: {0}")]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error("LISTEN: can't listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    #[error("can't start the threads that parse bodies: {0}")]
    Threads(std::io::Error),
    #[error("{0}: see DATABASE_URL and DATABASE_PASSWORD_FILE")]
    Postgres(Error),
    #[error("{0}: see REDIS_URL and REDIS_PASSWORD_FILE")]
    Redis(StoreError),
    #[error("{0}")]
    MediaServer(Error),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Migrations(#[from] MigrationError),
    #[error("{0}")]
    Other(#[from] Error),
}

impl App {
    /// Creates the parts. Postgres, Redis and media-server need not be available yet.
    pub fn new(config: Config, clock: Clock, random: Random) -> Result<Self, StartError> {
        let secret = Secret::read(&config.media_secret_file)?;
        let postgres = Postgres::new(&config.postgres)?;
        let user_loader = UserLoader::start(postgres.clone(), config.store_timeout);
        let (session_cache, redis) = SessionCache::connect(&config.redis);
        Ok(Self {
            users: UserCache::new(user_loader, config.store_timeout),
            session_cache,
            login_throttle: LoginThrottle::new(redis.clone(), random.clone(), config.login_throttle.clone()),
            request_limits: RequestLimits::new(redis.clone(), random.clone(), config.request_limits),
            redis,
            hashing: Hashing::start(&config.hashing, random.clone())?,
            tokens: Tokens::open(config.tokens.clone(), clock.clone(), &random)?,
            media: MediaClient::new(&config.media, &secret)?,
            forms: FormParser::start(config.body_limits.clone()).map_err(StartError::Threads)?,
            postgres,
            config,
            clock,
            random,
        })
    }
}
