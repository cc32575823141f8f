//! Leases that bound cache staleness.
//!
//! A cache entry may be served while the connection that delivers its invalidations is alive. A heartbeat over that same
//! connection proves it: replies are ordered, so everything invalidated before the heartbeat was sent has arrived before
//! its reply. Each reply extends the lease by [`LEASE_TTL`] from the time the heartbeat was *sent*. A lost connection ends
//! it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Lease TTL, counted from when the heartbeat was sent. 1.5 s plus a request's own time keeps staleness under 2 s.
pub const LEASE_TTL: Duration = Duration::from_millis(1500);

/// Pause between heartbeats. A reply may take the rest of [`LEASE_TTL`] before entries have to be reloaded.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);

/// A lease on the delivery of invalidations. Clones share it.
#[derive(Clone, Debug)]
pub struct Lease(Arc<State>);

#[derive(Debug)]
struct State {
    created: Instant,
    /// In microseconds since `created`.
    expires: AtomicU64,
}

impl Lease {
    /// A lease that has expired.
    pub fn expired() -> Self {
        Self(Arc::new(State { created: Instant::now(), expires: AtomicU64::new(0) }))
    }

    /// Extends the lease after the reply to a heartbeat.
    pub fn renew(&self, heartbeat_sent: Instant) {
        let expires = (heartbeat_sent + LEASE_TTL).saturating_duration_since(self.0.created);
        self.0.expires.store(u64::try_from(expires.as_micros()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Ends the lease: the connection is lost.
    pub fn end(&self) {
        self.0.expires.store(0, Ordering::SeqCst);
    }

    /// Whether the lease is valid at `instant`.
    #[must_use]
    pub fn is_valid_at(&self, instant: Instant) -> bool {
        instant < self.0.created + Duration::from_micros(self.0.expires.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_valid_for_its_ttl_after_the_last_heartbeat() {
        let (lease, now) = (Lease::expired(), Instant::now());
        assert!(!lease.is_valid_at(now));
        lease.renew(now);
        assert!(lease.is_valid_at(now + LEASE_TTL / 10 * 9));
        assert!(!lease.is_valid_at(now + LEASE_TTL));
        lease.renew(now + LEASE_TTL * 2);
        assert!(lease.is_valid_at(now + LEASE_TTL * 2), "all invalidations up to the heartbeat have arrived");
        lease.end();
        assert!(!lease.is_valid_at(now + LEASE_TTL * 2));
    }
}
