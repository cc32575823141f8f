//! What the headers say about a client: its address, its user agent, the URL that it used.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{HOST, USER_AGENT};
use shared::http::RequestHead;

use crate::config::Config;

/// Address and user agent of a client.
#[derive(Clone, Debug)]
pub struct ClientInfo {
    /// From `X-Forwarded-For` of nginx, otherwise the peer's.
    pub ip: IpAddr,
    /// Without control characters, at most [`USER_AGENT_CHARS_MAX`] characters.
    pub user_agent: String,
}

/// Longest stored user agent, in characters.
const USER_AGENT_CHARS_MAX: usize = 256;

impl ClientInfo {
    /// Reads the headers of a request.
    pub fn new(config: &Config, head: &RequestHead) -> Self {
        let ip = forwarded(config, head, "x-forwarded-for").and_then(|text| text.trim().parse().ok());
        let agent = head.headers().get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        let agent = agent.unwrap_or_default();
        Self {
            ip: ip.unwrap_or_else(|| head.peer().ip().to_canonical()),
            user_agent: agent.chars().filter(|letter| !letter.is_control()).take(USER_AGENT_CHARS_MAX).collect(),
        }
    }
}

/// Returns scheme and host for links in a response: the configured ones, or those of the client's request to nginx.
pub fn public_url<'a>(config: &'a Config, head: &RequestHead) -> Cow<'a, str> {
    if let Some(url) = &config.public_url {
        return Cow::Borrowed(url);
    }
    let scheme = forwarded(config, head, "x-forwarded-proto").filter(|scheme| matches!(*scheme, "http" | "https"));
    let host = forwarded(config, head, "x-forwarded-host").or_else(|| head.headers().get(HOST)?.to_str().ok());
    let host = host.filter(|host| is_host(host)).unwrap_or("localhost");
    Cow::Owned(format!("{}://{host}", scheme.unwrap_or("http")))
}

/// A header of nginx, which resolves those of trusted proxies and overwrites a client's.
fn forwarded<'a>(config: &Config, head: &'a RequestHead, name: &str) -> Option<&'a str> {
    let peer = head.peer().ip().to_canonical();
    let is_nginx = config.nginx_networks.iter().any(|network| network.contains(&peer));
    head.headers().get(name).filter(|_| is_nginx)?.to_str().ok()
}

/// Whether the text is a host with an optional port, without characters that change the rest of a URL.
fn is_host(host: &str) -> bool {
    (1..=255).contains(&host.len())
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_'))
}
