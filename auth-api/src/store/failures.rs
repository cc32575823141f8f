//! Failed tries of a password, counted for whoever may guess, across replicas.
//!
//! | key | what |
//! | --- | --- |
//! | `login:failed:{<subject>}` | a sorted set of the tries that failed, by when they cease to count |
//! | `login:trying:{<subject>}` | the same of those that are being checked |
//!
//! The braces put the two into one slot of a Redis Cluster. A subject holds no e-mail address. Each key expires with its
//! last entry; `redis-cli DEL` forgives.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;
use uuid::Uuid;

use super::redis_link::Redis;
use super::redis_link::deadline::script_with_deadline;
use super::{StoreError, millis};

/// Whose tries are counted, and how many may fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its name, of letters, digits and `:./`.
    pub name: String,
    /// The tries that may fail within a window.
    pub failures_max: u32,
}

impl Subject {
    fn keys(&self) -> [String; 2] {
        [format!("login:failed:{{{}}}", self.name), format!("login:trying:{{{}}}", self.name)]
    }
}

/// Whether a try may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Reservation {
    /// It may, and is to be settled.
    Taken,
    /// Too many have failed; one may begin after this time.
    Blocked(Duration),
    /// Those that are being checked might all fail: ask again when they are settled.
    Full,
}

/// How a try has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The password was wrong.
    Failed,
    /// It was right: the subject's failures are forgotten.
    Right,
    /// Nobody has looked at it, or it was right and proves nothing for this subject.
    GivenBack,
}

static RESERVE: LazyLock<Script> = LazyLock::new(|| script_with_deadline(include_str!("reserve_try.lua")));
static SETTLE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("settle_try.lua")));

/// Lets the try `id` begin, if there is room; it is given back by itself after `held`.
pub async fn reserve(redis: &Redis, subject: &Subject, id: Uuid, held: Duration) -> Result<Reservation, StoreError> {
    let [failed, trying] = subject.keys();
    let mut call = RESERVE.key(failed);
    call.key(trying).arg(subject.failures_max).arg(id.simple().to_string()).arg(millis(held));
    Ok(match call.invoke_async::<(u8, u64)>(&mut redis.clone()).await? {
        (0, _) => Reservation::Taken,
        (1, wait) => Reservation::Blocked(Duration::from_millis(wait)),
        _ => Reservation::Full,
    })
}

/// Says how the try `id` has ended; a failure counts for `window`.
pub async fn settle(
    redis: &Redis,
    subject: &Subject,
    id: Uuid,
    outcome: Outcome,
    window: Duration,
) -> Result<(), StoreError> {
    let outcome = match outcome {
        Outcome::Failed => "failed",
        Outcome::Right => "right",
        Outcome::GivenBack => "given_back",
    };
    let [failed, trying] = subject.keys();
    let mut call = SETTLE.key(failed);
    call.key(trying).arg(id.simple().to_string()).arg(outcome).arg(millis(window));
    Ok(call.invoke_async(&mut redis.clone()).await?)
}
