//! Failed login attempts, counted in Redis across replicas.
//!
//! | key | what |
//! | --- | --- |
//! | `login:failed:{<key>}` | sorted set of failed attempts, by the time they cease to count |
//! | `login:trying:{<key>}` | sorted set of reserved attempts, by the time their reservation expires |
//!
//! At its memory limit Redis still counts: each script writes first what needs no memory. The braces put the two into one slot of a Redis Cluster. A rate-limit key contains no e-mail address. Each Redis key
//! expires with its last entry; `redis-cli DEL` resets the count.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;
use uuid::Uuid;

use super::{StoreError, millis};
use crate::redis_client::Redis;
use crate::redis_client::deadline::script_with_deadline;

/// What login attempts are counted by, and its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitKey {
    /// Of letters, digits and `:./`.
    pub name: String,
    /// Failures within a window.
    pub failures_max: u32,
}

impl RateLimitKey {
    fn keys(&self) -> [String; 2] {
        [format!("login:failed:{{{}}}", self.name), format!("login:trying:{{{}}}", self.name)]
    }
}

/// Result of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Reservation {
    /// The outcome must be reported.
    Acquired,
    /// Too many failures; the next attempt may start after this time.
    LockedOut(Duration),
    /// The reserved attempts might all fail: retry when they are reported.
    Saturated,
}

/// Outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    Failed,
    /// Resets the failures of the key.
    Succeeded,
    /// The password was not checked, or its success proves nothing for this key.
    Released,
}

static RESERVE: LazyLock<Script> = LazyLock::new(|| script_with_deadline(include_str!("reserve_attempt.lua")));
static REPORT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("report_attempt.lua")));

/// Reserves the attempt `id`; the reservation expires after `ttl`.
pub async fn reserve(redis: &Redis, key: &RateLimitKey, id: Uuid, ttl: Duration) -> Result<Reservation, StoreError> {
    let [failed, trying] = key.keys();
    let mut call = RESERVE.key(failed);
    call.key(trying).arg(key.failures_max).arg(id.simple().to_string()).arg(millis(ttl));
    Ok(match call.invoke_async::<(u8, u64)>(&mut redis.clone()).await? {
        (0, _) => Reservation::Acquired,
        (1, wait) => Reservation::LockedOut(Duration::from_millis(wait)),
        _ => Reservation::Saturated,
    })
}

/// Reports the outcome of the attempt `id`; a failure counts for `window`.
pub async fn report(
    redis: &Redis,
    key: &RateLimitKey,
    id: Uuid,
    outcome: AttemptOutcome,
    window: Duration,
) -> Result<(), StoreError> {
    let outcome = match outcome {
        AttemptOutcome::Failed => "failed",
        AttemptOutcome::Succeeded => "succeeded",
        AttemptOutcome::Released => "released",
    };
    let [failed, trying] = key.keys();
    let mut call = REPORT.key(failed);
    call.key(trying).arg(id.simple().to_string()).arg(outcome).arg(millis(window));
    Ok(call.invoke_async(&mut redis.clone()).await?)
}
