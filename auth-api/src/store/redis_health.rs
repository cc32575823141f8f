//! Health of Redis: whether it accepts writes, its memory, and its eviction policy.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{InfoDict, RedisResult, Value};
use tokio::time::sleep;

use super::StoreError;
use crate::redis_client::{Master, Redis};

/// Pause between two probes of [`watch`].
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// Percentage of `maxmemory` in use from which a warning is logged, and below which it ends, as that of a full Redis does.
const NEARLY_FULL_PERCENT: u64 = 90;
const ROOMY_PERCENT: u64 = 85;

/// A condition of a master that operators should change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// At `maxmemory`: what needs no memory is still written.
    Full,
    NearlyFull,
    /// The last snapshot or write to the append-only file failed (MISCONF).
    NotPersisting,
    ReadOnly,
    /// Fewer than `min-replicas-to-write`.
    TooFewReplicas,
    /// The others of the Cluster are reachable.
    Unreachable,
    /// Sessions may be evicted, by this `maxmemory-policy`.
    Evicts(String),
}

impl Condition {
    /// Returns the reason in the readiness of the service; `None` if all of its API works.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Full => Some("redis_full"),
            Self::NotPersisting => Some("redis_not_persisting"),
            Self::ReadOnly => Some("redis_read_only"),
            Self::TooFewReplicas => Some("redis_too_few_replicas"),
            Self::Unreachable => Some("redis_partly_unreachable"),
            Self::NearlyFull | Self::Evicts(_) => None,
        }
    }

    /// The condition of a master that refuses a write with this error code.
    fn of_code(code: &str) -> Option<Self> {
        match code {
            "OOM" => Some(Self::Full),
            "MISCONF" => Some(Self::NotPersisting),
            "READONLY" => Some(Self::ReadOnly),
            "NOREPLICAS" => Some(Self::TooFewReplicas),
            _ => None,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "Redis is at its memory limit: sign-ins are 503, all else works; raise maxmemory",
            Self::NearlyFull => {
                "Redis uses more than 90 % of its memory limit; raise maxmemory before sign-ins are 503"
            }
            Self::NotPersisting => {
                "Redis can't persist and refuses writes (MISCONF): sign-ins and refreshes are 503; see its log"
            }
            Self::ReadOnly => "Redis is read-only: sign-ins and refreshes are 503",
            Self::TooFewReplicas => {
                "Redis has fewer replicas than min-replicas-to-write: sign-ins and refreshes are 503"
            }
            Self::Unreachable => "a master of the Redis Cluster is unreachable: requests of its users are 503",
            Self::Evicts(policy) => {
                return write!(
                    f,
                    "Redis evicts sessions at its memory limit: set maxmemory-policy to noeviction, not {policy}"
                );
            }
        })
    }
}

/// The conditions of the masters, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisHealth(BTreeSet<(String, Condition)>);

impl RedisHealth {
    /// Returns why the service is degraded; empty if it is not.
    pub fn reasons(&self) -> Vec<&'static str> {
        let reasons: BTreeSet<_> = self.0.iter().filter_map(|(_, condition)| condition.reason()).collect();
        reasons.into_iter().collect()
    }

    /// Logs each condition.
    pub fn warn(&self) {
        for (server, condition) in &self.0 {
            tracing::warn!(%server, "{condition}");
        }
    }
}

/// Probes the connected masters; fails if none responds.
pub async fn probe(redis: &Redis) -> Result<RedisHealth, StoreError> {
    Ok(probe_after(redis, &RedisHealth::default()).await?)
}

/// Also names the conditions of `before` that have not quite ended.
async fn probe_after(redis: &Redis, before: &RedisHealth) -> RedisResult<RedisHealth> {
    let masters = redis.masters().await;
    let results = join_all(masters.iter().map(async |master| (master.name.clone(), probe_master(master).await))).await;
    let is_reachable = results.iter().any(|(_, result)| result.is_ok());
    let mut health = RedisHealth::default();
    for (server, result) in results {
        match result {
            Ok(probed) => health.0.extend(probed.conditions(&server, before)),
            Err(_) if is_reachable => health.0.extend([(server, Condition::Unreachable)]),
            Err(error) => return Err(error),
        }
    }
    if is_reachable { Ok(health) } else { Err((redis::ErrorKind::Io, "no node of the Cluster responds").into()) }
}

struct Probed {
    refusal: Option<Condition>,
    policy: Option<String>,
    /// Of `maxmemory`; 0 without a limit.
    used_percent: u64,
}

impl Probed {
    fn conditions(self, server: &str, before: &RedisHealth) -> Vec<(String, Condition)> {
        let named = |condition| (server.to_owned(), condition);
        let [full, nearly_full] = [Condition::Full, Condition::NearlyFull].map(named);
        let [was_full, was_nearly_full] = [&full, &nearly_full].map(|named| before.0.contains(named));
        let has_little_room = self.used_percent >= if was_nearly_full { ROOMY_PERCENT } else { NEARLY_FULL_PERCENT };
        let is_full = self.refusal == Some(Condition::Full);
        let full = (was_full && has_little_room && !is_full).then_some(full);
        let nearly_full = (is_full || has_little_room).then_some(nearly_full);
        let evicts = self.policy.filter(|policy| policy != "noeviction").map(Condition::Evicts);
        self.refusal.into_iter().chain(evicts).map(named).chain(full).chain(nearly_full).collect()
    }
}

/// Writes without effect, and reads the memory's state. An ACL user that may not do so gets no error for it.
async fn probe_master(master: &Master) -> RedisResult<Probed> {
    let mut commands = redis::pipe();
    // Writes nothing to a key that does not exist, and is refused like any write that needs memory.
    commands.cmd("SETRANGE").arg(format!("session:{{{}}}", master.hash_tag)).arg(0).arg("");
    commands.cmd("INFO").arg("memory");
    let mut replies = master.run(&commands).await?.into_iter();
    let refusal = match replies.next() {
        Some(Value::ServerError(error)) => match Condition::of_code(error.code()) {
            None if !matches!(error.code(), "NOPERM" | "MOVED" | "ASK") => return Err(error.into()),
            condition => condition,
        },
        _ => None,
    };
    let info: Option<InfoDict> = replies.next().and_then(|reply| redis::from_redis_value(reply).ok());
    let number = |name| info.as_ref().and_then(|info| info.get::<u64>(name)).unwrap_or_default();
    let used_percent = (number("used_memory").saturating_mul(100)).checked_div(number("maxmemory")).unwrap_or_default();
    Ok(Probed { refusal, policy: info.as_ref().and_then(|info| info.get("maxmemory_policy")), used_percent })
}

/// Logs each condition when it begins and when it ends. While no master responds, the connections' own log lines say so.
pub async fn watch(redis: &Redis) -> Infallible {
    let mut before = RedisHealth::default();
    loop {
        if let Ok(now) = probe_after(redis, &before).await {
            RedisHealth(&now.0 - &before.0).warn();
            for (server, condition) in &before.0 - &now.0 {
                tracing::info!(%server, "no longer: {condition}");
            }
            before = now;
        }
        sleep(WATCH_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(refusal: Option<Condition>, used_percent: u64, before: &RedisHealth) -> RedisHealth {
        let probed = Probed { refusal, policy: Some("noeviction".to_owned()), used_percent };
        RedisHealth(probed.conditions("Redis", before).into_iter().collect())
    }

    #[test]
    fn the_headroom_warning_has_hysteresis_and_a_policy_that_evicts_is_named() {
        let healthy = RedisHealth::default();
        assert_eq!(conditions(None, 89, &healthy), healthy);
        let nearly_full = conditions(None, 90, &healthy);
        assert_eq!((nearly_full.0.len(), nearly_full.reasons().len()), (1, 0));
        assert_eq!(conditions(None, 85, &nearly_full), nearly_full);
        assert_eq!(conditions(None, 84, &nearly_full), healthy);
        let full = conditions(Some(Condition::Full), 100, &nearly_full);
        assert_eq!(full.reasons(), ["redis_full"]);
        assert_eq!(conditions(None, 95, &full), full, "sign-ins that fill each gap are one incident");
        assert_eq!(conditions(None, 84, &full), healthy);
        let evicts = Probed { refusal: None, policy: Some("allkeys-lru".to_owned()), used_percent: 0 };
        let evicts = evicts.conditions("Redis", &healthy);
        assert!(evicts[0].1.to_string().contains("maxmemory-policy to noeviction, not allkeys-lru"));
    }
}
