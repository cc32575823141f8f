//! Rate limits, counted in Redis across replicas.
//!
//! `limit:<name>:{<subject>}` is a sorted set of the requests that count, which expires with its last entry; `redis-cli DEL`
//! resets the limit. At its memory limit Redis still counts: the script writes first what needs no memory. A subject is an address or a user id, never an e-mail address.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;
use uuid::Uuid;

use super::{StoreError, millis};
use crate::redis_client::Redis;
use crate::redis_client::deadline::script_with_deadline;

/// At most `requests_max` requests within any `window`.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    /// Part of its keys.
    pub name: &'static str,
    pub requests_max: u32,
    pub window: Duration,
}

static COUNT: LazyLock<Script> = LazyLock::new(|| script_with_deadline(include_str!("count_request.lua")));

/// Counts the request `id` of `subject`. Returns the time to wait where the limit is reached; the request is not counted then.
pub async fn count(redis: &Redis, limit: RateLimit, subject: &str, id: Uuid) -> Result<Option<Duration>, StoreError> {
    let mut call = COUNT.key(format!("limit:{}:{{{subject}}}", limit.name));
    call.arg(limit.requests_max).arg(id.simple().to_string()).arg(millis(limit.window));
    let wait: u64 = call.invoke_async(&mut redis.clone()).await?;
    Ok((wait > 0).then(|| Duration::from_millis(wait)))
}
