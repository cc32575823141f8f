//! Schemas of request fields, with the limits that their parsers have, and of errors.

#![expect(clippy::indexing_slicing, reason = "of JSON objects, which an assignment extends")]

use serde_json::{Map, Value, json};

use crate::domain::{Email, FullName, Password};
use crate::form::PICTURE;

/// The field that asks for the refresh token in a cookie.
pub(super) const COOKIE: &str = "cookie";

/// A body's media type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum MediaType {
    Json,
    UrlEncoded,
    Multipart,
}

impl MediaType {
    pub(super) const ALL: [Self; 3] = [Self::Json, Self::UrlEncoded, Self::Multipart];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::UrlEncoded => "application/x-www-form-urlencoded",
            Self::Multipart => "multipart/form-data",
        }
    }
}

/// The purpose of a body: a password that is set has rules which one that is compared has not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Set,
    Compare,
}

/// Returns the schema and the example of a body with these fields.
pub(super) fn body(fields: &[&str], required: bool, purpose: Purpose, media_type: MediaType) -> Value {
    let schemas: Map<String, Value> =
        fields.iter().map(|name| ((*name).to_owned(), field(name, purpose, media_type))).collect();
    let required_fields: Vec<_> = fields.iter().filter(|name| required && ![PICTURE, COOKIE].contains(name)).collect();
    let mut schema = json!({ "type": "object", "properties": schemas });
    if !required_fields.is_empty() {
        schema["required"] = json!(required_fields);
    }
    // A form without a picture: an example file can't be shown as text.
    // A change of the name only, as a tool that sends examples should not change a password.
    let is_shown =
        |name: &str| if required { name != PICTURE || media_type == MediaType::Json } else { name == "full_name" };
    let examples = fields.iter().filter(|name| is_shown(name));
    let example: Map<String, Value> = examples.map(|name| ((*name).to_owned(), example(name))).collect();
    json!({ "schema": schema, "example": example })
}

fn field(name: &str, purpose: Purpose, media_type: MediaType) -> Value {
    // A JSON number is accepted as its digits.
    let text = if media_type == MediaType::Json { json!(["string", "number"]) } else { json!("string") };
    match (name, media_type) {
        ("email", _) => {
            json!({ "type": "string", "format": "idn-email", "minLength": 1, "maxLength": Email::CHARS_MAX })
        }
        ("full_name", _) => json!({ "type": text, "minLength": 1, "maxLength": FullName::CHARS_MAX }),
        ("password", _) if purpose == Purpose::Set => json!({
            "type": text, "format": "password", "minLength": Password::CHARS_MIN, "maxLength": Password::CHARS_MAX,
            "description": "Not common, not numeric, not similar to the address.",
        }),
        ("password", _) => json!({ "type": "string", "format": "password", "minLength": 1 }),
        (PICTURE, MediaType::Json) => json!({
            "type": ["string", "null"],
            "description": "JPEG, PNG, GIF or WebP in base64, or a `data:` URL; `null` or empty: no picture; the link of the \
                            current picture: unchanged.",
        }),
        (PICTURE, MediaType::UrlEncoded) => json!({
            "type": "string",
            "description": "Empty: no picture; the link of the current picture: unchanged. A file needs multipart/form-data.",
        }),
        (PICTURE, MediaType::Multipart) => json!({
            "type": "string",
            "format": "binary",
            "description": "A JPEG, PNG, GIF or WebP file; empty: no picture.",
        }),
        (COOKIE, MediaType::Json) => json!({ "type": ["boolean", "null"] }),
        (COOKIE, _) => json!({ "type": "string", "enum": ["true", "false"] }),
        _ => json!({ "type": "string", "minLength": 1 }),
    }
}

fn example(name: &str) -> Value {
    match name {
        "email" => json!("ann@example.com"),
        "full_name" => json!("Ann Lee"),
        "password" => json!("correct horse battery"),
        "refresh" => json!("eyJhbGciOiJIUzI1NiJ9.…"),
        COOKIE => json!(false),
        _ => Value::Null,
    }
}

/// Returns the schema of a 400 for these fields.
pub(super) fn field_errors(fields: &[&str]) -> Value {
    let names = fields.iter().copied().chain(["non_field_errors"]);
    let schemas: Map<String, Value> =
        names.map(|name| (name.to_owned(), json!({ "$ref": "#/components/schemas/Messages" }))).collect();
    let errors = json!({ "type": "object", "properties": schemas, "minProperties": 1, "additionalProperties": false });
    json!({ "anyOf": [errors, { "$ref": "#/components/schemas/Error" }] })
}

/// Returns the schemas of errors.
pub(super) fn errors() -> Map<String, Value> {
    let schemas = json!({
        "Messages": { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        "Error": {
            "type": "object",
            "properties": { "detail": { "type": "string" } },
            "required": ["detail"],
        },
        "TokenError": {
            "type": "object",
            "properties": {
                "detail": { "type": "string" },
                "code": { "const": "token_not_valid" },
                "messages": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "token_class": { "type": "string" },
                            "token_type": { "type": "string" },
                            "message": { "type": "string" },
                        },
                        "required": ["token_class", "token_type", "message"],
                    },
                },
            },
            "required": ["detail", "code"],
        },
        "JwkSet": {
            "type": "object",
            "properties": {
                "keys": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "kty": { "type": "string" },
                            "kid": { "type": "string" },
                            "use": { "const": "sig" },
                            "alg": { "type": "string" },
                        },
                        "required": ["kty", "kid", "use", "alg"],
                    },
                },
            },
            "required": ["keys"],
        },
        "Health": {
            "type": "object",
            "properties": { "status": { "enum": ["ok", "unavailable"] } },
            "required": ["status"],
        },
    });
    match schemas {
        Value::Object(schemas) => schemas,
        _ => Map::new(),
    }
}
