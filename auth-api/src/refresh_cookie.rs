//! The refresh token in a cookie, for pages in browsers: no script can read it (OWASP Session Management Cheat Sheet).
//!
//! The cookie is accepted only in a request that a page of an allowed origin, or of this one, has sent: browsers send it with
//! requests of other pages, too (OWASP Cross-Site Request Forgery Prevention Cheat Sheet).

mod origins;

use std::fmt;
use std::str::FromStr;

use http::header::{COOKIE, HeaderValue, ORIGIN};
use shared::http::RequestHead;

pub use origins::AllowedOrigins;

use crate::error::Error;

/// Browsers accept this prefix only with `Secure` (RFC 6265bis, section 4.1.3.1).
const NAME: &str = "__Secure-refresh";

/// Sent by browsers; scripts can't set it.
const FETCH_SITE: &str = "sec-fetch-site";

/// From which pages browsers send the cookie (RFC 6265bis, section 5.6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Those of the same site.
    Lax,
    /// All pages; the origin is checked.
    None,
}

impl FromStr for SameSite {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "lax" => Ok(Self::Lax),
            "none" => Ok(Self::None),
            other => Err(other.to_owned()),
        }
    }
}

impl fmt::Display for SameSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Lax { "Lax" } else { "None" })
    }
}

/// Settings of cookies.
#[derive(Clone, Debug)]
pub struct CookieConfig {
    pub same_site: SameSite,
    /// Origins whose pages may use the cookie, in addition to this one.
    pub origins: AllowedOrigins,
}

impl CookieConfig {
    /// Returns the `Set-Cookie` of a refresh token that is valid for this time, in seconds; zero removes the cookie.
    pub fn set(&self, token: &str, seconds: u64) -> Result<HeaderValue, Error> {
        let same_site = self.same_site;
        let cookie =
            format!("{NAME}={token}; Max-Age={seconds}; Path=/api/user/; Secure; HttpOnly; SameSite={same_site}");
        HeaderValue::try_from(cookie).map_err(|error| Error::Internal(error.to_string()))
    }

    /// Returns the `Set-Cookie` that removes the cookie.
    pub fn remove(&self) -> Result<HeaderValue, Error> {
        self.set("", 0)
    }

    /// Returns the refresh token in the request's cookie, if there is one. Fails if a page of another origin sent the request.
    /// Of several cookies of the name none is trusted: another host of the domain may have set one.
    pub fn token<'a>(&self, head: &'a RequestHead) -> Result<Option<&'a str>, Error> {
        let headers = head.headers().get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
        let mut tokens = headers
            .flat_map(|header| header.split(';'))
            .filter_map(|cookie| cookie.trim().strip_prefix(NAME)?.strip_prefix('='));
        let Some(token) = tokens.next() else { return Ok(None) };
        if !self.is_of_own_page(head) {
            return Err(Error::CrossOrigin);
        }
        Ok(Some(if tokens.next().is_some() { "" } else { token }))
    }

    /// Fails if a page of another origin sent the request. A request without an origin is not of a page.
    pub fn check_origin(&self, head: &RequestHead) -> Result<(), Error> {
        let is_of_a_page = head.headers().contains_key(ORIGIN) || head.headers().contains_key(FETCH_SITE);
        if is_of_a_page && !self.is_of_own_page(head) { Err(Error::CrossOrigin) } else { Ok(()) }
    }

    fn is_of_own_page(&self, head: &RequestHead) -> bool {
        let header = |name: &str| head.headers().get(name)?.to_str().ok();
        header(FETCH_SITE) == Some("same-origin")
            || header(ORIGIN.as_str()).is_some_and(|origin| self.origins.contains(origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_has_every_attribute() {
        let config = CookieConfig { same_site: SameSite::None, origins: AllowedOrigins::default() };
        assert_eq!(
            config.set("a.b.c", 60).unwrap(),
            "__Secure-refresh=a.b.c; Max-Age=60; Path=/api/user/; Secure; HttpOnly; SameSite=None"
        );
        assert_eq!(
            config.remove().unwrap(),
            "__Secure-refresh=; Max-Age=0; Path=/api/user/; Secure; HttpOnly; SameSite=None"
        );
    }
}
