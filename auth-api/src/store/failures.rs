//! Sliding windows of failed logins, with reservations for the attempts in flight.
//!
//! | key | value |
//! | --- | --- |
//! | `login:failed:{<key>}` | sorted set of the failed attempts, by expiration |
//! | `login:trying:{<key>}` | sorted set of the reserved attempts, by expiration |
//!
//! The braces put both into one slot of a Redis Cluster. No key holds an e-mail address. Each expires with its last entry;
//! `redis-cli DEL` clears it.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;
use uuid::Uuid;

use super::redis_link::Redis;
use super::redis_link::deadline::script_with_deadline;
use super::{StoreError, millis};

/// The key of a window, and its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitKey {
    /// Letters, digits and `:./`.
    pub name: String,
    pub failures_max: u32,
}

impl RateLimitKey {
    fn keys(&self) -> [String; 2] {
        [format!("login:failed:{{{}}}", self.name), format!("login:trying:{{{}}}", self.name)]
    }
}

/// Result of reserving an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Reservation {
    /// Reserved; the outcome must be reported.
    Acquired,
    /// Too many failures; the next attempt is allowed after this time.
    LockedOut(Duration),
    /// The attempts in flight could reach the limit by failing.
    Saturated,
}

/// Outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    Failed,
    /// Clears the failures of the key.
    Succeeded,
    /// Not checked, or its success proves nothing for this key.
    Released,
}

static RESERVE: LazyLock<Script> = LazyLock::new(|| script_with_deadline(include_str!("reserve_try.lua")));
static REPORT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("settle_try.lua")));

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
        AttemptOutcome::Succeeded => "right",
        AttemptOutcome::Released => "given_back",
    };
    let [failed, trying] = key.keys();
    let mut call = REPORT.key(failed);
    call.key(trying).arg(id.simple().to_string()).arg(outcome).arg(millis(window));
    Ok(call.invoke_async(&mut redis.clone()).await?)
}
