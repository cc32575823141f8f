//! Promises to be told of what changes, each good for a short while and renewed as long as it is kept.
//!
//! What was read is good while whoever would tell of its change is known to be there. An answer over the very connection
//! that would tell shows it: what had changed when the question was sent has been told before the answer. So a value may be
//! kept for as long as nothing is told, and whatever happens to the connection, no value outlives [`TERM`].

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How long a promise is good after a question that was answered. With the way of a request it stays below two seconds.
pub const TERM: Duration = Duration::from_millis(1500);

/// How often it is renewed: an answer may take as long as the rest of [`TERM`] before values are read anew.
pub const RENEW_EVERY: Duration = Duration::from_millis(500);

/// A promise. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Lease(Arc<AtomicU64>);

/// A time on this process's own clock, in microseconds from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Now.
    pub fn now() -> Self {
        static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        // From 1 on: 0 is before every moment.
        Self(u64::try_from(ORIGIN.elapsed().as_micros()).unwrap_or(u64::MAX).saturating_add(1))
    }

    /// To be sent along with a question; see [`Moment::parse`].
    pub fn to_text(self) -> String {
        self.0.to_string()
    }

    /// Microseconds since the process started.
    pub fn as_micros(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// What came back with the answer.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    /// This much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Whether it is now, or before.
    pub fn is_over(self) -> bool {
        self <= Self::now()
    }
}

impl Lease {
    /// One that does not hold yet.
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// A question that was sent at `asked` has been answered.
    pub fn renew(&self, asked: Moment) {
        self.0.store(asked.after(TERM).0, Ordering::SeqCst);
    }

    /// Nobody tells any more.
    pub fn end(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    /// Whether it holds now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.holds(Moment::now())
    }

    fn holds(&self, now: Moment) -> bool {
        now < Moment(self.0.load(Ordering::Acquire))
    }
}

impl Default for Lease {
    fn default() -> Self {
        Self::new()
    }
}

/// How long a value that was read is good.
#[derive(Clone, Debug)]
pub struct Validity {
    until: Moment,
    leases: [Option<Lease>; 2],
}

impl Validity {
    /// As long as `leases` hold, and not past `until`.
    pub fn leased(until: Moment, leases: [Option<Lease>; 2]) -> Self {
        Self { until, leases }
    }

    /// Not at all.
    pub fn none() -> Self {
        Self::until(Moment(0))
    }

    /// Until then, whoever tells of a change or not.
    pub fn until(until: Moment) -> Self {
        Self { until, leases: [None, None] }
    }

    /// Whether the value is good now.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.holds_at(Moment::now())
    }

    fn holds_at(&self, now: Moment) -> bool {
        now < self.until && self.leases.iter().flatten().all(|lease| lease.holds(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_000_000);

    fn later(time: Duration) -> Moment {
        NOW.after(time)
    }

    #[test]
    fn a_value_is_good_for_a_term_after_the_last_question_that_was_answered() {
        let lease = Lease::new();
        let validity = Validity::leased(later(TERM * 100), [Some(lease.clone()), None]);
        assert!(!validity.holds_at(NOW), "nobody has answered yet");
        lease.renew(NOW);
        assert!(validity.holds_at(later(TERM / 10 * 9)));
        assert!(!validity.holds_at(later(TERM)));
        lease.renew(later(TERM * 2));
        assert!(validity.holds_at(later(TERM * 2)), "all that changed meanwhile has been told");
        lease.end();
        assert!(!validity.holds_at(later(TERM * 2)));
    }

    #[test]
    fn every_promise_counts_and_so_does_the_end() {
        let (one, other, until) = (Lease::new(), Lease::new(), later(TERM / 2));
        let validity = Validity::leased(until, [Some(one.clone()), Some(other.clone())]);
        one.renew(NOW);
        assert!(!validity.holds_at(NOW));
        other.renew(NOW);
        assert!(validity.holds_at(NOW));
        assert!(!validity.holds_at(until) && !Validity::until(until).holds_at(until));
        assert!(Validity::until(until).holds_at(NOW) && !Validity::none().holds_at(NOW));
    }

    #[test]
    fn a_moment_is_read_as_it_was_written() {
        let now = Moment::now();
        assert_eq!(Moment::parse(&now.to_text()), Some(now));
        assert_eq!(Moment::parse("soon"), None);
    }
}
