//! Authentication of bearer tokens. Only this module makes a [`Caller`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{AUTHORIZATION, HeaderMap};
use shared::http::router::Authenticate;
use shared::http::{Problem, RequestHead};
use uuid::Uuid;

use crate::app::App;
use crate::error::Error;
use crate::store::sessions::{self, SessionId, SessionStamps};
use crate::store::users::User;
use crate::tokens::{TokenError, TokenType, VerifiedToken};

/// The user and the session of a valid access token.
#[derive(Clone, Debug)]
pub struct Caller {
    user: Arc<User>,
    session: SessionId,
}

impl Caller {
    /// Returns the user.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// Returns the user's id.
    pub fn id(&self) -> Uuid {
        self.user.id
    }

    /// Returns the session of the token.
    pub fn session(&self) -> SessionId {
        self.session
    }
}

impl Authenticate for App {
    type Caller = Caller;

    async fn authenticate(&self, head: &RequestHead) -> Result<Caller, Problem> {
        Ok(authenticate_token(self, head).await?)
    }
}

/// Authenticates the request by its bearer token (`JWT` or `Bearer` scheme, case-insensitive).
async fn authenticate_token(app: &App, head: &RequestHead) -> Result<Caller, Error> {
    let token =
        app.tokens.verify(bearer_token(head.headers())?, TokenType::Access).await.map_err(Error::AccessToken)?;
    let caller = find_caller(app, token.claims.session()).await?;
    if !token.is_use_recorded.load(Ordering::Relaxed) {
        // Boxed: keeps the future of all later uses small.
        Box::pin(record_use(app, &token)).await;
    }
    Ok(caller)
}

/// Records the first use of an access token on this replica. A failure does not fail the request; the next use retries.
async fn record_use(app: &App, token: &VerifiedToken) {
    match sessions::record_use(&app.redis, token.claims.session(), token.claims.jti).await {
        Ok(()) => token.is_use_recorded.store(true, Ordering::Relaxed),
        Err(error) => tracing::debug!(%error, "use of an access token not recorded; its next use retries"),
    }
}

async fn find_caller(app: &App, session: SessionId) -> Result<Caller, Error> {
    let revoked = || Error::AccessToken(TokenError::Invalid);
    let (stamps, user) = tokio::join!(app.session_cache.stamps(session), app.users.get(session.user_id));
    let (Some(stamps), Some(user)) = (stamps?, user?) else { return Err(revoked()) };
    if user.is_disabled {
        return Err(revoked());
    }
    if sessions::ends_at(stamps.created_at, app.config.session_lifetime_max) <= app.clock.unix_seconds() {
        return Err(Error::AccessToken(TokenError::Expired));
    }
    if let Some(caller) = caller(stamps, user, session) {
        return Ok(caller);
    }
    // The password has changed, and one of the two cache entries may be from before. The user first: the pending stamp is in
    // Redis before the commit.
    let user = app.users.reload(session.user_id).await?.ok_or_else(revoked)?;
    let stamps = app.session_cache.reload(session).await?.ok_or_else(revoked)?;
    caller(stamps, user, session).ok_or_else(revoked)
}

fn caller(stamps: SessionStamps, user: Arc<User>, session: SessionId) -> Option<Caller> {
    (!user.is_disabled && stamps.matches(user.password_stamp)).then_some(Caller { user, session })
}

fn bearer_token(headers: &HeaderMap) -> Result<&str, Error> {
    let Some(header) = headers.get(AUTHORIZATION) else { return Err(Error::NoAccessToken) };
    let malformed = Error::AccessToken(TokenError::Invalid);
    let Ok(header) = header.to_str() else { return Err(malformed) };
    let mut words = header.split_ascii_whitespace();
    let scheme = words.next().unwrap_or_default();
    if !(scheme.eq_ignore_ascii_case("jwt") || scheme.eq_ignore_ascii_case("bearer")) {
        return Err(Error::NoAccessToken);
    }
    match (words.next(), words.next()) {
        (Some(token), None) => Ok(token),
        _ => Err(malformed),
    }
}
