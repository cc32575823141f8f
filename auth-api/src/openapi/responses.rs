//! Responses and headers that many operations share.

use serde_json::{Value, json};

/// Returns a response in JSON with headers of [`headers`], in addition to those that every response has.
pub(super) fn json_response(description: &str, schema: &Value, example: &Value, extra_headers: &[&str]) -> Value {
    json!({
        "description": description,
        "headers": header_references(extra_headers),
        "content": { "application/json": { "schema": schema, "example": example } },
    })
}

/// Returns references to headers, `X-Request-Id` included.
pub(super) fn header_references(names: &[&str]) -> Value {
    let all = names.iter().chain(&["X-Request-Id"]);
    all.map(|name| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))).collect()
}

fn error(description: &str, detail: &str, extra_headers: &[&str]) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Error" });
    json_response(description, &schema, &json!({ "detail": detail }), extra_headers)
}

/// Returns the responses that operations refer to by their status.
pub(super) fn components() -> Value {
    let token = json!({ "$ref": "#/components/schemas/TokenError" });
    let invalid = json!({
        "detail": "Given token not valid for any token type",
        "code": "token_not_valid",
        "messages": [{ "token_class": "AccessToken", "token_type": "access", "message": "Token is expired" }],
    });
    json!({
        "401": json_response("The token is missing, invalid, expired or revoked.", &token, &invalid, &["WWW-Authenticate"]),
        "403": error("A page of another origin sent the request.", "CSRF Failed: Origin checking failed.", &[]),
        "404": error("Not found.", "Not found.", &[]),
        "405": error("The path does not have this method.", "Method \"PURGE\" not allowed.", &["Allow"]),
        "408": error("The body did not arrive in time.", "The request's body did not arrive in time.", &[]),
        "413": error("The body is too large.", "The request is too large. At most 16384 bytes are taken here.", &[]),
        "415": error("The body's media type is not supported.", "Unsupported media type \"text/xml\" in request.", &[]),
        "429": error(
            "Too many attempts.",
            "Request was throttled. Expected available in 30 seconds.",
            &["Retry-After"],
        ),
        "431": error("More than 100 headers, or more than 32 kB of them.", "The request's headers are too large.", &[]),
        "503": error(
            "A dependency is unavailable, or a queue is full: retry.",
            "Service temporarily unavailable, try again later.",
            &["Retry-After"],
        ),
        "504": error("No response in time.", "The service did not answer in time.", &["Retry-After"]),
    })
}

/// Returns the headers of responses.
pub(super) fn headers() -> Value {
    let header = |description: &str, schema: Value, example: &str, required: bool| json!({ "description": description, "schema": schema, "example": example, "required": required });
    let text = || json!({ "type": "string" });
    let seconds = json!({ "type": "integer", "minimum": 0 });
    json!({
        "X-Request-Id": header(
            "Identifies the request in the logs. A client's own is kept if it has up to 64 letters, digits, `-`, `_` or `.`.",
            json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" }),
            "1764088000.123-17-1",
            true,
        ),
        "Retry-After": header("Seconds to wait before the next attempt.", seconds, "30", true),
        "Allow": header("The methods of the path.", text(), "GET, HEAD, OPTIONS", true),
        "WWW-Authenticate": header("The challenge.", text(), "JWT realm=\"api\"", true),
        "Cache-Control": header("How caches may keep the response.", text(), "public, max-age=300", true),
        "ETag": header("Version of the content, for `If-None-Match`.", text(), "\"6d0b0f7f6a8e4d0c9f3b2a1c0d9e8f7a\"", true),
        "Last-Modified": header("Time of the upload.", text(), "Wed, 25 Nov 2026 16:23:00 GMT", true),
        "Accept-Ranges": header("That parts can be requested.", text(), "bytes", false),
        "Content-Range": header("The part, and the size of the whole.", text(), "bytes 0-99/20480", true),
    })
}
