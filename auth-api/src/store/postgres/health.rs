//! Whether a connection may be used again: not after a failover, and not while a statement on it hangs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as StdInstant};

use tokio::time::Instant;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::store::StoreError;

/// Connections opened before this instant are not used again.
#[derive(Debug)]
pub struct UsableFrom(Mutex<StdInstant>);

impl UsableFrom {
    /// Excludes the connections that are open now.
    pub(super) fn now() -> Self {
        Self(Mutex::new(Instant::now().into_std()))
    }

    /// Whether a connection that was opened then may be used.
    pub(super) fn includes(&self, opened: StdInstant) -> bool {
        opened >= *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Excludes the connections that are open now, unless the one opened then is excluded already. Returns whether it did.
    fn advance(&self, opened: StdInstant) -> bool {
        let mut from = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = opened >= *from;
        if is_new {
            *from = Instant::now().into_std();
        }
        is_new
    }
}

/// The state of one connection while it is used.
#[derive(Debug)]
pub struct Health {
    is_unusable: AtomicBool,
    opened: StdInstant,
    usable_from: Arc<UsableFrom>,
    /// A statement that is abandoned after this time hangs: its connection is not used again.
    hangs_after: Duration,
}

impl Health {
    /// A connection that was opened then; `timeout` is that of a request.
    pub(super) fn new(opened: StdInstant, usable_from: Arc<UsableFrom>, timeout: Duration) -> Self {
        Self { is_unusable: AtomicBool::new(false), opened, usable_from, hangs_after: timeout / 2 }
    }

    /// Whether the connection may be used again.
    pub(super) fn is_usable(&self) -> bool {
        !self.is_unusable.load(Ordering::Relaxed) && self.usable_from.includes(self.opened)
    }

    /// Ends the use of all connections that are open now.
    pub(super) fn report_read_only(&self) {
        if self.usable_from.advance(self.opened) {
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
        if self.since.is_some_and(|since| since.elapsed() >= self.health.hangs_after) {
            self.health.is_unusable.store(true, Ordering::Relaxed);
        }
    }
}
