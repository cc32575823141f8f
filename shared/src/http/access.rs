//! One log line for each answer, and the request's id that ties it to nginx's.

use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, StatusCode};
use tokio::time::Instant;

use super::problem::Cause;
use crate::random::Random;
use crate::telemetry::{Answered, answered};

/// The header that carries a request's id: nginx makes it, or passes a well-formed one on.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is passed on, in characters.
const REQUEST_ID_CHARS_MAX: usize = 64;

/// The paths of a service as templates, as in `/api/user/media/:name`. What matches none of them is logged as
/// `unknown`: a path is a client's text and may hold anything.
pub type RouteNames = &'static [&'static str];

/// A request, from its head to its answer.
#[derive(Debug)]
pub(super) struct Access {
    started: Instant,
    method: Method,
    route: &'static str,
    request_id: HeaderValue,
}

impl Access {
    pub(super) fn begin(
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        routes: RouteNames,
        ids: &RequestIds,
    ) -> Self {
        Self {
            started: Instant::now(),
            method: method.clone(),
            route: route_name(path, routes),
            request_id: headers.get(REQUEST_ID).filter(|id| is_well_formed(id)).cloned().unwrap_or_else(|| ids.next()),
        }
    }

    /// Logs the response, and sets the headers that every response has: the request's id, `nosniff`, and `no-store` where it
    /// has no other `Cache-Control`.
    pub(super) fn end<B>(self, response: &mut http::Response<B>) {
        let status = response.status();
        let cause = response.extensions_mut().remove::<Cause>();
        self.log(status, cause.as_ref().map(|Cause(text)| text.as_str()));
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, self.request_id);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }

    fn log(&self, status: StatusCode, cause: Option<&str>) {
        let request_id = self.request_id.to_str().unwrap_or_default();
        let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (method, route) = (&self.method, self.route);
        let plain = Answered { request_id, method, route, status, micros };
        let (method, status) = (method.as_str(), status.as_u16());
        match cause {
            Some(cause) if status >= 500 => {
                tracing::warn!(request_id, method, route, status, micros, cause, "answered");
            }
            Some(cause) => tracing::info!(request_id, method, route, status, micros, cause, "answered"),
            None if route.ends_with('z') => tracing::debug!(request_id, method, route, status, micros, "answered"),
            None => answered(&plain),
        }
    }
}

/// Ids for requests that bring none: a random word of this process, and a number.
#[derive(Debug)]
pub(super) struct RequestIds {
    process: String,
    count: AtomicU64,
}

impl RequestIds {
    pub(super) fn new(random: &Random) -> Self {
        Self { process: hex::encode(random.bytes::<8>()), count: AtomicU64::new(1) }
    }

    fn next(&self) -> HeaderValue {
        let id = format!("{}-{:x}", self.process, self.count.fetch_add(1, Ordering::Relaxed));
        // Hexadecimal digits are a header value.
        HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("none"))
    }
}

fn is_well_formed(id: &HeaderValue) -> bool {
    let id = id.as_bytes();
    (1..=REQUEST_ID_CHARS_MAX).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn route_name(path: &str, routes: RouteNames) -> &'static str {
    let path = path.strip_suffix('/').unwrap_or(path);
    routes.iter().find(|template| matches_template(path, template)).copied().unwrap_or("unknown")
}

fn matches_template(path: &str, template: &str) -> bool {
    let mut segments = path.split('/');
    for expected in template.split('/') {
        match segments.next() {
            Some(segment) if segment == expected || (expected.starts_with(':') && !segment.is_empty()) => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_logged_as_its_route() {
        let routes: RouteNames = &["/api/user/me", "/api/user/media/:name"];
        assert_eq!(route_name("/api/user/me/", routes), "/api/user/me");
        assert_eq!(route_name("/api/user/media/0a.jpg", routes), "/api/user/media/:name");
        assert_eq!(route_name("/api/user/media/", routes), "unknown");
        assert_eq!(route_name("/api/user/media/a/b", routes), "unknown");
        assert_eq!(route_name("/ann@example.com", routes), "unknown");
    }

    #[test]
    fn an_id_of_foreign_letters_or_great_length_is_replaced() {
        assert!(is_well_formed(&HeaderValue::from_static("a-B_9")));
        assert!(!is_well_formed(&HeaderValue::from_static("")));
        assert!(!is_well_formed(&HeaderValue::from_static("a b")));
        assert!(!is_well_formed(&HeaderValue::from_str(&"a".repeat(65)).unwrap()));
    }
}
