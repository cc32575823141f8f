//! Sessions. A session's key is the session: delete it by any means, and it is over.
//!
//! `session:{<user_id>}:<sid>` is a hash that expires with the refresh token; the braces put all of a user's keys into one
//! slot of a Redis Cluster. It holds ids, times and digests, and nothing that opens anything:
//!
//! | field | what |
//! | --- | --- |
//! | `refresh` | SHA-256 of the current refresh token's `jti`, in hexadecimal |
//! | `previous`, `rotated_at` | the one before it, and when it was rotated |
//! | `successor` | the ends, 32 digits each, of `refresh` and of its successor's digest |
//! | `stamp` | the account's password stamp; the session is alive while they are the same |
//! | `stamp_next` | the stamp that the account is about to get from this very session |
//! | `created_at`, `last_used_at` | times, as `rotated_at`: Unix seconds by Redis's clock |
//! | `ip`, `user_agent` | of who signed in |
//!
//! `sessions:{<user_id>}` is the index: a sorted set of `sid` by `last_used_at`. It may name sessions that are over, and
//! where it was deleted it names those that were refreshed since: it only lists, and bounds their number.
//!
//! Redis may lose its last second of writes. `successor` then tells a client whose rotation was lost from a reused token.
//! Sessions of earlier releases have none, and a replica of an earlier release leaves an outdated one: it counts while it
//! begins with the end of `refresh`.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;
use uuid::Uuid;

use super::StoreError;
use super::lease::Validity;
use super::redis_link::deadline::script_with_deadline;
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
    /// Digests of the first refresh token and of its successor.
    pub digests: &'a [String; 2],
    /// The account's password stamp.
    pub stamp: Uuid,
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

static CREATE: LazyLock<Script> = LazyLock::new(|| script_with_deadline(include_str!("create_session.lua")));
static ROTATE: LazyLock<Script> = LazyLock::new(|| script_with_deadline(include_str!("rotate.lua")));
static ANNOUNCE_STAMP: LazyLock<Script> = LazyLock::new(|| script_with_deadline(include_str!("restamp.lua")));
static CONFIRM_STAMP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("restamp.lua")));

/// How often a session is tried to be made while others of the same user are.
const CREATE_TRIES: usize = 10;

/// Creates a session, and returns when, in Unix seconds by Redis's clock. Of more than `sessions_max` of one user the least
/// recently used one ends.
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
    for _ in 0..CREATE_TRIES {
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

/// A presented refresh token.
#[derive(Clone, Copy, Debug)]
pub struct PresentedToken<'a> {
    /// The token's session.
    pub session: SessionId,
    /// Digests of the token, of its successor, and of the one after that.
    pub digests: &'a [String; 3],
    /// The account's password stamp.
    pub stamp: Uuid,
}

/// Outcome of a rotation: refresh token rotation with reuse detection (RFC 9700, section 4.14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum RotationOutcome {
    /// A successor was issued. Times are Unix seconds by Redis's clock.
    Rotated {
        /// When: `now`, or earlier within the grace.
        issued_at: u64,
        /// When the script was executed.
        now: u64,
    },
    /// The session has ended.
    SessionNotFound,
    /// The session is of another password than `stamp`.
    PasswordChanged,
    /// The token had been used before; the session was revoked.
    ReuseDetected,
}

/// Rotates a refresh token, in one script. A session lives for `lifetime` from then; for `grace` the token gets the same
/// successor again.
pub async fn rotate(
    redis: &Redis,
    presented: PresentedToken<'_>,
    lifetime: Duration,
    grace: Duration,
) -> Result<RotationOutcome, StoreError> {
    let PresentedToken { session, digests: [token, successor, next], stamp } = presented;
    let mut call = ROTATE.key(session.key());
    call.key(index_key(session.user_id))
        .arg(token)
        .arg(successor)
        .arg(successor_field(successor, next))
        .arg(stamp.hyphenated().to_string())
        .arg(seconds(lifetime))
        .arg(seconds(grace))
        .arg(session.sid.hyphenated().to_string());
    let (rotated, now): (i64, u64) = match call.invoke_async(&mut redis.clone()).await {
        Ok(rotated) => rotated,
        Err(error) if is_of_another_shape(&error) => return Ok(RotationOutcome::SessionNotFound),
        Err(error) => return Err(error.into()),
    };
    Ok(match (rotated, u64::try_from(rotated)) {
        (_, Ok(issued_at)) => RotationOutcome::Rotated { issued_at, now },
        (-1, _) => RotationOutcome::SessionNotFound,
        (-2, _) => RotationOutcome::PasswordChanged,
        _ => RotationOutcome::ReuseDetected,
    })
}

/// Value of `successor`. Half a digest names a token well enough, and Redis keeps a hash compact up to 64 bytes a value.
fn successor_field(refresh: &str, successor: &str) -> String {
    let end = |digest: &str| digest.get(digest.len().saturating_sub(32)..).unwrap_or_default().to_owned();
    end(refresh) + &end(successor)
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
    let (script, field) = match when {
        Restamp::Announce => (&ANNOUNCE_STAMP, "stamp_next"),
        Restamp::Confirm => (&CONFIRM_STAMP, "stamp"),
    };
    Ok(script.key(id.key()).arg(field).arg(stamp.hyphenated().to_string()).invoke_async(&mut redis.clone()).await?)
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
