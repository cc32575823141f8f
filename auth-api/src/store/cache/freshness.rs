//! Freshness of cache entries.

use std::time::Duration;

use tokio::time::Instant;

use crate::lease::Lease;

/// Maximum age of an entry: some changes send no invalidation (Redis's SWAPDB, Postgres's TRUNCATE or disabled triggers).
pub(super) const MAX_AGE: Duration = Duration::from_mins(1);

/// A value with its staleness bound.
#[derive(Clone, Debug)]
pub(super) struct CacheEntry<V> {
    pub(super) value: V,
    expires: Instant,
    lease: Option<Lease>,
}

impl<V> CacheEntry<V> {
    /// An entry that is fresh until `expires` while `lease` is valid.
    pub(super) fn leased(value: V, expires: Instant, lease: Lease) -> Self {
        Self { value, expires, lease: Some(lease) }
    }

    /// An entry that is fresh until `expires`, with no invalidation to expect.
    pub(super) fn expiring(value: V, expires: Instant) -> Self {
        Self { value, expires, lease: None }
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.is_fresh_at(Instant::now())
    }

    fn is_fresh_at(&self, now: Instant) -> bool {
        now < self.expires && self.lease.as_ref().is_none_or(|lease| lease.is_valid_at(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::LEASE_TTL;

    #[test]
    fn an_entry_is_fresh_until_it_expires_and_while_its_lease_is_valid() {
        let (lease, now) = (Lease::expired(), Instant::now());
        let expires = now + LEASE_TTL / 2;
        let leased = CacheEntry::leased((), expires, lease.clone());
        assert!(!leased.is_fresh_at(now));
        lease.renew(now);
        assert!(leased.is_fresh_at(now) && !leased.is_fresh_at(expires));
        lease.end();
        assert!(!leased.is_fresh_at(now));
        let expiring = CacheEntry::expiring((), expires);
        assert!(expiring.is_fresh_at(now) && !expiring.is_fresh_at(expires));
    }
}
