//! The public keys and where they are, for services that verify tokens themselves. Needs neither Postgres nor Redis.

use std::sync::Arc;

use http::header::CACHE_CONTROL;
use serde::Serialize;
use shared::http::Problem;
use shared::http::router::Request;
use warp::reply::{Reply, Response};

use crate::app::App;

/// `GET /.well-known/jwks.json` (RFC 7517, section 5).
pub async fn read(app: Arc<App>, _: Request) -> Response {
    cacheable(&app, &app.tokens.public_keys())
}

/// `GET /.well-known/openid-configuration` and `GET /.well-known/oauth-authorization-server` (RFC 8414, section 3). 404 where
/// the issuer is not a URL, or no key is published.
pub async fn discover(app: Arc<App>, _: Request) -> Response {
    match app.tokens.discovery() {
        Some(document) => cacheable(&app, &document),
        None => Problem::not_found().into_response(),
    }
}

fn cacheable(app: &App, document: &impl Serialize) -> Response {
    let max_age = app.tokens.jwks_max_age().as_secs();
    let max_age = format!("public, max-age={max_age}");
    warp::reply::with_header(warp::reply::json(document), CACHE_CONTROL, max_age).into_response()
}
