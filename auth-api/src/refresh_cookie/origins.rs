//! `CORS_ALLOWED_ORIGINS`: the origins whose pages may call the API. nginx sets the headers (deploy/nginx-settings).

use std::collections::HashSet;
use std::str::FromStr;

/// A set of origins (RFC 6454, section 6.2), of which some have `*` in place of the first label of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedOrigins {
    exact: HashSet<String>,
    /// What stands before and after the label, as in `https://` and `.example.com`.
    patterns: Vec<(String, String)>,
}

impl AllowedOrigins {
    /// Whether the set contains an origin as a browser sends it.
    pub fn contains(&self, origin: &str) -> bool {
        let matches = |(before, after): &(String, String)| {
            let label = origin.strip_prefix(before.as_str()).and_then(|rest| rest.strip_suffix(after.as_str()));
            label.is_some_and(|label| !label.is_empty() && label.bytes().all(is_of_label))
        };
        self.exact.contains(origin) || self.patterns.iter().any(matches)
    }
}

impl FromStr for AllowedOrigins {
    /// The first text that is no origin.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut origins = Self::default();
        for origin in text.split(',').map(str::trim).filter(|origin| !origin.is_empty()) {
            let lower = origin.to_ascii_lowercase();
            if !is_origin(&lower) {
                return Err(origin.to_owned());
            }
            match lower.split_once('*') {
                Some((before, after)) => origins.patterns.push((before.to_owned(), after.to_owned())),
                None => drop(origins.exact.insert(lower)),
            }
        }
        Ok(origins)
    }
}

fn is_of_label(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
}

/// Whether the text is a scheme, a host and an optional port. nginx-settings has the same rule.
fn is_origin(text: &str) -> bool {
    let Some(authority) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else { return false };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_ipv6 = |host: &str| {
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let name = host.strip_prefix("*.").unwrap_or(host);
    let is_name = || name.split('.').all(|label| !label.is_empty() && label.bytes().all(is_of_label));
    port.is_none_or(is_port) && (is_ipv6(host) || is_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_compared_as_a_whole_and_a_star_is_one_label() {
        let origins: AllowedOrigins =
            "https://app.example.com, http://localhost:5173,https://*.Example.ORG,http://[::1]:3000".parse().unwrap();
        for allowed in
            ["https://app.example.com", "http://localhost:5173", "https://a-1.example.org", "http://[::1]:3000"]
        {
            assert!(origins.contains(allowed), "{allowed}");
        }
        for other in [
            "null",
            "",
            "https://app.example.com:8443",
            "http://app.example.com",
            "https://app.example.com.evil.example",
            "https://example.org",
            "https://.example.org",
            "https://a.b.example.org",
            "https://evil/.example.org",
            "https://a.example.org:1",
            "http://localhost",
        ] {
            assert!(!origins.contains(other), "{other}");
        }
        assert!(!AllowedOrigins::default().contains("https://app.example.com"));
    }

    #[test]
    fn what_is_no_origin_is_named() {
        for text in [
            "*",
            "null",
            "https://a.example/",
            "https://*",
            "https://a.*.example",
            "ftp://a",
            "a.example",
            "https://a:b",
            "https://",
        ] {
            assert_eq!(format!("https://ok.example,{text}").parse::<AllowedOrigins>(), Err(text.to_owned()), "{text}");
        }
    }
}
