//! Copies of accounts in Redis, beside their sessions: what one replica has read from Postgres the others need not read.
//!
//! `user:{<user_id>}` is a hash of `version` and `row`. Postgres is the truth, and a copy never outlives its lifetime
//! (`USER_COPY_SECONDS`): so long it may be older than the row where nobody was there to be told of a change.
//!
//! - of two rows the one with the higher version stays, so that who was slow to read can't put an old one back;
//! - who changes an account says so before the commit ([`announce`]): from then on there is no copy, and none older than
//!   the change is taken. So a crash right after the commit leaves no old copy either.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;
use serde::{Deserialize, Serialize};
use shared::media_api::ImageName;
use uuid::Uuid;

use super::redis_link::{Redis, Tracked};
use super::users::User;
use super::{StoreError, millis};

/// How long an announced change is remembered: longer than any transaction, and than any read that began before it.
const ANNOUNCED: Duration = Duration::from_mins(10);

static PUT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("put_user.lua")));
static ANNOUNCE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("announce_user.lua")));

/// The row as it is written: short names, since there are many.
#[derive(Serialize, Deserialize)]
struct Row<'a> {
    #[serde(rename = "e")]
    email: std::borrow::Cow<'a, str>,
    #[serde(rename = "n")]
    full_name: std::borrow::Cow<'a, str>,
    #[serde(rename = "p")]
    profile_pic: Option<std::borrow::Cow<'a, str>>,
    #[serde(rename = "s")]
    password_stamp: Uuid,
    #[serde(rename = "d")]
    is_disabled: bool,
}

/// The key of an account's copy.
pub fn key(id: Uuid) -> String {
    format!("user:{{{}}}", id.hyphenated())
}

/// The account of a key.
pub fn id_of(key: &[u8]) -> Option<Uuid> {
    Uuid::try_parse_ascii(key.strip_prefix(b"user:{")?.strip_suffix(b"}")?).ok()
}

/// The copy, if there is one. What a hand has made into something else is none.
pub async fn read(redis: &Redis, id: Uuid) -> Result<Tracked<Option<User>>, StoreError> {
    let read = redis.read_tracked::<(Option<i64>, Option<String>)>(&key(id), &["version", "row"]).await;
    match read {
        Ok(Tracked { value: (Some(version), Some(row)), expires, lease }) => {
            Ok(Tracked { value: parse(id, version, &row), expires, lease })
        }
        Ok(Tracked { expires, lease, .. }) => Ok(Tracked { value: None, expires, lease }),
        Err(StoreError::Redis(error)) if super::sessions::is_of_another_shape(&error) => Ok(Tracked::nothing()),
        Err(error) => Err(error),
    }
}

fn parse(id: Uuid, version: i64, row: &str) -> Option<User> {
    let row: Row<'_> = serde_json::from_str(row).ok()?;
    Some(User {
        id,
        version,
        email: row.email.into_owned(),
        full_name: row.full_name.into_owned(),
        profile_pic: row.profile_pic.map(|name| ImageName::parse(&name)).transpose().ok()?,
        password_stamp: row.password_stamp,
        is_disabled: row.is_disabled,
    })
}

/// Keeps a row that was read from Postgres for `lifetime`, unless a newer one is known.
pub async fn put(redis: &Redis, user: &User, lifetime: Duration) -> Result<(), StoreError> {
    let row = Row {
        email: (&user.email).into(),
        full_name: (&user.full_name).into(),
        profile_pic: user.profile_pic.as_ref().map(|name| name.as_str().into()),
        password_stamp: user.password_stamp,
        is_disabled: user.is_disabled,
    };
    let row = serde_json::to_string(&row).map_err(|error| StoreError::NoConnection(error.to_string()))?;
    let mut call = PUT.key(key(user.id));
    call.arg(user.version).arg(row).arg(millis(lifetime));
    Ok(call.invoke_async(&mut redis.clone()).await?)
}

/// The account is about to have this version, or has: no older copy is kept, nor taken for [`ANNOUNCED`].
pub async fn announce(redis: &Redis, id: Uuid, version: i64) -> Result<(), StoreError> {
    let mut call = ANNOUNCE.key(key(id));
    call.arg(version).arg(millis(ANNOUNCED));
    Ok(call.invoke_async(&mut redis.clone()).await?)
}
