//! Sessions. A session's key is the session: delete it by any means, and it is over.
//!
//! `session:{<user_id>}:<sid>` is a hash that expires with the refresh token; the braces put all of a user's keys into one
//! slot of a Redis Cluster. It holds ids, times and digests, and nothing that opens anything:
//!
//! | field | what |
//! | --- | --- |
//! | `refresh` | SHA-256 of the current refresh token's `jti`, in hexadecimal |
//! | `stamp` | the account's password stamp; the session is alive while they are the same |
//! | `stamp_next` | the stamp that the account is about to get from this very session |
//! | `created_at`, `last_used_at` | Unix seconds |
//! | `ip`, `user_agent` | of who signed in |

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;
use uuid::Uuid;

use super::StoreError;
use super::redis_link::Redis;

/// A session's name: whose it is, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionId {
    /// The account.
    pub user_id: Uuid,
    /// The `sid` of its tokens.
    pub sid: Uuid,
}

/// A session to be made.
pub struct NewSession<'a> {
    /// Its name.
    pub id: SessionId,
    /// Digest of the first refresh token's `jti`.
    pub refresh_digest: &'a str,
    /// The account's password stamp.
    pub stamp: Uuid,
    /// Unix seconds.
    pub now: u64,
    /// How long it lives unless it is refreshed.
    pub lifetime: Duration,
    /// Who signed in.
    pub ip: IpAddr,
    /// What they say they use.
    pub user_agent: &'a str,
}

/// The password stamps under which a session is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamps([Option<String>; 2]);

impl Stamps {
    /// Whether the session is alive for an account with this stamp.
    #[must_use]
    pub fn admit(&self, stamp: Uuid) -> bool {
        let stamp = stamp.hyphenated().to_string();
        self.0.iter().flatten().any(|known| *known == stamp)
    }
}

/// How an attempt to rotate a refresh token ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Rotation {
    /// The successor is the current token now.
    Rotated,
    /// The session is over, or the token is not its current one.
    Refused,
}

static ROTATE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("rotate.lua")));
static RESTAMP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("restamp.lua")));

fn key(id: SessionId) -> String {
    format!("session:{{{}}}:{}", id.user_id.hyphenated(), id.sid.hyphenated())
}

/// Makes a session.
pub async fn create(redis: &Redis, new: &NewSession<'_>) -> Result<(), StoreError> {
    let key = key(new.id);
    let now = new.now.to_string();
    let fields = [
        ("refresh", new.refresh_digest),
        ("stamp", &new.stamp.hyphenated().to_string()),
        ("created_at", &now),
        ("last_used_at", &now),
        ("ip", &new.ip.to_string()),
        ("user_agent", new.user_agent),
    ];
    redis::pipe()
        .atomic()
        .hset_multiple(&key, &fields)
        .expire(&key, seconds(new.lifetime))
        .exec_async(&mut redis.clone())
        .await?;
    Ok(())
}

/// The stamps of a session; `None` if it is over. A key that a hand has made into something else is no session.
pub async fn stamps(redis: &Redis, id: SessionId) -> Result<Option<Stamps>, StoreError> {
    let read = redis::cmd("HMGET")
        .arg(key(id))
        .arg(&["stamp", "stamp_next"])
        .query_async::<[Option<String>; 2]>(&mut redis.clone())
        .await;
    match read {
        Ok([None, _]) => Ok(None),
        Ok(stamps) => Ok(Some(Stamps(stamps))),
        Err(error) if is_of_another_shape(&error) => {
            tracing::warn!(sid = %id.sid, "a session key holds something else than a session");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn is_of_another_shape(error: &redis::RedisError) -> bool {
    error.code() == Some("WRONGTYPE") || error.kind() == redis::ErrorKind::UnexpectedReturnType
}

/// Changes a refresh token for its successor, in one script.
pub async fn rotate(
    redis: &Redis,
    id: SessionId,
    shown_digest: &str,
    successor_digest: &str,
    stamp: Uuid,
    now: u64,
    lifetime: Duration,
) -> Result<Rotation, StoreError> {
    let rotated: Result<bool, _> = ROTATE
        .key(key(id))
        .arg(shown_digest)
        .arg(successor_digest)
        .arg(stamp.hyphenated().to_string())
        .arg(now)
        .arg(seconds(lifetime))
        .invoke_async(&mut redis.clone())
        .await;
    match rotated {
        Ok(true) => Ok(Rotation::Rotated),
        Ok(false) => Ok(Rotation::Refused),
        Err(error) if error.to_string().contains("WRONGTYPE") => Ok(Rotation::Refused),
        Err(error) => Err(error.into()),
    }
}

/// When a session is told of its account's new password stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restamp {
    /// Before the new password is committed: from here on the session is alive under both.
    Announce,
    /// After it.
    Confirm,
}

/// Lets the session outlive the change of password that it asks for. False if it is over.
pub async fn restamp(redis: &Redis, id: SessionId, when: Restamp, stamp: Uuid) -> Result<bool, StoreError> {
    let field = match when {
        Restamp::Announce => "stamp_next",
        Restamp::Confirm => "stamp",
    };
    Ok(RESTAMP.key(key(id)).arg(field).arg(stamp.hyphenated().to_string()).invoke_async(&mut redis.clone()).await?)
}

/// Whether Redis answers.
pub async fn ping(redis: &Redis) -> Result<(), StoreError> {
    Ok(redis::cmd("PING").exec_async(&mut redis.clone()).await?)
}

fn seconds(lifetime: Duration) -> i64 {
    i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)
}
