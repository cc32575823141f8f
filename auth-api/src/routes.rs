//! The table of routes. A path answers with and without its last slash.

use std::convert::Infallible;
use std::sync::Arc;

use http::Method;
use shared::http::access::RouteNames;
use shared::http::route::{Head, answer, guarded, head, health, only, when, with};
use shared::http::{Problem, body};
use warp::reply::Response;
use warp::{Filter, path};

use crate::{App, accounts, caller, jwks, readiness, sessions};

/// The paths below, as they are logged.
pub const NAMES: RouteNames = &[
    "/.well-known/jwks.json",
    "/api/user/me",
    "/api/user/login",
    "/api/user/logout",
    "/api/user/refresh",
    "/api/user/register",
    "/api/user/sessions",
    "/api/user/sessions/:id",
    "/api/user/update",
    "/healthz",
    "/readyz",
];

/// All that auth-api answers.
pub fn routes(
    app: &Arc<App>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static + use<> {
    let user = || path("api").and(path("user"));
    let signed_in = {
        let app = Arc::clone(app);
        move |head: Head| {
            let app = Arc::clone(&app);
            async move { caller::identify(&app, &head).await.map(drop).map_err(Problem::from) }
        }
    };

    let read_me = user().and(path!("me")).and(when(&[Method::GET])).and(with(app)).and(head()).then(accounts::read);
    let delete_me = user()
        .and(path!("me"))
        .and(with(app))
        .and(guarded(&[Method::GET, Method::DELETE], signed_in.clone()))
        .and(body::reader())
        .then(accounts::delete);
    let update = user()
        .and(path!("update"))
        .and(with(app))
        .and(guarded(&[Method::PUT, Method::PATCH], signed_in.clone()))
        .and(body::reader())
        .then(accounts::update);
    let register = user()
        .and(path!("register"))
        .and(only(&[Method::POST]))
        .and(with(app))
        .and(head())
        .and(body::reader())
        .then(accounts::create);
    let login = user()
        .and(path!("login"))
        .and(only(&[Method::POST]))
        .and(with(app))
        .and(head())
        .and(body::reader())
        .then(sessions::create);
    let refresh = user()
        .and(path!("refresh"))
        .and(only(&[Method::POST]))
        .and(with(app))
        .and(body::reader())
        .then(sessions::refresh);
    let jwks = path!(".well-known" / "jwks.json").and(only(&[Method::GET])).and(with(app)).then(jwks::read);
    let logout = user()
        .and(path!("logout"))
        .and(only(&[Method::POST]))
        .and(with(app))
        .and(body::reader())
        .then(sessions::logout);
    let list_sessions =
        user().and(path!("sessions")).and(when(&[Method::GET])).and(with(app)).and(head()).then(sessions::list);
    let delete_sessions = user()
        .and(path!("sessions"))
        .and(with(app))
        .and(guarded(&[Method::GET, Method::DELETE], signed_in.clone()))
        .then(sessions::delete_others);
    let delete_session = user()
        .and(path!("sessions" / String))
        .and(with(app))
        .and(guarded(&[Method::DELETE], signed_in))
        .then(sessions::delete);
    let health = {
        let app = Arc::clone(app);
        health(move || readiness::check(Arc::clone(&app)))
    };

    let accounts = delete_me.or(register).or(update);
    let sessions = refresh.or(login).or(logout).or(list_sessions).or(delete_sessions).or(delete_session);
    // `or` clones what stands on its right for each request: boxed, that is one count. `me` is asked for most.
    answer(read_me.or(accounts.or(sessions).or(jwks).or(health).boxed()))
}
