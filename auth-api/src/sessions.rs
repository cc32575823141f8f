//! Sessions: create (sign in), refresh, list, delete.

use std::sync::Arc;

use serde::Serialize;
use shared::http::body::BodyReader;
use shared::http::route::Head;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;
use warp::http::StatusCode;
use warp::reply::Reply;

use crate::accounts::UserAnswer;
use crate::caller::{self, Origin};
use crate::domain::{Email, Password, Refusal as ValidationErrors, TextField, present};
use crate::error::{Error, FieldErrors};
use crate::fields::Fields;
use crate::passwords::{Account, authenticate};
use crate::store::sessions::{NewSession, PresentedToken, RotationOutcome, SessionId};
use crate::store::users::User;
use crate::store::{self, StoreError};
use crate::tokens::{Claims, IssueTimes, TokenFault, TokenPair, TokenType, Verified, refresh_digests, successor_jti};
use crate::{App, new_uuid};

#[derive(Serialize)]
struct SignedIn<'a> {
    tokens: TokenPair,
    data: UserAnswer<'a>,
}

/// `POST login`: credentials for a new session.
pub async fn create(app: Arc<App>, head: Head, body: BodyReader) -> Result<impl Reply, Error> {
    let origin = Origin::of(&app, &head);
    let fields = app.bodies.read(body, app.config.body_bytes_max, &["email", "password"]).await?;
    let (email, password) = credentials(&fields)?;
    let user = authenticate(&app, Account::Email(email), password, origin.ip).await?;
    let tokens = open(&app, &user, &origin).await?;
    Ok(warp::reply::json(&SignedIn { tokens, data: UserAnswer::of(&user, &app, &head) }))
}

fn credentials(fields: &Fields) -> Result<(&str, Password), Error> {
    let mut errors = FieldErrors::default();
    let email = errors.take("email", required_text(fields, "email", true, Email::CHARS_MAX));
    let password = errors.take("password", required_text(fields, "password", false, Password::CHARS_MAX));
    match (email, password) {
        (Some(email), Some(password)) => Ok((email, Password::to_compare(password))),
        _ => Err(Error::Fields(errors)),
    }
}

/// A required text without NUL. `chars_max` is the limit of the field that a far longer text is refused with.
pub fn required_text<'a>(
    fields: &'a Fields,
    name: &str,
    trimmed: bool,
    chars_max: usize,
) -> Result<&'a str, ValidationErrors> {
    let text = present(fields.text(name), TextField { required: true, trimmed, chars_max })?.unwrap_or_default();
    if text.contains('\0') {
        return Err(vec!["Null characters are not allowed.".to_owned()]);
    }
    Ok(text)
}

async fn open(app: &App, user: &User, origin: &Origin) -> Result<TokenPair, Error> {
    let sid = new_uuid(&app.random);
    let id = SessionId { user_id: user.id, sid };
    let jti = new_uuid(&app.random);
    let new = NewSession {
        id,
        digests: &refresh_digests(jti),
        stamp: user.password_stamp,
        lifetime: app.tokens.session_lifetime(),
        ip: origin.ip,
        user_agent: &origin.user_agent,
    };
    let created_at = store::sessions::create(&app.redis, &new, app.config.sessions_max).await?;
    Ok(app.tokens.pair(id, jti, IssueTimes { refresh: created_at, access: created_at })?)
}

/// `POST refresh`: a refresh token, once, for its successor.
pub async fn refresh(app: Arc<App>, body: BodyReader) -> Result<impl Reply, Error> {
    let token = shown_refresh_token(&app, body).await?;
    let claims = &token.claims;
    let (session, refused) = (claims.session(), || Error::RefreshToken(TokenFault::Invalid));
    let user = app.users.get(session.user_id).await?.ok_or_else(refused)?;
    let outcome = match rotate(&app, claims, &user).await? {
        // The cached user may be from before the change.
        RotationOutcome::PasswordChanged => {
            let user = app.users.reload(session.user_id).await?.ok_or_else(refused)?;
            rotate(&app, claims, &user).await?
        }
        outcome => outcome,
    };
    match outcome {
        RotationOutcome::Rotated { issued_at, now } => {
            let times = IssueTimes { refresh: issued_at, access: now };
            Ok(warp::reply::json(&app.tokens.pair(session, successor_jti(claims.jti), times)?))
        }
        RotationOutcome::SessionNotFound | RotationOutcome::PasswordChanged => Err(refused()),
        RotationOutcome::ReuseDetected => {
            tracing::warn!(sid = %session.sid, "refresh token reused; its session is revoked");
            Err(refused())
        }
    }
}

async fn rotate(app: &App, claims: &Claims, user: &User) -> Result<RotationOutcome, Error> {
    if user.is_disabled {
        return Ok(RotationOutcome::SessionNotFound);
    }
    let digests = &refresh_digests(claims.jti);
    let presented = PresentedToken { session: claims.session(), digests, stamp: user.password_stamp };
    let (lifetime, grace) = (app.tokens.session_lifetime(), app.config.refresh_grace);
    Ok(store::sessions::rotate(&app.redis, presented, lifetime, grace).await?)
}

/// Longest refresh token, in characters; ours have some 450.
const REFRESH_TOKEN_CHARS_MAX: usize = 4096;

async fn shown_refresh_token(app: &App, body: BodyReader) -> Result<Arc<Verified<()>>, Error> {
    let fields = app.bodies.read(body, app.config.body_bytes_max, &["refresh"]).await?;
    let mut errors = FieldErrors::default();
    let Some(token) = errors.take("refresh", required_text(&fields, "refresh", true, REFRESH_TOKEN_CHARS_MAX)) else {
        return Err(Error::Fields(errors));
    };
    app.tokens.read(token, TokenType::Refresh).await.map_err(Error::RefreshToken)
}

/// `POST logout`: the session of a refresh token, of whichever of its line, is over.
pub async fn logout(app: Arc<App>, body: BodyReader) -> Result<impl Reply, Error> {
    let session = shown_refresh_token(&app, body).await?.claims.session();
    // It may be over already.
    let _ = end(&app, session).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end(app: &App, session: SessionId) -> Result<bool, Error> {
    let was_alive = store::sessions::end(&app.redis, session).await?;
    app.session_cache.invalidate(session);
    Ok(was_alive)
}

/// A session as its owner is shown it, in this order.
#[derive(Serialize)]
struct SessionAnswer {
    id: Uuid,
    created_at: String,
    last_used_at: String,
    ip: String,
    user_agent: String,
    current: bool,
}

/// `GET sessions`: the caller's, the most recently used first.
pub async fn list(app: Arc<App>, head: Head) -> Result<impl Reply, Error> {
    let caller = caller::identify(&app, &head).await?;
    let sessions = store::sessions::list(&app.redis, caller.id(), caller.user().password_stamp).await?;
    let shown: Vec<SessionAnswer> = sessions
        .into_iter()
        .map(|session| SessionAnswer {
            id: session.sid,
            created_at: rfc3339(session.created_at),
            last_used_at: rfc3339(session.last_used_at),
            ip: session.ip,
            user_agent: session.user_agent,
            current: session.sid == caller.session().sid,
        })
        .collect();
    Ok(warp::reply::json(&shown))
}

/// RFC 3339, in UTC. A time that no calendar has is the epoch.
fn rfc3339(unix_seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(unix_seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}

/// `DELETE sessions/<id>`: one of the caller's.
pub async fn delete(sid: String, app: Arc<App>, head: Head) -> Result<impl Reply, Error> {
    let caller = caller::identify(&app, &head).await?;
    let sid = Uuid::try_parse(&sid).map_err(|_| Error::NoSuchSession)?;
    if end(&app, SessionId { user_id: caller.id(), sid }).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::NoSuchSession)
    }
}

/// `DELETE sessions`: all of the caller's but the one that asks.
pub async fn delete_others(app: Arc<App>, head: Head) -> Result<impl Reply, Error> {
    let caller = caller::identify(&app, &head).await?;
    end_others(&app, caller.id(), Some(caller.session().sid)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends the sessions of a user, all but `kept`.
pub async fn end_others(app: &App, user_id: Uuid, kept: Option<Uuid>) -> Result<(), StoreError> {
    for session in store::sessions::end_others(&app.redis, user_id, kept).await? {
        app.session_cache.invalidate(session);
    }
    Ok(())
}
