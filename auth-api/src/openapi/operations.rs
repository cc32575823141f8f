//! The description of each operation.

#![expect(clippy::indexing_slicing, reason = "of JSON objects, which an assignment extends")]

use http::Method;
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::responses::{header_references, json_response};
use super::schemas::{self, COOKIE, MediaType, Purpose};
use crate::form::PICTURE;
use crate::handlers::responses::{LoginResponse, SessionResponse, TokensResponse, UserResponse};

const ACCOUNT: &str = "account";
const SESSION: &str = "session";
const PICTURES: &str = "picture";
const OPERATION: &str = "operation";

/// Groups of operations.
pub(super) const TAGS: [(&str, &str); 4] = [
    (ACCOUNT, "Create, read, change and delete an account."),
    (SESSION, "Sign in, refresh, sign out; list and revoke sessions."),
    (PICTURES, "Profile pictures."),
    (OPERATION, "Keys, health, and this description."),
];

/// The description of an operation, without what follows from the table of routes.
pub(super) struct Operation {
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    description: &'static str,
    parameters: Vec<Value>,
    body: Option<(Vec<&'static str>, bool, Purpose)>,
    responses: Map<String, Value>,
}

impl Operation {
    fn new(id: &'static str, tag: &'static str, summary: &'static str) -> Self {
        let mut responses = Map::new();
        for status in ["405", "431", "503", "504"] {
            responses.insert(status.to_owned(), component(status));
        }
        Self { id, tag, summary, description: "", parameters: Vec::new(), body: None, responses }
    }

    fn description(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    fn parameter(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Adds a body with these fields, all required but a picture.
    fn body(mut self, fields: &[&'static str], purpose: Purpose) -> Self {
        self.body = Some((fields.to_vec(), true, purpose));
        self.body_errors()
    }

    /// Adds a body with these fields, none required.
    fn optional_body(mut self, fields: &[&'static str], purpose: Purpose) -> Self {
        self.body = Some((fields.to_vec(), false, purpose));
        self.body_errors()
    }

    fn body_errors(self) -> Self {
        ["408", "413", "415"].into_iter().fold(self, Self::error)
    }

    fn response(mut self, status: &str, response: Value) -> Self {
        self.responses.insert(status.to_owned(), response);
        self
    }

    fn ok(self, status: &str, description: &str, schema: &Value, example: &Value) -> Self {
        self.response(status, json_response(description, schema, example, &[]))
    }

    fn no_content(self, description: &str) -> Self {
        self.response("204", json!({ "description": description, "headers": header_references(&[]) }))
    }

    /// Adds one of the shared responses.
    fn error(self, status: &str) -> Self {
        self.response(status, component(status))
    }

    /// Returns the operation object.
    pub(super) fn describe(&self, needs_token: bool) -> Value {
        let mut responses = self.responses.clone();
        let mut operation = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "security": [],
        });
        if !self.description.is_empty() {
            operation["description"] = json!(self.description);
        }
        if !self.parameters.is_empty() {
            operation["parameters"] = json!(self.parameters);
        }
        if needs_token {
            operation["security"] = json!([{ "accessToken": [] }]);
            responses.insert("401".to_owned(), component("401"));
        }
        if let Some((fields, required, purpose)) = &self.body {
            let body = |media_type| schemas::body(fields, *required, *purpose, media_type);
            let content: Map<String, Value> =
                MediaType::ALL.iter().map(|media_type| (media_type.name().to_owned(), body(*media_type))).collect();
            operation["requestBody"] = json!({ "required": required, "content": content });
            let example = json!({ (fields.first().copied().unwrap_or_default()): ["This field is required."] });
            let invalid =
                json_response("Invalid fields, or a malformed body.", &schemas::field_errors(fields), &example, &[]);
            responses.insert("400".to_owned(), invalid);
        }
        operation["responses"] = Value::Object(responses);
        operation
    }
}

fn component(status: &str) -> Value {
    json!({ "$ref": format!("#/components/responses/{status}") })
}

/// An operation with its place in the table of routes.
type Entry = (Method, &'static str, Operation);

/// Returns all operations by method and path. `types` collects the schemas of the types that serve.
pub(super) fn operations(types: &mut SchemaGenerator) -> Vec<Entry> {
    let mut operations = accounts(types);
    operations.extend(sessions(types));
    operations.push((Method::GET, "/api/user/media/:name", picture()));
    operations.extend(others());
    operations
}

const ACCOUNT_FIELDS: [&str; 4] = ["email", "full_name", "password", PICTURE];

fn ann() -> Value {
    json!({
        "id": "0192f0c1-5b1e-4c58-9b43-6d0b0f7f6a8e",
        "full_name": "Ann Lee",
        "email": "ann@example.com",
        "profile_pic": "http://127.0.0.1:8010/api/user/media/6d0b0f7f6a8e4d0c9f3b2a1c0d9e8f7a.jpg",
    })
}

fn accounts(types: &mut SchemaGenerator) -> Vec<Entry> {
    let user = types.subschema_for::<UserResponse>().to_value();
    let update = |id, summary| {
        Operation::new(id, ACCOUNT, summary)
            .description(
                "Absent fields are unchanged. `profile_pic`: a file or base64 replaces the picture, JSON `null` or an empty \
                 form value deletes it. A new password revokes every other session.",
            )
            .optional_body(&ACCOUNT_FIELDS, Purpose::Set)
            .ok("200", "The user.", &user, &ann())
            .error("429")
    };
    let register = Operation::new("register", ACCOUNT, "Creates an account")
        .description("All or nothing: a refused request leaves neither a user nor a file.")
        .body(&ACCOUNT_FIELDS, Purpose::Set)
        .ok("201", "The user.", &user, &ann())
        .error("429");
    let me = Operation::new("me", ACCOUNT, "Returns the user of an access token")
        .description("Other services validate an access token so: it is 401 once the session is revoked.")
        .ok("200", "The user.", &user, &ann());
    let delete = |id, summary| {
        Operation::new(id, ACCOUNT, summary)
            .body(&["password"], Purpose::Compare)
            .no_content("The account is deleted.")
            .error("429")
    };
    vec![
        (Method::POST, "/api/user/register", register),
        (Method::GET, "/api/user/me", me),
        (Method::DELETE, "/api/user/me", delete("deleteMe", "Deletes the account with its picture and sessions")),
        (Method::POST, "/api/user/me/delete", delete("deleteMeByPost", "Deletes the account, as DELETE does")),
        (Method::PUT, "/api/user/update", update("update", "Changes the account")),
        (Method::PATCH, "/api/user/update", update("updatePartially", "Changes the account, as PUT does")),
    ]
}

fn sessions(types: &mut SchemaGenerator) -> Vec<Entry> {
    let login_type = types.subschema_for::<LoginResponse>().to_value();
    let tokens = types.subschema_for::<TokensResponse>().to_value();
    let sessions = types.subschema_for::<Vec<SessionResponse>>().to_value();
    let pair = json!({ "refresh": "eyJhbGciOiJIUzI1NiJ9.…", "access": "eyJhbGciOiJFUzI1NiJ9.…" });
    let session = json!({
        "id": "3f0c9d1e-8a7b-4c6d-9e5f-4a3b2c1d0e9f",
        "created_at": "2026-11-25T16:23:00Z",
        "last_used_at": "2026-11-25T16:41:07Z",
        "ip": "203.0.113.7",
        "user_agent": "Mozilla/5.0",
        "current": true,
    });
    let login = Operation::new("login", SESSION, "Signs in")
        .description(
            "Wrong credentials are 400, whether the account exists or not. With `cookie`, the refresh token is set as the cookie \
             `__Secure-refresh`, and is not in the body.",
        )
        .body(&["email", "password", COOKIE], Purpose::Compare)
        .error("403")
        .ok("200", "Tokens of a new session, and the user.", &login_type, &json!({ "tokens": pair, "data": ann() }))
        .error("429");
    let refresh = Operation::new("refresh", SESSION, "Exchanges a refresh token for a new pair")
        .description(
            "A refresh token is used once. The same token gives the same pair again for ten seconds. Without a body, the cookie's \
             token is used and set.",
        )
        .error("403")
        .body(&["refresh"], Purpose::Compare)
        .ok("200", "The new pair.", &tokens, &pair)
        .error("401");
    let logout = Operation::new("logout", SESSION, "Ends the session of a refresh token")
        .description("Without a body, that of the cookie's token; the cookie is removed.")
        .error("403")
        .body(&["refresh"], Purpose::Compare)
        .no_content("The session has ended.")
        .error("401");
    let list = Operation::new("listSessions", SESSION, "Lists the sessions of the user").ok(
        "200",
        "The most recently used first.",
        &sessions,
        &json!([session]),
    );
    let revoke_others = Operation::new("revokeOtherSessions", SESSION, "Revokes all sessions but the current one")
        .no_content("They are revoked.");
    let id = json!({
        "name": "id", "in": "path", "required": true,
        "schema": { "type": "string", "format": "uuid" },
        "example": session["id"],
    });
    let revoke = Operation::new("revokeSession", SESSION, "Revokes a session")
        .parameter(id)
        .no_content("It is revoked.")
        .error("404");
    vec![
        (Method::POST, "/api/user/login", login),
        (Method::POST, "/api/user/refresh", refresh),
        (Method::POST, "/api/user/logout", logout),
        (Method::GET, "/api/user/sessions", list),
        (Method::DELETE, "/api/user/sessions", revoke_others),
        (Method::DELETE, "/api/user/sessions/:id", revoke),
    ]
}

fn others() -> Vec<Entry> {
    let key = json!({
        "kty": "EC", "kid": "4c6d9e5f", "use": "sig", "alg": "ES256", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let jwks = json_response(
        "The keys; none with HS256.",
        &json!({ "$ref": "#/components/schemas/JwkSet" }),
        &json!({ "keys": [key] }),
        &["Cache-Control"],
    );
    let jwks =
        Operation::new("jwks", OPERATION, "Returns the public keys of access tokens (RFC 7517)").response("200", jwks);
    let metadata = json!({
        "issuer": "https://users.example.com",
        "jwks_uri": "https://users.example.com/.well-known/jwks.json",
    });
    let discovery = |id, summary| {
        let document = json_response(
            "Where the keys are.",
            &json!({ "type": "object", "required": ["issuer", "jwks_uri"] }),
            &metadata,
            &["Cache-Control"],
        );
        Operation::new(id, OPERATION, summary).response("200", document).error("404")
    };
    let status = json!({ "$ref": "#/components/schemas/Health" });
    let unavailable = json_response("Nothing works.", &status, &json!({ "status": "unavailable" }), &["Retry-After"]);
    let health = Operation::new("health", OPERATION, "Returns whether the service works, for load balancers")
        .ok("200", "At least part of the API works.", &status, &json!({ "status": "ok" }))
        .response("503", unavailable);
    let document = json_response(
        "An OpenAPI 3.1 document.",
        &json!({ "type": "object", "required": ["openapi", "info", "paths"] }),
        &json!({ "openapi": "3.1.0", "info": { "title": "Users", "version": "1.0.0" }, "paths": {} }),
        &["Cache-Control", "ETag"],
    );
    let openapi = Operation::new("openapi", OPERATION, "Returns this description").response("200", document);
    vec![
        (Method::GET, "/.well-known/jwks.json", jwks),
        (
            Method::GET,
            "/.well-known/openid-configuration",
            discovery("openidConfiguration", "Returns where the keys are (OpenID Connect Discovery 1.0)"),
        ),
        (
            Method::GET,
            "/.well-known/oauth-authorization-server",
            discovery("authorizationServerMetadata", "Returns where the keys are (RFC 8414)"),
        ),
        (Method::GET, "/health", health),
        (Method::GET, super::PATH, openapi),
    ]
}

/// Headers of a picture that caches use.
const VALIDATORS: [&str; 3] = ["ETag", "Last-Modified", "Cache-Control"];

/// The operation of media-server that clients reach.
fn picture() -> Operation {
    // Without examples: the console would send them, and get a part of the picture.
    let header = |name: &str, description: &str| {
        let schema = json!({ "type": "string" });
        json!({ "name": name, "in": "header", "description": description, "schema": schema })
    };
    let content = || {
        let types = ["image/jpeg", "image/png", "image/gif", "image/webp"];
        types.map(|name| (name.to_owned(), json!({}))).into_iter().collect::<Map<_, _>>()
    };
    let with = |extra: &[&'static str]| header_references(&[&VALIDATORS, extra].concat());
    Operation::new("picture", PICTURES, "Returns a picture")
        .description("The link is a user's `profile_pic`. Caches keep it and revalidate it each time: `public, no-cache`.")
        .parameter(json!({
            "name": "name", "in": "path", "required": true,
            "schema": { "type": "string", "pattern": r"^[0-9a-f]{32}\.(jpg|png|gif|webp)$" },
            "example": "6d0b0f7f6a8e4d0c9f3b2a1c0d9e8f7a.jpg",
        }))
        .parameter(json!({
            "name": "size", "in": "query",
            "description": "Requests a square, upright center crop of this side in pixels, in WebP if that is smaller and \
                            accepted. These are the default sizes; `RENDITION_SIZES` sets others.",
            "schema": { "type": "integer", "enum": [64, 128, 256, 512] },
        }))
        .parameter(header("If-None-Match", "An `ETag`: 304 if the picture still has it."))
        .parameter(header("If-Modified-Since", "A time: 304 if nothing changed since."))
        .parameter(header("Range", "A part, as `bytes=0-99`: 206, or 416 outside of the picture."))
        .response("200", json!({ "description": "The picture.", "headers": with(&["Accept-Ranges"]), "content": content() }))
        .response(
            "206",
            json!({ "description": "A part.", "headers": with(&["Accept-Ranges", "Content-Range"]), "content": content() }),
        )
        .response("304", json!({ "description": "Unchanged.", "headers": with(&[]) }))
        .response(
            "400",
            json_response(
                "The size is not offered.",
                &json!({ "$ref": "#/components/schemas/Error" }),
                &json!({ "detail": "size must be given once, and be one of 64, 128, 256, 512." }),
                &[],
            ),
        )
        .error("404")
        .response(
            "416",
            json_response(
                "The range is outside of the picture.",
                &json!({ "$ref": "#/components/schemas/Error" }),
                &json!({ "detail": "The range asked for is not part of it." }),
                &["Content-Range"],
            ),
        )
}
