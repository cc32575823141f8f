//! The JSON of responses. The order of the fields is part of the API.

use serde::Serialize;
use shared::http::RequestHead;
use shared::media_api::{ImageName, PUBLIC_PREFIX};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::client_info::public_url;
use crate::config::Config;
use crate::store::sessions::Session;
use crate::store::users::User;
use crate::tokens::TokenPair;

/// A user.
#[derive(Serialize)]
pub struct UserResponse<'a> {
    id: Uuid,
    full_name: &'a str,
    email: &'a str,
    profile_pic: Option<String>,
}

impl<'a> UserResponse<'a> {
    /// Returns the user, with a link to the picture under the URL that the client used.
    pub fn new(user: &'a User, config: &Config, head: &RequestHead) -> Self {
        let link = |name: &ImageName| format!("{}{PUBLIC_PREFIX}{}", public_url(config, head), name.as_str());
        Self {
            id: user.id,
            full_name: &user.full_name,
            email: &user.email,
            profile_pic: user.profile_pic.as_ref().map(link),
        }
    }
}

/// A new session.
#[derive(Serialize)]
pub struct LoginResponse<'a> {
    /// The first tokens.
    pub tokens: TokenPair,
    /// The user.
    pub data: UserResponse<'a>,
}

/// A session as listed to its user.
#[derive(Serialize)]
pub struct SessionResponse {
    id: Uuid,
    created_at: String,
    last_used_at: String,
    ip: String,
    user_agent: String,
    current: bool,
}

impl SessionResponse {
    /// Returns a session; `current` is the `sid` of the request's token.
    pub fn new(session: Session, current: Uuid) -> Self {
        Self {
            id: session.sid,
            created_at: rfc3339(session.created_at),
            last_used_at: rfc3339(session.last_used_at),
            ip: session.ip,
            user_agent: session.user_agent,
            current: session.sid == current,
        }
    }
}

/// Formats a time as RFC 3339 in UTC. One outside of the calendar becomes the epoch.
fn rfc3339(unix_seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(unix_seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}
