//! Sessions. A session's key is the session: delete it by any means, and it is over.
//!
//! `session:{<user_id>}:<sid>` is a hash that expires with the refresh token; the braces put all of a user's keys into one
//! slot of a Redis Cluster. It holds ids, times and digests, and nothing that opens anything:
//!
//! | field | what |
//! | --- | --- |
//! | `refresh` | SHA-256 of the current refresh token's `jti`, in hexadecimal |
//! | `previous`, `rotated_at` | the one before it, and when it was changed for the current one, in Unix seconds |
//! | `stamp` | the account's password stamp; the session is alive while they are the same |
//! | `stamp_next` | the stamp that the account is about to get from this very session |
//! | `created_at`, `last_used_at` | Unix seconds |
//! | `ip`, `user_agent` | of who signed in |
//!
//! `sessions:{<user_id>}` is the index: a sorted set of `sid` by `last_used_at`. It may name sessions that are over, and
//! where it was deleted it names those that were refreshed since: it only lists, and bounds their number.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;
use uuid::Uuid;

use super::StoreError;
use super::lease::Validity;
use super::redis_link::{Redis, Tracked};

/// A session's name: whose it is, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId {
    /// The account.
    pub user_id: Uuid,
    /// The `sid` of its tokens.
    pub sid: Uuid,
}

impl SessionId {
    /// The session's key.
    pub fn key(self) -> String {
        key(self.user_id, &self.sid.hyphenated().to_string())
    }

    /// The session of a key.
    pub fn of_key(key: &[u8]) -> Option<Self> {
        let (user_id, rest) = key.strip_prefix(b"session:{")?.split_at_checked(36)?;
        let sid = Uuid::try_parse_ascii(rest.strip_prefix(b"}:")?).ok()?;
        Some(Self { user_id: Uuid::try_parse_ascii(user_id).ok()?, sid })
    }
}

fn key(user_id: Uuid, sid: &str) -> String {
    format!("session:{{{}}}:{sid}", user_id.hyphenated())
}

fn index_key(user_id: Uuid) -> String {
    format!("sessions:{{{}}}", user_id.hyphenated())
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamps {
    current: Uuid,
    next: Option<Uuid>,
}

impl Stamps {
    /// Whether the session is alive for an account with this stamp.
    #[must_use]
    pub fn admit(&self, stamp: Uuid) -> bool {
        self.current == stamp || self.next == Some(stamp)
    }

    fn parse(current: &str, next: Option<&str>) -> Option<Self> {
        let next = next.map(Uuid::try_parse).transpose().ok()?;
        Some(Self { current: Uuid::try_parse(current).ok()?, next })
    }
}

static CREATE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("create_session.lua")));
static ROTATE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("rotate.lua")));
static RESTAMP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("restamp.lua")));

/// How often a session is tried to be made while others of the same user are.
const CREATE_TRIES: usize = 10;

/// Makes a session. Of more than `sessions_max` of one user the least recently used one ends.
pub async fn create(redis: &Redis, new: &NewSession<'_>, sessions_max: usize) -> Result<(), StoreError> {
    let (now, stamp, ip) = (new.now.to_string(), new.stamp.hyphenated().to_string(), new.ip.to_string());
    let fields = [
        ("refresh", new.refresh_digest),
        ("stamp", &stamp),
        ("created_at", &now),
        ("last_used_at", &now),
        ("ip", &ip),
        ("user_agent", new.user_agent),
    ];
    let mut others: Vec<String> = Vec::new();
    for _ in 0..CREATE_TRIES {
        let mut call = CREATE.key(new.id.key());
        call.key(index_key(new.id.user_id));
        for other in &others {
            call.key(key(new.id.user_id, other));
        }
        call.arg(new.id.sid.hyphenated().to_string()).arg(&now).arg(seconds(new.lifetime)).arg(sessions_max);
        for other in &others {
            call.arg(other);
        }
        for (name, value) in fields {
            call.arg(name).arg(value);
        }
        if call.invoke_async(&mut redis.clone()).await? {
            return Ok(());
        }
        others = names(redis, new.id.user_id).await?;
    }
    Err(StoreError::Busy)
}

/// What the index names, least recently used first.
async fn names(redis: &Redis, user_id: Uuid) -> Result<Vec<String>, StoreError> {
    Ok(redis::cmd("ZRANGE").arg(index_key(user_id)).arg(0).arg(-1).query_async(&mut redis.clone()).await?)
}

/// A session as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The `sid` of its tokens.
    pub sid: Uuid,
    /// Unix seconds.
    pub created_at: i64,
    /// When it was last refreshed, in Unix seconds.
    pub last_used_at: i64,
    /// Of who signed in.
    pub ip: String,
    /// What they said they used.
    pub user_agent: String,
}

const FIELDS: [&str; 6] = ["stamp", "stamp_next", "created_at", "last_used_at", "ip", "user_agent"];

/// The sessions that are alive for an account with this stamp, most recently used first.
pub async fn list(redis: &Redis, user_id: Uuid, stamp: Uuid) -> Result<Vec<Session>, StoreError> {
    let names = names(redis, user_id).await?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    // What a hand has spoilt of one session hides none of the others.
    let mut reads = redis::pipe();
    reads.ignore_errors();
    for sid in &names {
        reads.cmd("HMGET").arg(key(user_id, sid)).arg(&FIELDS);
    }
    let rows: Vec<Result<[Option<String>; 6], redis::RedisError>> = reads.query_async(&mut redis.clone()).await?;
    let mut listed = Vec::with_capacity(names.len());
    for (sid, fields) in names.iter().zip(rows).rev() {
        match fields {
            Ok(fields) => listed.extend(alive(sid, fields, stamp)),
            Err(error) if is_of_another_shape(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(listed)
}

fn alive(sid: &str, fields: [Option<String>; 6], account_stamp: Uuid) -> Option<Session> {
    let [stamp, stamp_next, created_at, last_used_at, ip, user_agent] = fields;
    Stamps::parse(&stamp?, stamp_next.as_deref())?.admit(account_stamp).then_some(())?;
    Some(Session {
        sid: Uuid::try_parse(sid).ok()?,
        created_at: created_at?.parse().ok()?,
        last_used_at: last_used_at?.parse().ok()?,
        ip: ip?,
        user_agent: user_agent?,
    })
}

/// Ends a session. False if it was over.
pub async fn end(redis: &Redis, id: SessionId) -> Result<bool, StoreError> {
    let (ended,): (usize,) = redis::pipe()
        .atomic()
        .del(id.key())
        .zrem(index_key(id.user_id), id.sid.hyphenated().to_string())
        .ignore()
        .query_async(&mut redis.clone())
        .await?;
    Ok(ended > 0)
}

/// Ends the sessions of a user, all but `kept`, and says which.
pub async fn end_others(redis: &Redis, user_id: Uuid, kept: Option<Uuid>) -> Result<Vec<SessionId>, StoreError> {
    let kept = kept.map(|sid| sid.hyphenated().to_string());
    let mut names = names(redis, user_id).await?;
    names.retain(|sid| Some(sid) != kept.as_ref());
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let ended = names.iter().filter_map(|sid| Some(SessionId { user_id, sid: Uuid::try_parse(sid).ok()? })).collect();
    let keys: Vec<String> = names.iter().map(|sid| key(user_id, sid)).collect();
    redis::pipe()
        .atomic()
        .del(keys)
        .ignore()
        .zrem(index_key(user_id), names)
        .ignore()
        .exec_async(&mut redis.clone())
        .await?;
    Ok(ended)
}

/// The stamps of a session, `None` if it is over, and how long that is good. A key that a hand has made into something else
/// is no session.
pub async fn stamps(redis: &Redis, id: SessionId) -> Result<(Option<Stamps>, Validity), StoreError> {
    let spoilt = || {
        tracing::warn!(sid = %id.sid, "a session key holds something else than a session");
        None
    };
    let read = redis.read_tracked::<(Option<String>, Option<String>)>(&id.key(), &["stamp", "stamp_next"]).await;
    let Tracked { value, expires, lease } = match read {
        Ok(read) => read,
        Err(StoreError::Redis(error)) if is_of_another_shape(&error) => return Ok((spoilt(), Validity::none())),
        Err(error) => return Err(error),
    };
    let stamps = match value {
        (None, None) => None,
        (None, Some(_)) => spoilt(),
        (Some(current), next) => Stamps::parse(&current, next.as_deref()).or_else(spoilt),
    };
    Ok((stamps, lease.map_or_else(Validity::none, |lease| Validity::leased(expires, [Some(lease), None]))))
}

/// Whether a key holds something else than we put there.
pub(super) fn is_of_another_shape(error: &redis::RedisError) -> bool {
    error.to_string().contains("WRONGTYPE") || error.kind() == redis::ErrorKind::UnexpectedReturnType
}

/// A refresh token that was shown, and what it is to be changed for.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The token's session.
    pub session: SessionId,
    /// Digest of its `jti`.
    pub digest: &'a str,
    /// Digest of its successor's.
    pub successor_digest: &'a str,
    /// The account's password stamp.
    pub stamp: Uuid,
}

/// How an attempt to rotate a refresh token ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Rotation {
    /// The successor was issued at this time, in Unix seconds: now, or within the grace.
    Issued(u64),
    /// The session is over.
    Over,
    /// The session is of another password than `stamp`'s.
    OtherPassword,
    /// The token was used before: somebody has kept it. The session has ended.
    Reused,
}

/// Changes a refresh token for its successor, in one script, at `now` in Unix seconds.
pub async fn rotate(
    redis: &Redis,
    shown: Shown<'_>,
    now: u64,
    lifetime: Duration,
    grace: Duration,
) -> Result<Rotation, StoreError> {
    let mut call = ROTATE.key(shown.session.key());
    call.key(index_key(shown.session.user_id))
        .arg(shown.digest)
        .arg(shown.successor_digest)
        .arg(shown.stamp.hyphenated().to_string())
        .arg(now)
        .arg(seconds(lifetime))
        .arg(seconds(grace))
        .arg(shown.session.sid.hyphenated().to_string());
    let rotated: i64 = match call.invoke_async(&mut redis.clone()).await {
        Ok(rotated) => rotated,
        Err(error) if is_of_another_shape(&error) => return Ok(Rotation::Over),
        Err(error) => return Err(error.into()),
    };
    Ok(match (rotated, u64::try_from(rotated)) {
        (_, Ok(issued_at)) => Rotation::Issued(issued_at),
        (-1, _) => Rotation::Over,
        (-2, _) => Rotation::OtherPassword,
        _ => Rotation::Reused,
    })
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
    Ok(RESTAMP.key(id.key()).arg(field).arg(stamp.hyphenated().to_string()).invoke_async(&mut redis.clone()).await?)
}

/// Whether Redis answers.
pub async fn ping(redis: &Redis) -> Result<(), StoreError> {
    Ok(redis::cmd("PING").exec_async(&mut redis.clone()).await?)
}

fn seconds(lifetime: Duration) -> i64 {
    i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_known_by_its_key() {
        let id = SessionId { user_id: Uuid::from_u128(1), sid: Uuid::from_u128(2) };
        assert_eq!(SessionId::of_key(id.key().as_bytes()), Some(id));
        for other in ["", "session:", "session:{x}:y", "user:{00000000-0000-0000-0000-000000000001}"] {
            assert_eq!(SessionId::of_key(other.as_bytes()), None);
        }
    }
}
