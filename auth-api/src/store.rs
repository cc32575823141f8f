//! Every SQL statement and Redis command. Nothing here knows HTTP.
//!
//! | module | store | what |
//! | --- | --- | --- |
//! | [`users`] | Postgres | users |
//! | [`pending_deletions`] | Postgres | the outbox to media-server: pictures to delete |
//! | [`stored_pictures`] | Postgres | owners of the pictures that media-server stores |
//! | [`migrations`] | Postgres | the schema |
//! | [`sessions`] | Redis | sessions |
//! | [`login_failures`] | Redis | failed login attempts |
//! | [`rate_limit`] | Redis | requests within a sliding window |
//! | [`cache`] | memory | the session and the user of each request |
//!
//! A query takes any client; the caller owns the transaction, and bounds its time with [`within`].

pub mod cache;
pub mod login_failures;
pub mod migrations;
pub mod pending_deletions;
pub mod rate_limit;
pub mod sessions;
pub mod stored_pictures;
pub mod users;

use std::time::Duration;

use deadpool_postgres::{Hook, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

/// A store that is unavailable, or a statement that it rejects.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("timeout: {0}")]
    Timeout(&'static str),
    #[error("no connection to Postgres: {0}")]
    NoConnection(String),
    #[error("Postgres: {}", postgres_message(.0))]
    Postgres(#[from] tokio_postgres::Error),
    #[error("Redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// Constraint `users_email_key`.
    #[error("the e-mail address is taken")]
    EmailTaken,
    #[error("too many operations in the queue")]
    Busy,
}

/// The message without `DETAIL`, which may contain an e-mail address.
fn postgres_message(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => error.to_string(),
    }
}

impl StoreError {
    /// Whether the statement is at fault (500), and not the store's state (503).
    pub fn is_bug(&self) -> bool {
        match self {
            Self::Postgres(error) => error.code().is_some_and(|code| !is_server_state(code)),
            Self::Timeout(_) | Self::NoConnection(_) | Self::Redis(_) | Self::EmailTaken | Self::Busy => false,
        }
    }
}

/// Whether an error is due to the state of the server, which the operator or the server itself will repair, and not to the
/// statement. Classes of the [SQLSTATE](https://www.postgresql.org/docs/current/errcodes-appendix.html):
/// 08 connection, 25 read only, 28 authorization, 3D and 3F no such database or schema, 40 serialization and deadlock, 53
/// resources, 55 lock, 57 intervention (shutdown, time-out), 58 system; and missing rights, tables, columns or functions,
/// as while a back-up is restored.
fn is_server_state(code: &SqlState) -> bool {
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

/// Fails work on Postgres after `limit`; its transaction is rolled back.
pub async fn within<T, E: From<StoreError>>(limit: Duration, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(StoreError::Timeout("Postgres").into()))
}

/// Milliseconds, as an argument of Redis commands.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Settings of Postgres.
#[derive(Clone)]
pub struct PostgresConfig {
    /// Address, database, role and password.
    pub server: tokio_postgres::Config,
    pub connections_max: usize,
    /// Timeout of a statement, also set in Postgres.
    pub timeout: Duration,
}

impl PostgresConfig {
    /// The server, with the timeouts set.
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

/// Creates a pool of connections, which connects on first use.
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
pub type Connection = deadpool_postgres::Object;
