//! Who calls. Only this file makes a [`Caller`], so a function that takes one acts for somebody who was let in.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HOST, HeaderMap, USER_AGENT};
use shared::http::route::Head;
use uuid::Uuid;

use crate::App;
use crate::error::Error;
use crate::store::sessions::{SessionId, SessionStamps};
use crate::store::users::User;
use crate::tokens::{TokenFault, TokenType};

/// Somebody who showed a good access token of a session that is alive, and whose account is too.
#[derive(Clone, Debug)]
pub struct Caller {
    user: Arc<User>,
    session: SessionId,
}

impl Caller {
    /// The account as it stands.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// The account's id.
    pub fn id(&self) -> Uuid {
        self.user.id
    }

    /// The session of the token.
    pub fn session(&self) -> SessionId {
        self.session
    }
}

/// Lets in who shows `Authorization: JWT <access token>` (or `Bearer`, in any case).
pub async fn identify(app: &App, head: &Head) -> Result<Caller, Error> {
    let token = shown_token(head.headers())?;
    let token = app.tokens.read(token, TokenType::Access).await.map_err(Error::AccessToken)?;
    let session = token.claims.session();
    let (stamps, user) = tokio::join!(app.session_cache.stamps(session), app.users.get(session.user_id));
    let invalid_token = || Error::AccessToken(TokenFault::Invalid);
    let (Some(stamps), Some(user)) = (stamps?, user?) else { return Err(invalid_token()) };
    if user.is_disabled {
        return Err(invalid_token());
    }
    if let Some(caller) = caller(stamps, user, session) {
        return Ok(caller);
    }
    // The password has changed, and only one of the two may be from after the change. The user first: the pending stamp is
    // in Redis before the commit.
    let user = app.users.reload(session.user_id).await?.ok_or_else(invalid_token)?;
    let stamps = app.session_cache.reload(session).await?.ok_or_else(invalid_token)?;
    caller(stamps, user, session).ok_or_else(invalid_token)
}

fn caller(stamps: SessionStamps, user: Arc<User>, session: SessionId) -> Option<Caller> {
    (!user.is_disabled && stamps.matches(user.password_stamp)).then_some(Caller { user, session })
}

fn shown_token(headers: &HeaderMap) -> Result<&str, Error> {
    let Some(header) = headers.get(AUTHORIZATION) else { return Err(Error::NoAccessToken) };
    let malformed = Error::AccessToken(TokenFault::Invalid);
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

/// Who asks to be let in, as far as we can believe it.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The client's address: told by a trusted proxy, or the connection's own.
    pub ip: IpAddr,
    /// What the client says it is, shortened.
    pub user_agent: String,
}

/// The part of a `User-Agent` that is kept, in characters.
const USER_AGENT_CHARS_MAX: usize = 256;

impl Origin {
    /// Where a request comes from.
    pub fn of(app: &App, head: &Head) -> Self {
        let ip = forwarded(app, head, "x-forwarded-for").and_then(|text| text.trim().parse().ok());
        let agent = head.headers().get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        let agent = agent.unwrap_or_default();
        Self {
            ip: ip.unwrap_or_else(|| head.peer().ip().to_canonical()),
            user_agent: agent.chars().filter(|letter| !letter.is_control()).take(USER_AGENT_CHARS_MAX).collect(),
        }
    }
}

/// Scheme and host that links in an answer begin with: the configured ones, or those that the client asked nginx for.
pub fn public_url<'a>(app: &'a App, head: &Head) -> Cow<'a, str> {
    if let Some(url) = &app.config.public_url {
        return Cow::Borrowed(url);
    }
    let scheme = forwarded(app, head, "x-forwarded-proto").filter(|scheme| matches!(*scheme, "http" | "https"));
    let host = forwarded(app, head, "x-forwarded-host").or_else(|| head.headers().get(HOST)?.to_str().ok());
    let host = host.filter(|host| is_host(host)).unwrap_or("localhost");
    Cow::Owned(format!("{}://{host}", scheme.unwrap_or("http")))
}

/// What a trusted proxy says: nginx sets these headers anew, a client's own never get here.
fn forwarded<'a>(app: &App, head: &'a Head, name: &str) -> Option<&'a str> {
    let peer = head.peer().ip().to_canonical();
    let is_trusted = app.config.trusted_proxies.iter().any(|network| network.contains(&peer));
    head.headers().get(name).filter(|_| is_trusted)?.to_str().ok()
}

/// A host and perhaps a port, and nothing that would turn a link into something else.
fn is_host(host: &str) -> bool {
    (1..=255).contains(&host.len())
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_'))
}
