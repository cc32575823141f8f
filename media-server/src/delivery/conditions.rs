//! What a client has already: `If-None-Match`, `If-Modified-Since` and `If-Range` (RFC 9110, section 13).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};

/// The client's `If-None-Match`, where nginx asks for its cache and leaves that one out.
const X_IF_NONE_MATCH: HeaderName = HeaderName::from_static("x-if-none-match");

/// The client's `If-Modified-Since`, likewise.
const X_IF_MODIFIED_SINCE: HeaderName = HeaderName::from_static("x-if-modified-since");

/// What tells one representation from another.
#[derive(Debug)]
pub(super) struct Validators {
    etag: String,
    /// In whole seconds, as HTTP has it.
    modified: SystemTime,
}

impl Validators {
    /// An id is never used for another picture, and neither a picture nor a rendition changes: so what names one is a
    /// strong validator.
    pub(super) fn new(tag: &str, modified: SystemTime) -> Self {
        let seconds = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { etag: format!("\"{tag}\""), modified: UNIX_EPOCH + Duration::from_secs(seconds) }
    }

    /// The `ETag`.
    pub(super) fn etag(&self) -> HeaderValue {
        value(&self.etag)
    }

    /// The `Last-Modified`.
    pub(super) fn last_modified(&self) -> HeaderValue {
        value(&httpdate::fmt_http_date(self.modified))
    }

    /// Whether the answer is 304. `If-None-Match`, if it is there, decides alone.
    pub(super) fn are_known_to(&self, headers: &HeaderMap) -> bool {
        self.match_either(headers, &IF_NONE_MATCH, &IF_MODIFIED_SINCE)
    }

    /// Whether the client behind nginx has this representation. For responses that nginx does not cache: a cached 304 would
    /// be served to clients that have nothing.
    pub(super) fn are_known_to_client(&self, headers: &HeaderMap) -> bool {
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

    /// Whether `Range` counts: `If-Range`, if it is there, must name this very representation.
    pub(super) fn allow_range(&self, headers: &HeaderMap) -> bool {
        let Some(condition) = headers.get(IF_RANGE) else { return headers.contains_key(RANGE) };
        condition == self.etag.as_str() || date(headers, &IF_RANGE) == Some(self.modified)
    }
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// A header value of text that is one.
pub(super) fn value(text: &str) -> HeaderValue {
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
    fn a_tag_is_found_in_any_list_weak_or_strong() {
        let tag = format!("\"{ID}\"");
        for list in [tag.clone(), format!("W/{tag}"), format!("\"x\" , W/\"y\",{tag}"), "*".to_owned()] {
            assert!(validators().are_known_to(&headers([(IF_NONE_MATCH, &list)])), "{list}");
        }
        assert!(validators().are_known_to(&headers([(IF_NONE_MATCH, "\"x\""), (IF_NONE_MATCH, &tag)])));
        for list in ["", "\"x\"", ID, "w/\"x\""] {
            assert!(!validators().are_known_to(&headers([(IF_NONE_MATCH, list)])), "{list}");
        }
    }

    #[test]
    fn a_tag_decides_before_a_date() {
        assert!(!validators().are_known_to(&headers([(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, DATE)])));
    }

    #[test]
    fn a_date_counts_in_whole_seconds_and_only_if_it_is_one() {
        assert!(validators().are_known_to(&headers([(IF_MODIFIED_SINCE, DATE)])));
        assert!(!validators().are_known_to(&headers([(IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT")])));
        assert!(!validators().are_known_to(&headers([(IF_MODIFIED_SINCE, "yesterday")])));
    }

    #[test]
    fn a_range_counts_if_the_client_has_the_same_picture() {
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
