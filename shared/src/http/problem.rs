//! Error responses of both services: the only place that maps a failure to a status.
//!
//! Messages and bodies are those of Django REST Framework and `SimpleJWT`, for whose clients this API is made.

use std::fmt::Display;

use http::header::{ALLOW, CONTENT_RANGE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use warp::reply::{Reply, Response};

/// The internal cause of an error response: logged, not sent. `serve` takes it from the response's extensions.
#[derive(Clone, Debug)]
pub struct Cause(pub String);

/// An error response.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    body: Value,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<String>,
}

/// `Retry-After` of a 503, in seconds.
pub const RETRY_AFTER_SECONDS: u64 = 1;

/// Limit of a client's input repeated in a message, in characters.
const EXCERPT_CHARS_MAX: usize = 100;

/// The start of a client's input, for use in a message.
pub fn excerpt(input: &str) -> &str {
    input.char_indices().nth(EXCERPT_CHARS_MAX).and_then(|(end, _)| input.get(..end)).unwrap_or(input)
}

impl Problem {
    fn new(status: StatusCode, body: Value) -> Self {
        Self { status, body, headers: Vec::new(), cause: None }
    }

    fn detail(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(status, json!({ "detail": detail.into() }))
    }

    fn header(mut self, name: HeaderName, value: &str) -> Self {
        // A value that is no valid header value (of a client's odd method name) is left out.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// Attaches the internal cause, which is logged and not sent.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// The response's status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// 400: invalid fields, each with its messages.
    pub fn fields(errors: Map<String, Value>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Value::Object(errors))
    }

    /// 400: the request as a whole is malformed.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::detail(StatusCode::BAD_REQUEST, detail)
    }

    /// 401 for an access token: `SimpleJWT`'s body, with `messages` if a token was presented.
    pub fn access_token(detail: &str, message: Option<&str>) -> Self {
        let mut body = json!({ "detail": detail, "code": "token_not_valid" });
        if let (Some(message), Value::Object(fields)) = (message, &mut body) {
            let shown = json!([{ "token_class": "AccessToken", "token_type": "access", "message": message }]);
            fields.insert("messages".to_owned(), shown);
        }
        Self::new(StatusCode::UNAUTHORIZED, body).header(WWW_AUTHENTICATE, r#"JWT realm="api""#)
    }

    /// 401 for a refresh token.
    pub fn refresh_token(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, json!({ "detail": detail, "code": "token_not_valid" }))
            .header(WWW_AUTHENTICATE, r#"JWT realm="api""#)
    }

    /// 401 between the two services: the secret is missing or wrong.
    pub fn service_secret() -> Self {
        Self::detail(StatusCode::UNAUTHORIZED, "The secret of the two services is missing or wrong.")
    }

    /// 403.
    pub fn forbidden(detail: &str) -> Self {
        Self::detail(StatusCode::FORBIDDEN, detail)
    }

    /// 404.
    pub fn not_found() -> Self {
        Self::detail(StatusCode::NOT_FOUND, "Not found.")
    }

    /// 405, with `Allow`.
    pub fn method_not_allowed(method: &Method, allow: &str) -> Self {
        let detail = format!("Method \"{}\" not allowed.", excerpt(method.as_str()));
        Self::detail(StatusCode::METHOD_NOT_ALLOWED, detail).header(ALLOW, allow)
    }

    /// 408: timeout of the body.
    pub fn body_timeout() -> Self {
        Self::detail(StatusCode::REQUEST_TIMEOUT, "The request's body did not arrive in time.")
    }

    /// 409: the id belongs to another picture.
    pub fn conflict(detail: &str) -> Self {
        Self::detail(StatusCode::CONFLICT, detail)
    }

    /// 413: more than `limit_bytes`.
    pub fn too_large(limit_bytes: usize) -> Self {
        let detail = format!("The request is too large. At most {limit_bytes} bytes are taken here.");
        Self::detail(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 415.
    pub fn unsupported_media_type(media_type: &str) -> Self {
        let detail = format!("Unsupported media type \"{}\" in request.", excerpt(media_type));
        Self::detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    /// 415 for a `Content-Encoding`: only `identity` is supported (RFC 9110, section 8.4).
    pub fn unsupported_encoding(encoding: &str) -> Self {
        let detail = format!("Unsupported content encoding \"{}\" in request.", excerpt(encoding));
        Self::detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    /// 416, with the size of the resource in bytes.
    pub fn range_not_satisfiable(size_bytes: u64) -> Self {
        Self::detail(StatusCode::RANGE_NOT_SATISFIABLE, "The range asked for is not part of it.")
            .header(CONTENT_RANGE, &format!("bytes */{size_bytes}"))
    }

    /// 422 between the two services: the body is not an accepted picture.
    pub fn refused(body: Value) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, body)
    }

    /// 429, with `Retry-After` in seconds.
    pub fn throttled(wait_seconds: u64) -> Self {
        let detail = format!("Request was throttled. Expected available in {wait_seconds} seconds.");
        Self::detail(StatusCode::TOO_MANY_REQUESTS, detail).header(RETRY_AFTER, &wait_seconds.to_string())
    }

    /// 431: more headers than `max`.
    pub fn too_many_headers(max: usize) -> Self {
        let detail = format!("The request has too many headers. At most {max} are taken.");
        Self::detail(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
    }

    /// 500: a bug of the service. No input of a client may lead here.
    pub fn internal() -> Self {
        Self::detail(StatusCode::INTERNAL_SERVER_ERROR, "A server error occurred.")
    }

    /// 503: a dependency is unavailable or saturated; the client may retry.
    pub fn unavailable() -> Self {
        Self::detail(StatusCode::SERVICE_UNAVAILABLE, "Service temporarily unavailable, try again later.")
            .header(RETRY_AFTER, &RETRY_AFTER_SECONDS.to_string())
    }
}

impl Reply for Problem {
    fn into_response(self) -> Response {
        let mut response = warp::reply::json(&self.body).into_response();
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(Cause(cause));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_repeats_at_most_100_characters_of_input() {
        assert_eq!(excerpt("text/xml"), "text/xml");
        let long = "ü".repeat(101);
        assert_eq!(excerpt(&long), "ü".repeat(100));
        let problem = Problem::unsupported_media_type(&long);
        assert_eq!(problem.body["detail"], format!("Unsupported media type \"{}\" in request.", "ü".repeat(100)));
    }
}
