//! The public keys, for services that verify tokens themselves.

use std::sync::Arc;

use http::header::CACHE_CONTROL;
use shared::http::router::Request;
use warp::reply::Reply;

use crate::app::App;

/// `GET /.well-known/jwks.json` (RFC 7517, section 5). Needs neither Postgres nor Redis.
pub async fn read(app: Arc<App>, _: Request) -> impl Reply {
    let (keys, max_age) = app.tokens.public_keys();
    warp::reply::with_header(warp::reply::json(&keys), CACHE_CONTROL, format!("public, max-age={}", max_age.as_secs()))
}
