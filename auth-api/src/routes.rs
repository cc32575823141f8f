//! The table of routes.

use http::Method;
use shared::http::router::Router;

use crate::app::App;
use crate::handlers::{accounts, docs, health, jwks, sessions};
use crate::openapi;
use crate::tokens::JWKS_PATH;

/// Returns every endpoint of auth-api.
pub fn routes() -> Router<App> {
    let table = Router::new()
        .public(Method::POST, "/api/user/register", accounts::create)
        .signed_in(Method::GET, "/api/user/me", accounts::read)
        .signed_in(Method::DELETE, "/api/user/me", accounts::delete)
        // For clients behind proxies that drop the body of a DELETE.
        .signed_in(Method::POST, "/api/user/me/delete", accounts::delete)
        .signed_in(Method::PUT, "/api/user/update", accounts::update)
        .signed_in(Method::PATCH, "/api/user/update", accounts::update)
        .public(Method::POST, "/api/user/login", sessions::create)
        .public(Method::POST, "/api/user/refresh", sessions::refresh)
        .public(Method::POST, "/api/user/logout", sessions::logout)
        .signed_in(Method::GET, "/api/user/sessions", sessions::list)
        .signed_in(Method::DELETE, "/api/user/sessions", sessions::delete_others)
        .signed_in(Method::DELETE, "/api/user/sessions/:id", sessions::delete)
        .public(Method::GET, JWKS_PATH, jwks::read)
        .public(Method::GET, "/.well-known/openid-configuration", jwks::discover)
        .public(Method::GET, "/.well-known/oauth-authorization-server", jwks::discover)
        .public(Method::GET, "/api/user/docs", docs::read)
        .public(Method::GET, "/api/user/docs/:file", docs::read)
        .health(health::check);
    let document = docs::openapi(table.endpoints());
    table.public(Method::GET, openapi::PATH, move |_, request| std::future::ready(document.respond(&request.head)))
}
