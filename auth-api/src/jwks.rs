//! The public keys, for services that verify tokens themselves.

use std::sync::Arc;

use http::header::CACHE_CONTROL;
use serde::Serialize;
use warp::reply::Reply;

use crate::App;
use crate::tokens::Jwk;

#[derive(Serialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

/// `GET /.well-known/jwks.json` (RFC 7517, section 5). It needs no store.
pub async fn read(app: Arc<App>) -> impl Reply {
    let (keys, max_age) = app.tokens.public_keys();
    let answer = warp::reply::json(&Jwks { keys });
    warp::reply::with_header(answer, CACHE_CONTROL, format!("public, max-age={}", max_age.as_secs()))
}
