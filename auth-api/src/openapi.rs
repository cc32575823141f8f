//! The `OpenAPI` 3.1 document: the table of routes, the types that serve, and a description of each operation.
//!
//! What follows from the table is not described: the path, whether a token is needed, 401, 405. What follows from a body is not
//! either: its media types, 400, 408, 413, 415. [`operations`] holds the rest, one entry per endpoint.

mod operations;
mod responses;
mod schemas;

use http::Method;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Path of the document.
pub const PATH: &str = "/api/user/openapi.json";

/// Paths of the documentation page and its files, which the document does not describe.
pub const UI_PATHS: [&str; 2] = ["/api/user/docs", "/api/user/docs/:file"];

/// Endpoints of the API that another process serves: media-server and nginx.
pub const ELSEWHERE: [(Method, &str); 2] = [(Method::GET, "/api/user/media/:name"), (Method::GET, "/health")];

const DESCRIPTION: &str = "\
Accounts, sessions and profile pictures.

- **Sign in** with `POST login/`, then send `Authorization: Bearer <access>` (or `JWT <access>`). This page keeps the access token \
of a successful sign-in or refresh until it is closed, and only in memory.
- Bodies are JSON, URL-encoded or multipart on every endpoint that takes one; unknown fields are ignored.
- Paths work with and without the last slash. HEAD works where GET does, OPTIONS is 204 with `Allow`.
- Every JSON response has `Cache-Control: no-store` unless its operation says otherwise.
- Invalid fields are reported all at once: `{\"email\": [\"Enter a valid email address.\"]}`. Other errors are `{\"detail\": \"…\"}`.";

/// Returns the document for these endpoints (method, path, and whether a token is needed), itself and [`ELSEWHERE`]. An endpoint
/// without a description is left out.
pub fn document<'a>(endpoints: impl Iterator<Item = (&'a Method, &'static str, bool)>) -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut types = settings.into_generator();
    let operations = operations::operations(&mut types);
    let own = (&Method::GET, PATH, false);
    let elsewhere = ELSEWHERE.iter().map(|(method, path)| (method, *path, false));
    let mut paths = Map::new();
    for (method, path, needs_token) in endpoints.chain([own]).chain(elsewhere) {
        let described = operations.iter().find(|(known, at, _)| (known, *at) == (method, path));
        let Some((_, _, operation)) = described else { continue };
        let at = paths.entry(public_path(path)).or_insert_with(|| json!({}));
        at[method.as_str().to_lowercase()] = operation.describe(needs_token);
    }
    let mut schemas = types.take_definitions(true);
    schemas.extend(schemas::errors());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Users",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "tags": operations::TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses::components(),
            "headers": responses::headers(),
            "securitySchemes": {
                "accessToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The access token of a sign-in or a refresh.",
                },
            },
        },
    })
}

/// Returns a path of the table as clients are shown it: parameters in braces; with a slash at the end, but for files.
fn public_path(path: &str) -> String {
    let is_file = ELSEWHERE.iter().any(|(_, known)| *known == path) || path.contains('.');
    let path = match path.split_once(':') {
        Some((prefix, name)) => format!("{prefix}{{{name}}}"),
        None => path.to_owned(),
    };
    if is_file { path } else { path + "/" }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use schemars::SchemaGenerator;

    use super::*;
    use crate::routes::routes;

    fn is_public(path: &str) -> bool {
        !UI_PATHS.contains(&path) && !["/healthz", "/readyz"].contains(&path)
    }

    #[test]
    fn every_route_is_described_and_every_description_has_a_route() {
        let table = routes();
        let served = table.endpoints().map(|(method, path, _)| (method.clone(), path));
        let served: BTreeSet<_> = served
            .chain(ELSEWHERE)
            .filter(|(_, path)| is_public(path))
            .map(|(m, path)| (m.to_string(), path))
            .collect();
        let operations = operations::operations(&mut SchemaGenerator::default());
        let described = operations.iter().map(|(method, path, _)| (method.to_string(), *path)).collect();
        assert_eq!(served, described, "routes, and operations in openapi/operations.rs");
    }

    #[test]
    fn ids_are_unique_and_references_resolve() {
        let document = document(routes().endpoints());
        let mut ids = BTreeSet::new();
        for operation in
            document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values())
        {
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
            assert!(operation["responses"].as_object().unwrap().len() > 1);
        }
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }
}
