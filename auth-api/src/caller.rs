//! Who calls. Only this file makes a [`Caller`], so a function that takes one acts for somebody who was let in.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderMap, USER_AGENT};
use shared::http::route::Head;
use shared::http::serve::Peer;
use uuid::Uuid;

use crate::App;
use crate::error::Error;
use crate::store::sessions::{SessionId, Stamps};
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
    let token = shown_token(&head.headers)?;
    let claims = app.tokens.read(token, TokenType::Access).await.map_err(Error::AccessToken)?;
    let session = claims.session();
    let (stamps, user) = tokio::join!(app.reads.stamps(session), app.reads.user(session.user_id));
    let refused = || Error::AccessToken(TokenFault::Invalid);
    let (Some(stamps), Some(user)) = (stamps?, user?) else { return Err(refused()) };
    if user.is_disabled {
        return Err(refused());
    }
    if let Some(caller) = admit(stamps, &user, session) {
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

/// Where a request comes from, as far as we can believe it.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The client's address: told by a trusted proxy, or the connection's own.
    pub ip: IpAddr,
    /// What the client says it is, shortened.
    pub user_agent: String,
    /// Scheme and host that links in the answer begin with.
    pub public_url: String,
}

/// The part of a `User-Agent` that is kept, in characters.
const USER_AGENT_CHARS_MAX: usize = 256;

impl Origin {
    /// Believes `X-Forwarded-*` only from a trusted proxy: nginx sets them anew, a client's own never get here.
    pub fn of(app: &App, head: &Head) -> Self {
        let headers = &head.headers;
        let peer_ip = head.peer.map_or(IpAddr::from([0, 0, 0, 0]), |Peer(address)| address.ip().to_canonical());
        let is_trusted = app.config.trusted_proxies.iter().any(|network| network.contains(&peer_ip));
        let forwarded = |name: &str| headers.get(name).filter(|_| is_trusted).and_then(|value| value.to_str().ok());
        let ip = forwarded("x-forwarded-for").and_then(|text| text.trim().parse().ok()).unwrap_or(peer_ip);
        let agent = headers.get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes())).unwrap_or_default();
        Self {
            ip,
            user_agent: agent.chars().filter(|letter| !letter.is_control()).take(USER_AGENT_CHARS_MAX).collect(),
            public_url: app.config.public_url.clone().unwrap_or_else(|| {
                let scheme = forwarded("x-forwarded-proto").filter(|scheme| matches!(*scheme, "http" | "https"));
                let host = forwarded("x-forwarded-host").or_else(|| headers.get("host")?.to_str().ok());
                format!("{}://{}", scheme.unwrap_or("http"), host.filter(|host| is_host(host)).unwrap_or("localhost"))
            }),
        }
    }
}

/// A host and perhaps a port, and nothing that would turn a link into something else.
fn is_host(host: &str) -> bool {
    (1..=255).contains(&host.len())
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_'))
}
