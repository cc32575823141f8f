//! Sessions: create (sign in), refresh.

use std::sync::Arc;

use serde::Serialize;
use shared::http::body::{Received, Unread};
use shared::http::route::Head;
use warp::reply::Reply;

use crate::accounts::UserAnswer;
use crate::caller::Origin;
use crate::domain::{Email, Password, present};
use crate::error::{Error, FieldErrors};
use crate::hashing::Verdict;
use crate::store::sessions::{NewSession, Rotation, SessionId};
use crate::store::users::User;
use crate::store::{self, within};
use crate::tokens::{TokenFault, TokenPair, TokenType, refresh_digest, successor_jti};
use crate::{App, fields, new_uuid};

#[derive(Serialize)]
struct SignedIn {
    tokens: TokenPair,
    data: UserAnswer,
}

/// `POST login`: credentials for a new session.
pub async fn create(app: Arc<App>, head: Head, body: Unread) -> Result<impl Reply, Error> {
    let origin = Origin::of(&app, &head);
    let body = body.read(app.config.body_bytes_max, &app.bodies).await?;
    let (email, password) = credentials(&body).await?;
    let user = authenticate(&app, &email, password).await?;
    let tokens = open(&app, &user, &origin).await?;
    Ok(warp::reply::json(&SignedIn { tokens, data: UserAnswer::of(&user, &origin) }))
}

async fn credentials(body: &Received) -> Result<(String, Password), Error> {
    let fields = fields::read(body, &["email", "password"]).await?;
    let mut errors = FieldErrors::default();
    let email = errors.take("email", shown(fields.text("email"), true));
    let password = errors.take("password", shown(fields.text("password"), false));
    match (email, password) {
        (Some(email), Some(password)) => Ok((email.to_owned(), Password::to_compare(password))),
        _ => Err(Error::Fields(errors)),
    }
}

/// A required text without NUL.
fn shown(presented: crate::domain::Presented<'_>, trim: bool) -> Result<&str, crate::domain::Refusal> {
    let text = present(presented, true, trim)?.unwrap_or_default();
    if text.contains('\0') {
        return Err(vec!["Null characters are not allowed.".to_owned()]);
    }
    Ok(text)
}

/// The one function that checks a password. Unknown, disabled and wrong take the same way and the same time.
async fn authenticate(app: &App, email: &str, password: Password) -> Result<User, Error> {
    let found = match Email::parse(email) {
        Ok(email) => {
            let find = async { store::users::find_credentials(&app.postgres.get().await?, &email).await };
            within(app.config.store_timeout, find).await?
        }
        Err(_) => None,
    };
    let hash = found.as_ref().map(|credentials| credentials.password_hash.as_str());
    let verdict = app.hashing.verify(password.clone(), hash).await?;
    let Some(credentials) = found.filter(|_| verdict != Verdict::Wrong) else { return Err(Error::WrongCredentials) };
    if credentials.user.is_disabled {
        return Err(Error::WrongCredentials);
    }
    if verdict == Verdict::RightButWeak {
        let new_hash = app.hashing.hash(password).await?;
        let rehash = async {
            let client = app.postgres.get().await?;
            store::users::rehash(&client, credentials.user.id, &credentials.password_hash, &new_hash).await
        };
        within(app.config.store_timeout, rehash).await?;
    }
    Ok(credentials.user)
}

async fn open(app: &App, user: &User, origin: &Origin) -> Result<TokenPair, Error> {
    let sid = new_uuid(&app.random);
    let id = SessionId { user_id: user.id, sid };
    let (jti, now) = (new_uuid(&app.random), app.clock.unix_seconds());
    let new = NewSession {
        id,
        refresh_digest: &refresh_digest(jti),
        stamp: user.password_stamp,
        now,
        lifetime: app.tokens.session_lifetime(),
        ip: origin.ip,
        user_agent: &origin.user_agent,
    };
    store::sessions::create(&app.redis, &new).await?;
    Ok(app.tokens.pair(id, jti, now)?)
}

/// `POST refresh`: a refresh token, once, for its successor.
pub async fn refresh(app: Arc<App>, body: Unread) -> Result<impl Reply, Error> {
    let body = body.read(app.config.body_bytes_max, &app.bodies).await?;
    let fields = fields::read(&body, &["refresh"]).await?;
    let mut errors = FieldErrors::default();
    let Some(token) = errors.take("refresh", shown(fields.text("refresh"), true)) else {
        return Err(Error::Fields(errors));
    };
    let claims = app.tokens.read(token, TokenType::Refresh).await.map_err(Error::RefreshToken)?;
    let refused = Error::RefreshToken(TokenFault::Invalid);
    let Some(user) = app.user_reads.find(claims.user_id).await?.filter(|user| !user.is_disabled) else {
        return Err(refused);
    };
    let (successor, now) = (successor_jti(claims.jti), app.clock.unix_seconds());
    let (shown_digest, successor_digest) = (refresh_digest(claims.jti), refresh_digest(successor));
    let rotation = store::sessions::rotate(
        &app.redis,
        claims.session(),
        &shown_digest,
        &successor_digest,
        user.password_stamp,
        now,
        app.tokens.session_lifetime(),
    );
    match rotation.await? {
        Rotation::Rotated => Ok(warp::reply::json(&app.tokens.pair(claims.session(), successor, now)?)),
        Rotation::Refused => Err(refused),
    }
}
