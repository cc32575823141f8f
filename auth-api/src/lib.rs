//! auth-api: credentials and tokens.
//!
//! The way of a request: [`shared::http::serve`] → [`routes`] → a handler ([`accounts`], [`sessions`]) → [`caller`] (who
//! calls) → [`fields`] and [`domain`] (what they ask) → [`throttle`], [`hashing`], [`pictures`], [`store`] → [`error`], once.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`config`] | every setting, its default and its unit |
//! | [`routes`] | one table |
//! | [`accounts`], [`sessions`], [`jwks`] | a module per noun, a function per verb |
//! | [`caller`] | the only place where a [`caller::Caller`] is made |
//! | [`domain`] | e-mail, name, password, picture: parse or refuse; knows no HTTP and no store |
//! | [`tokens`] | signing, reading, keys and their rotation |
//! | [`passwords`] | the one place that checks a password |
//! | [`throttle`] | how many passwords may be tried |
//! | [`request_limits`] | how many accounts may be made, and addresses probed |
//! | [`hashing`] | Argon2id on bounded threads |
//! | [`redis_client`], [`lease`] | the Redis client; leases that bound the staleness of caches |
//! | [`store`] | every SQL statement and Redis command; knows no HTTP |
//! | [`media`], [`pictures`] | the client of media-server, and what keeps it and Postgres of one mind |
//! | [`error`] | what can go wrong, and the one place where it becomes an answer |

pub mod accounts;
pub mod caller;
pub mod config;
pub mod domain;
pub mod error;
pub mod fields;
pub mod hashing;
pub mod jwks;
pub mod lease;
pub mod media;
pub mod passwords;
pub mod pictures;
pub mod readiness;
pub mod redis_client;
pub mod request_limits;
pub mod routes;
pub mod sessions;
pub mod store;
pub mod throttle;
pub mod tokens;

use shared::clock::Clock;
use shared::http::body::BodyLimits;
use shared::random::Random;

use config::Config;
use fields::Bodies;
use hashing::Hashing;
use media::MediaServer;
use redis_client::Redis;
use request_limits::RequestLimits;
use store::cache::user_loader::UserLoader;
use store::cache::{SessionCache, UserCache};
use throttle::Throttle;
use tokens::Tokens;

/// All that a handler needs.
pub struct App {
    /// The settings.
    pub config: Config,
    /// The time.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
    /// Connections to Postgres.
    pub postgres: deadpool_postgres::Pool,
    /// Read-through cache of users.
    pub users: UserCache,
    /// Read-through cache of sessions.
    pub session_cache: SessionCache,
    /// The Redis client.
    pub redis: Redis,
    /// How many passwords may be tried.
    pub throttle: Throttle,
    /// Limits of registrations and of probes of addresses.
    pub request_limits: RequestLimits,
    /// The hashing threads.
    pub hashing: Hashing,
    /// Signs and reads tokens.
    pub tokens: Tokens,
    /// The client of media-server.
    pub media: MediaServer,
    /// Receives and parses bodies.
    pub bodies: Bodies,
}

/// Why auth-api does not start: one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The two services' secret.
    #[error("MEDIA_SECRET_FILE: {0}")]
    Secret(#[from] shared::secret::SecretError),
    /// The keys of tokens.
    #[error("TOKEN_KEYS_DIR or TOKEN_SECRET_FILE: {0}")]
    Keys(#[from] tokens::KeyError),
    /// The address to listen on.
    #[error("LISTEN: can't listen on {0}: {1}")]
    Listen(std::net::SocketAddr, std::io::Error),
    /// The operating system starts no thread.
    #[error("can't start the threads that parse bodies: {0}")]
    Threads(std::io::Error),
    /// Anything else.
    #[error("{0}")]
    Other(#[from] error::Error),
    /// A store that can't even be addressed.
    #[error("{0}")]
    Store(#[from] store::StoreError),
    /// The schema.
    #[error("{0}")]
    Migrations(#[from] store::migrations::MigrationError),
    /// Somebody whom it asks does not let it in.
    #[error("{0}")]
    Refused(#[from] readiness::Refused),
}

/// A random id, of an account, a session or a token.
pub fn new_uuid(random: &Random) -> uuid::Uuid {
    uuid::Builder::from_random_bytes(random.bytes()).into_uuid()
}

impl App {
    /// Puts the parts together. Postgres, Redis and media-server need not be there yet.
    pub fn new(config: Config, clock: Clock, random: Random) -> Result<Self, StartError> {
        let secret = shared::secret::Secret::read(&config.media_secret_file)?;
        let postgres = store::postgres(&config.postgres)?;
        let user_loader = UserLoader::start(postgres.clone(), config.store_timeout);
        let (session_cache, redis) = SessionCache::connect(&config.redis);
        Ok(Self {
            users: UserCache::new(user_loader, config.store_timeout),
            session_cache,
            throttle: Throttle::new(redis.clone(), random.clone(), config.throttle.clone()),
            request_limits: RequestLimits::new(redis.clone(), random.clone(), config.request_limits),
            redis,
            hashing: Hashing::start(&config.hashing, random.clone())?,
            tokens: Tokens::open(config.tokens.clone(), clock.clone(), &random)?,
            media: MediaServer::new(&config.media, &secret)?,
            bodies: Bodies::start(BodyLimits::new(config.body_memory_bytes, config.body_timeout))
                .map_err(StartError::Threads)?,
            postgres,
            config,
            clock,
            random,
        })
    }
}
