//! The claims of a token.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::store::sessions::SessionId;

/// What a token is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// Authenticates requests.
    Access,
    /// Is exchanged once for the next pair of tokens.
    Refresh,
}

impl std::fmt::Display for TokenType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
        })
    }
}

/// The claims of every token. All are required and typed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    pub token_type: TokenType,
    pub user_id: Uuid,
    /// Id of the session.
    pub sid: Uuid,
    pub jti: Uuid,
    /// In Unix seconds by Redis's clock.
    pub iat: u64,
    /// In Unix seconds.
    pub exp: u64,
    pub iss: String,
}

impl Claims {
    /// Returns the session that the token belongs to.
    pub fn session(&self) -> SessionId {
        SessionId { user_id: self.user_id, sid: self.sid }
    }
}

/// What an access token says in addition, for services that verify it; auth-api does not read it.
#[derive(Debug, Serialize)]
pub(super) struct AccessClaims<'a> {
    #[serde(flatten)]
    pub(super) claims: &'a Claims,
    /// The user's id.
    pub(super) sub: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aud: Option<&'a Audience>,
    pub(super) roles: [&'static str; 0],
    pub(super) email_verified: bool,
}

/// The services that access tokens are meant for (RFC 7519, section 4.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    /// Parses a list separated by commas; `None` if it is empty.
    pub fn parse(text: &str) -> Option<Self> {
        let mut names: Vec<_> =
            text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect();
        if names.len() > 1 { Some(Self::Several(names)) } else { names.pop().map(Self::One) }
    }
}

/// Why a token is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Malformed, forged, of another issuer or revoked, or its user is deleted or disabled.
    #[error("Token is invalid")]
    Invalid,
    #[error("Token is expired")]
    Expired,
    /// An access token in place of a refresh token, or the reverse.
    #[error("Token has wrong type")]
    WrongType,
}
