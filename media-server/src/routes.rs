//! The tables of routes of both listeners.

use http::Method;
use http::header::AUTHORIZATION;
use shared::http::router::Router;
use shared::http::{Problem, RequestHead};
use shared::media_api;

use crate::App;
use crate::handlers::{delivery, listing, readiness, uploads};

/// Returns the routes of the public listener, which nginx reaches.
pub fn public_api() -> Router<App> {
    Router::new().public(Method::GET, "/api/user/media/:name", delivery::read).health(readiness::check)
}

/// Returns the routes of the internal listener, which only auth-api reaches.
pub fn internal_api() -> Router<App> {
    Router::new()
        .guard(check_secret)
        .public(Method::GET, "/images", listing::list)
        .public(Method::POST, "/images/check", uploads::check)
        .public(Method::PUT, "/images/:id", uploads::create)
        .public(Method::DELETE, "/images/:id", uploads::delete)
}

fn check_secret(app: &App, head: &RequestHead) -> Result<(), Problem> {
    let secret = head.headers().get(AUTHORIZATION).and_then(|header| header.to_str().ok());
    if media_api::is_authorized(&app.secret, secret) { Ok(()) } else { Err(Problem::service_secret()) }
}
