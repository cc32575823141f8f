//! Sessions, in Redis. The key is the session: deleting it, by any means, ends the session.
//!
//! `session:{<user_id>}:<sid>` is a hash that expires with the refresh token; the braces put all of a user's keys into one
//! slot of a Redis Cluster. It holds ids, times and digests, and no secret:
//!
//! | field | what |
//! | --- | --- |
//! | `refresh` | SHA-256 of the current refresh token's `jti`, in hexadecimal |
//! | `previous`, `rotated_at` | the one before it, and when it was rotated |
//! | `successor` | the last 32 digits each of `refresh` and of its successor's digest |
//! | `unused` | `jti` of the current access token while neither it nor `refresh` has been used |
//! | `stamp` | the user's password stamp; the session is alive while they are equal |
//! | `stamp_next` | pending password stamp: the user is about to get it from this very session |
//! | `created_at`, `last_used_at` | times, as `rotated_at`: Unix seconds by Redis's clock |
//! | `ip`, `user_agent` | of the sign-in |
//!
//! `sessions:{<user_id>}` is the index: a sorted set of `sid` by `last_used_at`. It may name sessions that have ended, and
//! after a deletion it names those that were refreshed since: it only lists sessions, and bounds their number.
//!
//! At its memory limit Redis refuses a script only if its first write may need memory. So every script but the one that
//! creates a session writes first what needs none, and works then.
//!
//! Redis may lose its last second of writes. `successor` then distinguishes a client whose rotation was lost from the reuse
//! of a token. Sessions of earlier releases have none, and a replica of an earlier release leaves an outdated one: it counts
//! while it begins with the end of `refresh`. Likewise, `unused` counts while it is of the current pair.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;
use uuid::Uuid;

use super::StoreError;
use crate::redis_client::deadline::script_with_deadline;
use crate::redis_client::{Redis, Tracked};

/// Name of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId {
    pub user_id: Uuid,
    /// The `sid` claim of its tokens.
    pub sid: Uuid,
}

impl SessionId {
    /// Returns the session's key in Redis.
    pub fn key(self) -> String {
        key(self.user_id, &self.sid.hyphenated().to_string())
    }

    /// Parses the key of a session.
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

/// A session to create.
pub struct NewSession<'a> {
    pub id: SessionId,
    /// Digests of the first refresh token and of its successor.
    pub digests: &'a [String; 2],
    /// The user's password stamp.
    pub stamp: Uuid,
    /// Time until it expires unless it is refreshed.
    pub lifetime: Duration,
    pub ip: IpAddr,
    pub user_agent: &'a str,
}

/// The password stamps under which a session is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionStamps {
    committed: Uuid,
    pending: Option<Uuid>,
    /// In Unix seconds by Redis's clock.
    pub created_at: u64,
}

impl SessionStamps {
    /// Whether the session is alive for a user with this password stamp.
    #[must_use]
    pub fn matches(&self, password_stamp: Uuid) -> bool {
        self.committed == password_stamp || self.pending == Some(password_stamp)
    }

    fn parse(committed: &str, pending: Option<&str>, created_at: Option<&str>) -> Option<Self> {
        let pending = pending.map(Uuid::try_parse).transpose().ok()?;
        let created_at = parse_created_at(created_at);
        Some(Self { committed: Uuid::try_parse(committed).ok()?, pending, created_at })
    }
}

/// A session without a valid time, as after a manual edit, has reached any limit of its lifetime.
fn parse_created_at(field: Option<&str>) -> u64 {
    field.and_then(|time| time.parse().ok()).unwrap_or_default()
}

/// Returns when a session ends, however often it is refreshed, in Unix seconds; `u64::MAX` without a `limit` of its lifetime.
pub fn ends_at(created_at: u64, limit: Option<Duration>) -> u64 {
    limit.map_or(u64::MAX, |limit| created_at.saturating_add(limit.as_secs()))
}

static CREATE: LazyLock<Script> = LazyLock::new(|| script_with_deadline(include_str!("create_session.lua")));
static ROTATE: LazyLock<Script> = LazyLock::new(|| script_with_deadline(include_str!("rotate.lua")));
static RECORD_USE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("record_use.lua")));
static SET_PENDING_STAMP: LazyLock<Script> =
    LazyLock::new(|| script_with_deadline(include_str!("set_password_stamp.lua")));
static SET_COMMITTED_STAMP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("set_password_stamp.lua")));

/// Attempts to create a session while others of the same user are being created.
const CREATE_ATTEMPTS: usize = 10;

/// Creates a session, and returns its creation time in Unix seconds by Redis's clock. Of more than `sessions_max` of one
/// user the least recently used one ends.
pub async fn create(redis: &Redis, new: &NewSession<'_>, sessions_max: usize) -> Result<u64, StoreError> {
    let [refresh, successor] = new.digests;
    let (stamp, ip) = (new.stamp.hyphenated().to_string(), new.ip.to_string());
    let fields = [
        ("refresh", refresh.as_str()),
        ("successor", &successor_field(refresh, successor)),
        ("stamp", &stamp),
        ("ip", &ip),
        ("user_agent", new.user_agent),
    ];
    let mut others: Vec<String> = Vec::new();
    for _ in 0..CREATE_ATTEMPTS {
        let mut call = CREATE.key(new.id.key());
        call.key(index_key(new.id.user_id));
        for other in &others {
            call.key(key(new.id.user_id, other));
        }
        call.arg(new.id.sid.hyphenated().to_string()).arg(seconds(new.lifetime)).arg(sessions_max);
        for other in &others {
            call.arg(other);
        }
        for (name, value) in fields {
            call.arg(name).arg(value);
        }
        match call.invoke_async(&mut redis.clone()).await? {
            0 => (),
            created_at => return Ok(created_at),
        }
        others = indexed(redis, new.id.user_id).await?;
    }
    Err(StoreError::Busy)
}

/// The `sid`s in the index, least recently used first.
async fn indexed(redis: &Redis, user_id: Uuid) -> Result<Vec<String>, StoreError> {
    Ok(redis::cmd("ZRANGE").arg(index_key(user_id)).arg(0).arg(-1).query_async(&mut redis.clone()).await?)
}

/// A session as listed to its user. Times are in Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub sid: Uuid,
    pub created_at: i64,
    /// Time of the sign-in or of the last refresh.
    pub last_used_at: i64,
    pub ip: String,
    pub user_agent: String,
}

const FIELDS: [&str; 6] = ["stamp", "stamp_next", "created_at", "last_used_at", "ip", "user_agent"];

/// Returns the sessions that are alive for a user with this password stamp, most recently used first.
pub async fn list(redis: &Redis, user_id: Uuid, password_stamp: Uuid) -> Result<Vec<Session>, StoreError> {
    let names = indexed(redis, user_id).await?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    // A malformed session must not hide the others.
    let mut reads = redis::pipe();
    reads.ignore_errors();
    for sid in &names {
        reads.cmd("HMGET").arg(key(user_id, sid)).arg(&FIELDS);
    }
    let rows: Vec<Result<[Option<String>; 6], redis::RedisError>> = reads.query_async(&mut redis.clone()).await?;
    let mut listed = Vec::with_capacity(names.len());
    for (sid, fields) in names.iter().zip(rows).rev() {
        match fields {
            Ok(fields) => listed.extend(alive(sid, fields, password_stamp)),
            Err(error) if has_other_shape(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(listed)
}

fn alive(sid: &str, fields: [Option<String>; 6], password_stamp: Uuid) -> Option<Session> {
    let [stamp, stamp_next, created_at, last_used_at, ip, user_agent] = fields;
    SessionStamps::parse(&stamp?, stamp_next.as_deref(), created_at.as_deref())?
        .matches(password_stamp)
        .then_some(())?;
    Some(Session {
        sid: Uuid::try_parse(sid).ok()?,
        created_at: created_at?.parse().ok()?,
        last_used_at: last_used_at?.parse().ok()?,
        ip: ip?,
        user_agent: user_agent?,
    })
}

/// Ends a session. Returns false if it had ended.
pub async fn end(redis: &Redis, id: SessionId) -> Result<bool, StoreError> {
    // No transaction: at its memory limit Redis refuses to queue even a DEL.
    let (ended,): (usize,) = redis::pipe()
        .del(id.key())
        .zrem(index_key(id.user_id), id.sid.hyphenated().to_string())
        .ignore()
        .query_async(&mut redis.clone())
        .await?;
    Ok(ended > 0)
}

/// Ends the sessions of a user, all but `kept`, and returns which.
pub async fn end_others(redis: &Redis, user_id: Uuid, kept: Option<Uuid>) -> Result<Vec<SessionId>, StoreError> {
    let kept = kept.map(|sid| sid.hyphenated().to_string());
    let mut names = indexed(redis, user_id).await?;
    names.retain(|sid| Some(sid) != kept.as_ref());
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let ended = names.iter().filter_map(|sid| Some(SessionId { user_id, sid: Uuid::try_parse(sid).ok()? })).collect();
    let keys: Vec<String> = names.iter().map(|sid| key(user_id, sid)).collect();
    redis::pipe().del(keys).zrem(index_key(user_id), names).exec_async(&mut redis.clone()).await?;
    Ok(ended)
}

/// Reads the password stamps of a session, `None` if it has ended, and subscribes to the invalidation of its key. A key of
/// another type or shape (manual edit) counts as no session.
pub async fn read_stamps(redis: &Redis, id: SessionId) -> Result<Tracked<Option<SessionStamps>>, StoreError> {
    let malformed = || {
        tracing::warn!(sid = %id.sid, user_id = %id.user_id, "malformed session in Redis; requests with its tokens are refused");
        None
    };
    let read = redis.read_tracked::<[Option<String>; 3]>(&id.key(), &["stamp", "stamp_next", "created_at"]).await;
    let Tracked { value, ttl, lease } = match read {
        Ok(read) => read,
        Err(error) if has_other_shape(&error) => {
            return Ok(Tracked { value: malformed(), ttl: Duration::ZERO, lease: None });
        }
        Err(error) => return Err(error.into()),
    };
    let stamps = match value {
        [None, None, None] => None,
        [None, ..] => malformed(),
        [Some(committed), pending, created_at] => {
            SessionStamps::parse(&committed, pending.as_deref(), created_at.as_deref()).or_else(malformed)
        }
    };
    Ok(Tracked { value: stamps, ttl, lease })
}

/// Whether a key holds another type or shape than this service writes.
fn has_other_shape(error: &redis::RedisError) -> bool {
    error.to_string().contains("WRONGTYPE") || error.kind() == redis::ErrorKind::UnexpectedReturnType
}

/// A presented refresh token.
#[derive(Clone, Copy, Debug)]
pub struct PresentedToken<'a> {
    pub session: SessionId,
    /// Digests of the token, of its successor, and of the one after that.
    pub digests: &'a [String; 3],
    /// `jti` of the access token issued with its successor.
    pub next_access_jti: Uuid,
    /// The user's password stamp.
    pub stamp: Uuid,
}

/// Outcome of a rotation: refresh token rotation with reuse detection (RFC 9700, section 4.14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum RotationOutcome {
    /// A successor was issued. Times are Unix seconds by Redis's clock.
    Rotated {
        /// `now`, or earlier within the grace period.
        issued_at: u64,
        /// Time of the script's execution.
        now: u64,
        /// Creation of the session.
        created_at: u64,
    },
    SessionNotFound,
    /// The session's password stamps do not match.
    PasswordChanged,
    /// The token had been used before; the session was revoked.
    ReuseDetected,
    /// The session has reached the limit of its lifetime.
    LifetimeEnded,
}

/// Rotates a refresh token, in one script. The session expires after `lifetime`, and at the `limit` of its lifetime from its
/// creation. The token gets the same successor again within `grace`, and until the pair of the successor is used.
pub async fn rotate(
    redis: &Redis,
    presented: PresentedToken<'_>,
    lifetime: Duration,
    limit: Option<Duration>,
    grace: Duration,
) -> Result<RotationOutcome, StoreError> {
    let PresentedToken { session, digests: [token, successor, next], next_access_jti, stamp } = presented;
    let mut call = ROTATE.key(session.key());
    call.key(index_key(session.user_id))
        .arg(token)
        .arg(successor)
        .arg(successor_field(successor, next))
        .arg(stamp.hyphenated().to_string())
        .arg(seconds(lifetime))
        .arg(seconds(grace))
        .arg(session.sid.hyphenated().to_string())
        .arg(next_access_jti.simple().to_string())
        .arg(seconds(limit.unwrap_or_default()));
    let (rotated, now, created_at): (i64, u64, Option<String>) = match call.invoke_async(&mut redis.clone()).await {
        Ok(rotated) => rotated,
        Err(error) if has_other_shape(&error) => return Ok(RotationOutcome::SessionNotFound),
        Err(error) => return Err(error.into()),
    };
    let created_at = parse_created_at(created_at.as_deref());
    Ok(match (rotated, u64::try_from(rotated)) {
        (_, Ok(issued_at)) => RotationOutcome::Rotated { issued_at, now, created_at },
        (-1, _) => RotationOutcome::SessionNotFound,
        (-2, _) => RotationOutcome::PasswordChanged,
        (-4, _) => RotationOutcome::LifetimeEnded,
        _ => RotationOutcome::ReuseDetected,
    })
}

/// Records the use of an access token: after the grace the refresh token before its pair is not repeatable any more.
pub async fn record_use(redis: &Redis, session: SessionId, access_jti: Uuid) -> Result<(), StoreError> {
    let mut call = RECORD_USE.key(session.key());
    call.arg(access_jti.simple().to_string());
    Ok(call.invoke_async(&mut redis.clone()).await?)
}

/// Value of `successor`. Half a digest identifies a token, and Redis keeps a hash compact up to 64 bytes a value.
fn successor_field(refresh: &str, successor: &str) -> String {
    let end = |digest: &str| digest.get(digest.len().saturating_sub(32)..).unwrap_or_default().to_owned();
    end(refresh) + &end(successor)
}

/// State of the password stamp that a session gets when its user changes the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampState {
    /// The change is about to be committed: from now on the session is alive under both stamps.
    Pending,
    /// The change is committed.
    Committed,
}

/// Keeps the session alive through the change of password that it requests. Returns false if it has ended.
pub async fn set_password_stamp(
    redis: &Redis,
    id: SessionId,
    state: StampState,
    stamp: Uuid,
) -> Result<bool, StoreError> {
    let (script, field) = match state {
        StampState::Pending => (&SET_PENDING_STAMP, "stamp_next"),
        StampState::Committed => (&SET_COMMITTED_STAMP, "stamp"),
    };
    Ok(script.key(id.key()).arg(field).arg(stamp.hyphenated().to_string()).invoke_async(&mut redis.clone()).await?)
}

fn seconds(lifetime: Duration) -> i64 {
    i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_parsed_from_its_key() {
        let id = SessionId { user_id: Uuid::from_u128(1), sid: Uuid::from_u128(2) };
        assert_eq!(SessionId::of_key(id.key().as_bytes()), Some(id));
        for other in ["", "session:", "session:{x}:y", "user:{00000000-0000-0000-0000-000000000001}"] {
            assert_eq!(SessionId::of_key(other.as_bytes()), None);
        }
    }
}
