//! The JSON of responses. The order of the fields is part of the API.

use http::header::{HeaderValue, SET_COOKIE};
use schemars::JsonSchema;
use serde::Serialize;
use shared::http::RequestHead;
use shared::media_api::{ImageName, PUBLIC_PREFIX};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;
use warp::reply::{Reply, Response};

use crate::client_info::public_url;
use crate::config::Config;
use crate::error::Error;
use crate::refresh_cookie::CookieConfig;
use crate::store::sessions::Session;
use crate::store::users::User;
use crate::tokens::TokenPair;

/// A user.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub struct UserResponse<'a> {
    id: Uuid,
    full_name: &'a str,
    #[schemars(extend("format" = "idn-email"))]
    email: &'a str,
    /// Link to the picture.
    #[schemars(extend("format" = "uri"))]
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

/// A pair of tokens.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Tokens")]
pub struct TokensResponse {
    /// `None` where it is in a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
    pub access: String,
}

/// Where a response has the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Body,
    Cookie,
}

/// Returns a response with tokens; `body` makes its JSON from what the body has of them.
pub fn with_tokens<T: Serialize>(
    config: &CookieConfig,
    transport: Transport,
    tokens: TokenPair,
    body: impl FnOnce(TokensResponse) -> T,
) -> Result<Response, Error> {
    let TokenPair { refresh, access, refresh_seconds } = tokens;
    Ok(match transport {
        Transport::Body => warp::reply::json(&body(TokensResponse { refresh: Some(refresh), access })).into_response(),
        Transport::Cookie => {
            let response = warp::reply::json(&body(TokensResponse { refresh: None, access }));
            with_cookie(response, config.set(&refresh, refresh_seconds)?)
        }
    })
}

/// Adds a `Set-Cookie`.
pub fn with_cookie(response: impl Reply, cookie: HeaderValue) -> Response {
    let mut response = response.into_response();
    response.headers_mut().insert(SET_COOKIE, cookie);
    response
}

/// A new session.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Login")]
pub struct LoginResponse<'a> {
    /// The first tokens.
    pub tokens: TokensResponse,
    /// The user.
    pub data: UserResponse<'a>,
}

/// A session as listed to its user.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Session")]
pub struct SessionResponse {
    id: Uuid,
    #[schemars(extend("format" = "date-time"))]
    created_at: String,
    #[schemars(extend("format" = "date-time"))]
    last_used_at: String,
    ip: String,
    user_agent: String,
    /// Whether it is the session of the request's token.
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
