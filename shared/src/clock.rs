//! The time of day, as an argument: a test moves the clock instead of sleeping.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time since the Unix epoch. Cheap to clone; clones of a [`Clock::manual`] share its time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The clock of the machine.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock fixed at `unix_millis`, moved by [`Clock::advance`] only.
    pub fn manual(unix_millis: u64) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(unix_millis))))
    }

    /// Moves a manual clock forward; does nothing to the system's.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(millis) = &self.0 {
            millis.fetch_add(as_millis(by), Ordering::SeqCst);
        }
    }

    /// Milliseconds since the Unix epoch.
    #[expect(clippy::disallowed_methods, reason = "the only read of the system clock")]
    pub fn unix_millis(&self) -> u64 {
        match &self.0 {
            // Before 1970 it reads as 1970: all tokens are expired rather than eternal.
            Source::System => as_millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Source::Manual(millis) => millis.load(Ordering::SeqCst),
        }
    }

    /// Whole seconds since the Unix epoch, as JWT counts them (RFC 7519, `NumericDate`).
    pub fn unix_seconds(&self) -> u64 {
        self.unix_millis() / 1000
    }
}

fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
