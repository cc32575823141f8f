//! Conditional requests: `If-None-Match`, `If-Modified-Since` and `If-Range` (RFC 9110, section 13).
//!
//! The `headers` crate decides otherwise where a client sends several fields or malformed ones.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};

/// The client's `If-None-Match`, which nginx leaves out of requests for its cache.
const X_IF_NONE_MATCH: HeaderName = HeaderName::from_static("x-if-none-match");

/// The client's `If-Modified-Since`, likewise.
const X_IF_MODIFIED_SINCE: HeaderName = HeaderName::from_static("x-if-modified-since");

/// Validators of a representation.
#[derive(Debug)]
pub(crate) struct Validators {
    etag: String,
    /// In whole seconds, like HTTP dates.
    modified: SystemTime,
}

impl Validators {
    /// Makes a strong `ETag` of the name of a picture or a rendition, since neither changes and ids are not reused.
    pub(crate) fn new(tag: &str, modified: SystemTime) -> Self {
        let seconds = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { etag: format!("\"{tag}\""), modified: UNIX_EPOCH + Duration::from_secs(seconds) }
    }

    /// Returns the `ETag`.
    pub(crate) fn etag(&self) -> HeaderValue {
        value(&self.etag)
    }

    /// Returns the `Last-Modified`.
    pub(crate) fn last_modified(&self) -> HeaderValue {
        value(&httpdate::fmt_http_date(self.modified))
    }

    /// Whether the response is 304. `If-None-Match` takes precedence over `If-Modified-Since`.
    pub(crate) fn match_request(&self, headers: &HeaderMap) -> bool {
        self.match_either(headers, &IF_NONE_MATCH, &IF_MODIFIED_SINCE)
    }

    /// Whether the client behind nginx has this representation. Only for responses that nginx does not cache: it would serve a
    /// cached 304 to other clients.
    pub(crate) fn match_client(&self, headers: &HeaderMap) -> bool {
        self.match_either(headers, &X_IF_NONE_MATCH, &X_IF_MODIFIED_SINCE)
    }

    fn match_either(&self, headers: &HeaderMap, none_match: &HeaderName, modified_since: &HeaderName) -> bool {
        let mut lists = headers.get_all(none_match).iter().peekable();
        if lists.peek().is_some() {
            return lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(',')).any(|tag| {
                let tag = tag.trim();
                tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag
            });
        }
        date(headers, modified_since).is_some_and(|since| self.modified <= since)
    }

    /// Whether `Range` applies: an `If-Range` must match.
    pub(crate) fn allow_range(&self, headers: &HeaderMap) -> bool {
        let Some(condition) = headers.get(IF_RANGE) else { return headers.contains_key(RANGE) };
        condition == self.etag.as_str() || date(headers, &IF_RANGE) == Some(self.modified)
    }
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// Makes a header value; an invalid one is empty.
pub(crate) fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn validators() -> Validators {
        let modified = httpdate::parse_http_date(DATE).unwrap() + Duration::from_millis(750);
        Validators::new(ID, modified)
    }

    fn headers<const N: usize>(pairs: [(HeaderName, &str); N]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, text) in pairs {
            headers.append(name, value(text));
        }
        headers
    }

    #[test]
    fn etags_match_in_lists_weak_or_strong() {
        let tag = format!("\"{ID}\"");
        for list in [tag.clone(), format!("W/{tag}"), format!("\"x\" , W/\"y\",{tag}"), "*".to_owned()] {
            assert!(validators().match_request(&headers([(IF_NONE_MATCH, &list)])), "{list}");
        }
        assert!(validators().match_request(&headers([(IF_NONE_MATCH, "\"x\""), (IF_NONE_MATCH, &tag)])));
        for list in ["", "\"x\"", ID, "w/\"x\""] {
            assert!(!validators().match_request(&headers([(IF_NONE_MATCH, list)])), "{list}");
        }
    }

    #[test]
    fn if_none_match_takes_precedence_over_if_modified_since() {
        assert!(!validators().match_request(&headers([(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, DATE)])));
    }

    #[test]
    fn if_modified_since_compares_whole_seconds_and_ignores_invalid_dates() {
        assert!(validators().match_request(&headers([(IF_MODIFIED_SINCE, DATE)])));
        assert!(!validators().match_request(&headers([(IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT")])));
        assert!(!validators().match_request(&headers([(IF_MODIFIED_SINCE, "yesterday")])));
    }

    #[test]
    fn a_range_applies_if_if_range_matches() {
        let strong = format!("\"{ID}\"");
        let weak = format!("W/{strong}");
        let range = (RANGE, "bytes=0-1");
        assert!(validators().allow_range(&headers([range.clone()])));
        assert!(validators().allow_range(&headers([range.clone(), (IF_RANGE, &strong)])));
        assert!(validators().allow_range(&headers([range.clone(), (IF_RANGE, DATE)])));
        for other in [weak.as_str(), "\"x\"", "Sun, 06 Nov 1994 08:49:38 GMT"] {
            assert!(!validators().allow_range(&headers([range.clone(), (IF_RANGE, other)])), "{other}");
        }
    }
}
