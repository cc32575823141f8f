//! Every SQL statement and Redis command. Nothing here knows HTTP.
//!
//! | module | store | what |
//! | --- | --- | --- |
//! | [`postgres`] | Postgres | connections and statements |
//! | [`users`] | Postgres | users |
//! | [`pending_deletions`] | Postgres | the outbox to media-server: pictures to delete |
//! | [`stored_pictures`] | Postgres | owners of the pictures that media-server stores |
//! | [`migrations`] | Postgres | the schema |
//! | [`sessions`] | Redis | sessions |
//! | [`login_failures`] | Redis | failed login attempts |
//! | [`rate_limit`] | Redis | requests within a sliding window |
//! | [`redis_health`] | Redis | whether it accepts writes, its memory, its eviction policy |
//! | [`cache`] | memory | the session and the user of each request |
//!
//! A query takes any client; the caller owns the transaction, and bounds its time with [`within`].

pub mod cache;
pub mod login_failures;
pub mod migrations;
pub mod pending_deletions;
pub mod postgres;
pub mod rate_limit;
pub mod redis_health;
pub mod sessions;
pub mod stored_pictures;
pub mod users;

use std::error::Error as _;
use std::time::Duration;

use deadpool_postgres::PoolError;
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
    #[error("no session of its own in Postgres: {0}")]
    NoSession(&'static str),
    /// A standby, or `default_transaction_read_only` is on.
    #[error("Postgres is read-only")]
    ReadOnly,
    /// Constraint `users_email_key`.
    #[error("the e-mail address is taken")]
    EmailTaken,
    #[error("too many operations in the queue")]
    Busy,
}

/// The message with its cause, and without `DETAIL`, which may contain an e-mail address.
fn postgres_message(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(error), _) => format!("{} ({})", error.message(), error.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}

impl StoreError {
    /// Whether the statement is at fault (500), and not the store's state (503).
    pub fn is_bug(&self) -> bool {
        match self {
            Self::Postgres(error) => error.code().is_some_and(|code| !is_server_state(code)),
            Self::Timeout(_)
            | Self::NoConnection(_)
            | Self::NoSession(_)
            | Self::Redis(_)
            | Self::ReadOnly
            | Self::EmailTaken
            | Self::Busy => false,
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
