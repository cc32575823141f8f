//! Who calls. Only this file makes a [`Caller`], so a function that takes one acts for somebody who was let in.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use http::header::{AUTHORIZATION, HOST, HeaderMap, USER_AGENT};
use shared::http::route::Head;
use uuid::Uuid;

use crate::App;
use crate::error::Error;
use crate::store::recent::Kept;
use crate::store::sessions::{SessionId, Stamps};
use crate::store::users::User;
use crate::tokens::{TokenFault, TokenType, Verified};

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

/// Who was let in with a token, as long as nothing of it has changed. It is kept beside the verified token.
#[derive(Debug, Default)]
pub struct Admission(RwLock<Option<Admitted>>);

#[derive(Debug)]
struct Admitted {
    caller: Caller,
    // Gone when they are forgotten.
    stamps: Weak<Kept<Option<Stamps>>>,
    user: Weak<Kept<Option<Arc<User>>>>,
}

impl Admission {
    fn caller(&self) -> Option<Caller> {
        let admitted = self.0.read().unwrap_or_else(PoisonError::into_inner);
        admitted
            .as_ref()
            .filter(|admitted| is_good(&admitted.stamps) && is_good(&admitted.user))
            .map(|a| a.caller.clone())
    }

    fn keep(&self, admitted: Admitted) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(admitted);
    }
}

fn is_good<V>(kept: &Weak<Kept<V>>) -> bool {
    kept.upgrade().is_some_and(|kept| kept.is_good())
}

/// Lets in who shows `Authorization: JWT <access token>` (or `Bearer`, in any case).
pub async fn identify(app: &App, head: &Head) -> Result<Caller, Error> {
    let token = shown_token(head.headers())?;
    let token = app.tokens.read(token, TokenType::Access).await.map_err(Error::AccessToken)?;
    match token.beside.caller() {
        Some(caller) => Ok(caller),
        None => look_up(app, &token).await,
    }
}

async fn look_up(app: &App, token: &Verified<Admission>) -> Result<Caller, Error> {
    let session = token.claims.session();
    let (stamps, user) = tokio::join!(app.reads.stamps(session), app.reads.user(session.user_id));
    let (stamps, user) = (stamps?, user?);
    let refused = || Error::AccessToken(TokenFault::Invalid);
    let (Some(known_stamps), Some(known_user)) = (stamps.value(), user.value()) else { return Err(refused()) };
    if known_user.is_disabled {
        return Err(refused());
    }
    if let Some(caller) = admit(*known_stamps, known_user, session) {
        let (stamps, user) = (Arc::downgrade(&stamps), Arc::downgrade(&user));
        token.beside.keep(Admitted { caller: caller.clone(), stamps, user });
        return Ok(caller);
    }
    // The password changed, and only one of the two is of after the change; or of before it, and the session is over.
    let (Some(stamps), Some(user)) = app.reads.anew(session).await? else { return Err(refused()) };
    admit(stamps, &user, session).ok_or_else(refused)
}

fn admit(stamps: Stamps, user: &Arc<User>, session: SessionId) -> Option<Caller> {
    (!user.is_disabled && stamps.admit(user.password_stamp)).then(|| Caller { user: Arc::clone(user), session })
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
