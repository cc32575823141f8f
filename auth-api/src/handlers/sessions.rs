//! Sessions: create (login), refresh, list, delete.

use std::sync::Arc;

use http::StatusCode;
use shared::http::RequestHead;
use shared::http::access::request_id;
use shared::http::router::Request;
use uuid::Uuid;
use warp::reply::Reply;

use super::responses::{LoginResponse, SessionResponse, Transport, UserResponse, with_cookie, with_tokens};
use crate::app::App;
use crate::auth::Caller;
use crate::client_info::ClientInfo;
use crate::domain::{Email, Password};
use crate::error::{Error, FieldErrors};
use crate::form::Fields;
use crate::ids::new_uuid;
use crate::passwords::{Account, authenticate};
use crate::store::sessions::{NewSession, PresentedToken, RotationOutcome, SessionId};
use crate::store::users::User;
use crate::store::{self, StoreError};
use crate::tokens::{Claims, IssueTimes, TokenError, TokenPair, TokenType, access_jti, refresh_digests, successor_jti};

/// `POST login`: creates a session.
pub async fn create(app: Arc<App>, Request { head, body }: Request) -> Result<impl Reply, Error> {
    let client = ClientInfo::new(&app.config, &head);
    let fields = app.forms.read(body, app.config.body_bytes_max, &["email", "password", "cookie"]).await?;
    let Credentials { email, password, transport } = credentials(&fields)?;
    if transport == Transport::Cookie {
        app.config.cookies.check_origin(&head)?;
    }
    let user = authenticate(&app, Account::Email(email), password, client.ip).await?;
    let tokens = create_session(&app, &user, &client).await?;
    let data = UserResponse::new(&user, &app.config, &head);
    with_tokens(&app.config.cookies, transport, tokens, |tokens| LoginResponse { tokens, data })
}

struct Credentials<'a> {
    email: &'a str,
    password: Password,
    transport: Transport,
}

fn credentials(fields: &Fields) -> Result<Credentials<'_>, Error> {
    let mut errors = FieldErrors::default();
    let email = errors.take("email", fields.required_text("email", true, Email::CHARS_MAX));
    let password = errors.take("password", fields.required_text("password", false, Password::CHARS_MAX));
    let in_cookie = errors.take("cookie", fields.flag("cookie"));
    match (email, password, in_cookie) {
        (Some(email), Some(password), Some(in_cookie)) => {
            let transport = if in_cookie { Transport::Cookie } else { Transport::Body };
            Ok(Credentials { email, password: Password::to_compare(password), transport })
        }
        _ => Err(Error::Fields(errors)),
    }
}

async fn create_session(app: &App, user: &User, client: &ClientInfo) -> Result<TokenPair, Error> {
    let sid = new_uuid(&app.random);
    let id = SessionId { user_id: user.id, sid };
    let jti = new_uuid(&app.random);
    let (lifetime, limit) = (app.tokens.session_lifetime(), app.config.session_lifetime_max);
    let new = NewSession {
        id,
        digests: &refresh_digests(jti),
        stamp: user.password_stamp,
        lifetime: limit.map_or(lifetime, |limit| lifetime.min(limit)),
        ip: client.ip,
        user_agent: &client.user_agent,
    };
    let created_at = store::sessions::create(&app.redis, &new, app.config.sessions_max).await?;
    let session_ends_at = store::sessions::ends_at(created_at, limit);
    Ok(app.tokens.pair(id, jti, IssueTimes { refresh: created_at, access: created_at, session_ends_at })?)
}

/// `POST refresh`: rotates a refresh token.
pub async fn refresh(app: Arc<App>, Request { head, body }: Request) -> Result<impl Reply, Error> {
    let fields = app.forms.read(body, app.config.body_bytes_max, &["refresh"]).await?;
    let (token, transport) = refresh_token(&app, &head, &fields)?;
    match successor_pair(&app, token).await {
        Ok(pair) => with_tokens(&app.config.cookies, transport, pair, |tokens| tokens),
        // It will not be accepted again.
        Err(error @ Error::RefreshToken(_)) if transport == Transport::Cookie => {
            Ok(with_cookie(error, app.config.cookies.remove()?))
        }
        Err(error) => Err(error),
    }
}

async fn successor_pair(app: &App, token: &str) -> Result<TokenPair, Error> {
    let token = app.tokens.verify(token, TokenType::Refresh).await.map_err(Error::RefreshToken)?;
    let claims = &token.claims;
    let (session, revoked) = (claims.session(), || Error::RefreshToken(TokenError::Invalid));
    let user = app.users.get(session.user_id).await?.ok_or_else(revoked)?;
    let outcome = match rotate(app, claims, &user).await? {
        // The cached user may predate a change of the password.
        RotationOutcome::PasswordChanged => {
            let user = app.users.reload(session.user_id).await?.ok_or_else(revoked)?;
            rotate(app, claims, &user).await?
        }
        outcome => outcome,
    };
    match outcome {
        RotationOutcome::Rotated { issued_at, now, created_at } => {
            let session_ends_at = store::sessions::ends_at(created_at, app.config.session_lifetime_max);
            let times = IssueTimes { refresh: issued_at, access: now, session_ends_at };
            Ok(app.tokens.pair(session, successor_jti(claims.jti), times)?)
        }
        RotationOutcome::SessionNotFound | RotationOutcome::PasswordChanged => Err(revoked()),
        RotationOutcome::LifetimeEnded => Err(Error::RefreshToken(TokenError::Expired)),
        RotationOutcome::ReuseDetected => {
            tracing::warn!(request_id = %request_id(), sid = %session.sid, "refresh token reused; its session is revoked");
            Err(revoked())
        }
    }
}

async fn rotate(app: &App, claims: &Claims, user: &User) -> Result<RotationOutcome, Error> {
    if user.is_disabled {
        return Ok(RotationOutcome::SessionNotFound);
    }
    let digests = &refresh_digests(claims.jti);
    let next_access_jti = access_jti(successor_jti(claims.jti));
    let presented = PresentedToken { session: claims.session(), digests, next_access_jti, stamp: user.password_stamp };
    let (lifetime, limit) = (app.tokens.session_lifetime(), app.config.session_lifetime_max);
    Ok(store::sessions::rotate(&app.redis, presented, lifetime, limit, app.config.refresh_grace).await?)
}

/// Longest refresh token, in characters; issued ones have about 450.
const REFRESH_TOKEN_CHARS_MAX: usize = 4096;

/// Returns the refresh token of the body, or of the cookie if the body has none.
fn refresh_token<'a>(app: &App, head: &'a RequestHead, fields: &'a Fields) -> Result<(&'a str, Transport), Error> {
    if fields.is_empty()
        && let Some(token) = app.config.cookies.token(head)?
    {
        return Ok((token, Transport::Cookie));
    }
    let mut errors = FieldErrors::default();
    let token = errors.take("refresh", fields.required_text("refresh", true, REFRESH_TOKEN_CHARS_MAX));
    token.map(|token| (token, Transport::Body)).ok_or(Error::Fields(errors))
}

/// `POST logout`: ends the session of a refresh token, a used one included.
pub async fn logout(app: Arc<App>, Request { head, body }: Request) -> Result<impl Reply, Error> {
    let fields = app.forms.read(body, app.config.body_bytes_max, &["refresh"]).await?;
    let (token, transport) = refresh_token(&app, &head, &fields)?;
    let ended = match app.tokens.verify(token, TokenType::Refresh).await {
        // It may have ended already.
        Ok(token) => end(&app, token.claims.session()).await.map(drop),
        Err(error) => Err(Error::RefreshToken(error)),
    };
    match (transport, ended) {
        (Transport::Body, ended) => ended.map(|()| StatusCode::NO_CONTENT.into_response()),
        (Transport::Cookie, Ok(()) | Err(Error::RefreshToken(_))) => {
            Ok(with_cookie(StatusCode::NO_CONTENT, app.config.cookies.remove()?))
        }
        (Transport::Cookie, Err(error)) => Err(error),
    }
}

async fn end(app: &App, session: SessionId) -> Result<bool, Error> {
    let was_alive = store::sessions::end(&app.redis, session).await?;
    app.session_cache.invalidate(session);
    Ok(was_alive)
}

/// `GET sessions`: lists the caller's sessions, the most recently used first.
pub async fn list(app: Arc<App>, caller: Caller, _: Request) -> Result<impl Reply, Error> {
    let sessions = store::sessions::list(&app.redis, caller.id(), caller.user().password_stamp).await?;
    let current = caller.session().sid;
    let (limit, now) = (app.config.session_lifetime_max, app.clock.unix_seconds());
    let ends_at = |created_at: i64| store::sessions::ends_at(u64::try_from(created_at).unwrap_or_default(), limit);
    let alive = sessions.into_iter().filter(|session| ends_at(session.created_at) > now);
    let sessions: Vec<_> = alive.map(|session| SessionResponse::new(session, current)).collect();
    Ok(warp::reply::json(&sessions))
}

/// `DELETE sessions/:id`: ends a session of the caller.
pub async fn delete(app: Arc<App>, caller: Caller, request: Request) -> Result<impl Reply, Error> {
    let sid = Uuid::try_parse(request.head.param()).map_err(|_| Error::NoSuchSession)?;
    if end(&app, SessionId { user_id: caller.id(), sid }).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::NoSuchSession)
    }
}

/// `DELETE sessions`: ends all sessions of the caller but the current one.
pub async fn delete_others(app: Arc<App>, caller: Caller, _: Request) -> Result<impl Reply, Error> {
    end_others(&app, caller.id(), Some(caller.session().sid)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all sessions of a user but `kept`.
pub async fn end_others(app: &App, user_id: Uuid, kept: Option<Uuid>) -> Result<(), StoreError> {
    for session in store::sessions::end_others(&app.redis, user_id, kept).await? {
        app.session_cache.invalidate(session);
    }
    Ok(())
}
