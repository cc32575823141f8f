//! Whether a connection may be used again: not after a failover, and not while a statement on it hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::store::StoreError;

/// The state of one connection.
#[derive(Debug)]
pub struct Health {
    is_unusable: AtomicBool,
    generation: u64,
    current_generation: Arc<AtomicU64>,
    /// A statement that is abandoned after this time hangs: its connection is not used again.
    patience: Duration,
}

impl Health {
    /// A new connection, of the current generation; `timeout` is that of a request.
    pub(super) fn new(timeout: Duration, current_generation: Arc<AtomicU64>) -> Self {
        let generation = current_generation.load(Ordering::Relaxed);
        Self { is_unusable: AtomicBool::new(false), generation, current_generation, patience: timeout / 2 }
    }

    /// Whether the connection may be used again.
    pub(super) fn is_usable(&self) -> bool {
        !self.is_unusable.load(Ordering::Relaxed) && self.generation >= self.current_generation.load(Ordering::Relaxed)
    }

    /// Ends the use of this connection and of those that were opened before it.
    pub(super) fn report_read_only(&self) {
        let next = self.generation + 1;
        if self.current_generation.fetch_max(next, Ordering::Relaxed) < next {
            tracing::warn!("Postgres is read-only; reconnecting, in case another server is the primary now");
        }
    }

    /// Runs a statement, and notes what it shows about the connection.
    pub(super) async fn observe<T>(&self, statement: impl Future<Output = Result<T, Error>>) -> Result<T, StoreError> {
        let mut pending = Pending { health: self, since: Some(Instant::now()) };
        let result = statement.await;
        pending.since = None;
        if let Some(code) = result.as_ref().err().and_then(Error::code) {
            self.note(code);
        }
        Ok(result?)
    }

    fn note(&self, code: &SqlState) {
        if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
            self.report_read_only();
        } else if code.code().starts_with("57P0") {
            // The server ends the session, or its database is being shut down or dropped.
            self.is_unusable.store(true, Ordering::Relaxed);
        }
    }
}

/// A statement without a reply yet.
struct Pending<'a> {
    health: &'a Health,
    since: Option<Instant>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.since.is_some_and(|since| since.elapsed() >= self.health.patience) {
            self.health.is_unusable.store(true, Ordering::Relaxed);
        }
    }
}
