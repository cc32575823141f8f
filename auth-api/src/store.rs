//! Every SQL statement and Redis command. Nothing here knows HTTP.
//!
//! | module | where | what |
//! | --- | --- | --- |
//! | [`users`] | Postgres | accounts |
//! | [`user_reads`] | Postgres | reads of one account, many in one statement |
//! | [`user_changes`] | Postgres | what it tells of changes of accounts |
//! | [`picture_deletions`] | Postgres | the outbox to media-server |
//! | [`stored_pictures`] | Postgres | who has which of the pictures that media-server has |
//! | [`sessions`] | Redis | sessions |
//! | [`user_copies`] | Redis | copies of accounts, beside their sessions |
//! | [`failures`] | Redis | failed tries of a password |
//! | [`rate_limit`] | Redis | counts of requests within a window |
//! | [`redis_link`] | Redis | the connection |
//! | [`reads`] | memory, Redis, Postgres | the session and the account of each request |
//!
//! A query takes any client; who calls owns the transaction, and bounds it in time with [`within`].

pub mod failures;
pub mod lease;
pub mod migrations;
pub mod picture_deletions;
pub mod rate_limit;
pub mod reads;
pub mod recent;
pub mod redis_link;
pub mod sessions;
pub mod stored_pictures;
pub mod user_changes;
pub mod user_copies;
pub mod user_reads;
pub mod users;

use std::time::Duration;

use deadpool_postgres::{Hook, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

/// A store that is away, or a statement of ours that it refuses.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store did not answer in time.
    #[error("{0} did not answer in time")]
    Timeout(&'static str),
    /// There is no connection to Postgres.
    #[error("no connection to Postgres: {0}")]
    NoConnection(String),
    /// Postgres answered with an error, or hung up.
    #[error("Postgres: {}", postgres_message(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// Redis answered with an error, or hung up.
    #[error("Redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// The address belongs to another account (constraint `users_email_key`).
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// Many wait already.
    #[error("too many reads wait")]
    Busy,
}

/// The message without the values: `DETAIL` would tell an e-mail address.
fn postgres_message(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => error.to_string(),
    }
}

impl StoreError {
    /// Whether the statement is at fault (500), and not the store's state (503).
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Postgres(error) => error.code().is_some_and(|code| !is_state_of_the_server(code)),
            Self::Timeout(_) | Self::NoConnection(_) | Self::Redis(_) | Self::EmailTaken | Self::Busy => false,
        }
    }
}

/// Whether an error is about the state of the server rather than about the statement: it passes when the operator, or the
/// server itself, has mended it. Classes of the [SQLSTATE](https://www.postgresql.org/docs/current/errcodes-appendix.html):
/// 08 connection, 25 read only, 28 authorization, 3D and 3F no such database or schema, 40 serialization and deadlock, 53
/// resources, 55 lock, 57 intervention (shutdown, time-out), 58 system; and missing rights, tables, columns or functions,
/// as while a back-up is restored.
fn is_state_of_the_server(code: &SqlState) -> bool {
    let classes = ["08", "25", "28", "3D", "3F", "40", "53", "55", "57", "58"];
    let states = [
        SqlState::INSUFFICIENT_PRIVILEGE,
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_COLUMN,
        SqlState::UNDEFINED_FUNCTION,
    ];
    classes.iter().any(|class| code.code().starts_with(class)) || states.contains(code)
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Timeout(_) => Self::Timeout("Postgres"),
            PoolError::Backend(error) => Self::Postgres(error),
            other => Self::NoConnection(other.to_string()),
        }
    }
}

/// Bounds work on Postgres: past `limit` it is given up, its transaction rolled back.
pub async fn within<T, E: From<StoreError>>(limit: Duration, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(StoreError::Timeout("Postgres").into()))
}

/// As Redis takes it.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Where Postgres is, and how much of it we use.
#[derive(Clone)]
pub struct PostgresConfig {
    /// Address, database, role and password.
    pub server: tokio_postgres::Config,
    /// Connections held at most.
    pub connections_max: usize,
    /// How long an answer may take; Postgres itself ends a statement that takes longer.
    pub timeout: Duration,
}

impl PostgresConfig {
    /// How to connect, with our time limits.
    fn server(&self) -> tokio_postgres::Config {
        let mut server = self.server.clone();
        server
            .application_name("auth-api")
            .connect_timeout(self.timeout)
            .tcp_user_timeout(self.timeout * 2)
            .keepalives_idle(Duration::from_secs(10))
            .options(format!(
                "{} -c statement_timeout={1} -c lock_timeout={1} -c idle_in_transaction_session_timeout={2}",
                self.server.get_options().unwrap_or_default(),
                self.timeout.as_millis(),
                self.timeout.as_millis() * 4
            ));
        server
    }
}

/// A pool of connections; it connects when first asked.
pub fn postgres(config: &PostgresConfig) -> Result<Pool, StoreError> {
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    Pool::builder(Manager::from_config(config.server(), NoTls, recycling))
        .max_size(config.connections_max)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(config.timeout))
        .create_timeout(Some(config.timeout))
        .recycle_timeout(Some(config.timeout))
        .post_create(Hook::sync_fn(|_, _| {
            tracing::debug!("connected to Postgres");
            Ok(())
        }))
        .build()
        .map_err(|error| StoreError::NoConnection(error.to_string()))
}

/// A connection of the pool.
pub type Connection = Object;
