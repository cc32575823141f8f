//! The few filters that routes are built from.
//!
//! A warp rejection means "not mine, ask the next route", never "this failed": so only a path and a method ([`only`], [`guarded`], [`when`]) reject,
//! [`answer`] closes the table of routes, and all that happens after is a reply. The `Infallible` of [`answer`]
//! proves that nothing goes unanswered.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{ALLOW, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use warp::reject::Reject;
use warp::reply::{Reply, Response};
use warp::{Filter, Rejection};

use super::Problem;

/// Methods of one resource.
pub type Methods = &'static [Method];

/// The right path with a method that does not get to the handler, and how that is answered.
#[derive(Debug)]
struct Closed(Problem);

impl Reject for Closed {}

/// `OPTIONS` of a resource, answered with its methods.
#[derive(Debug)]
struct Options(String);

impl Reject for Options {}

/// Hands `value` to the handler.
pub fn with<T: Clone + Send + Sync>(value: &T) -> impl Filter<Extract = (T,), Error = Infallible> + Clone + use<T> {
    let value = value.clone();
    warp::any().map(move || value.clone())
}

/// A request's headers, and where it comes from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Head(Arc<(HeaderMap, SocketAddr)>);

impl Head {
    pub(super) fn new(headers: HeaderMap, peer: SocketAddr) -> Self {
        Self(Arc::new((headers, peer)))
    }

    /// Its headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.0
    }

    /// Who is at the other end of the connection: nginx, as a rule.
    pub fn peer(&self) -> SocketAddr {
        self.0.1
    }
}

/// Hands the handler the request's head. Below [`super::serve`] there always is one.
pub fn head() -> impl Filter<Extract = (Head,), Error = Rejection> + Clone {
    warp::ext::get::<Head>()
}

/// Lets `methods` pass, and HEAD where GET does (RFC 9110, section 9.3.2). `OPTIONS` is answered with 204, others
/// with 405; both bear `Allow`. Put it behind a whole path: what it refuses no other route may take.
pub fn only(methods: Methods) -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::method().and_then(move |method| async move { refuse_other(methods, &method) }).untuple_one()
}

/// Like [`only`], for a resource that asks who calls: what `guard` says of the head comes before the 405, not before
/// the 204. It hands the head on to the handler, who must ask again: a method that passes here is not guarded yet.
pub fn guarded<G, R>(methods: Methods, guard: G) -> impl Filter<Extract = (Head,), Error = Rejection> + Clone
where
    G: Fn(Head) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<(), Problem>> + Send,
{
    warp::method().and(head()).and_then(move |method: Method, head: Head| {
        let guard = guard.clone();
        async move {
            if !allows(methods, &method) && method != Method::OPTIONS {
                guard(head.clone()).await.map_err(|problem| warp::reject::custom(Closed(problem)))?;
            }
            refuse_other(methods, &method).map(|()| head)
        }
    })
}

/// Lets `methods` pass, and leaves the others to the next route of the same path, which must be an [`only`] or a
/// [`guarded`] one with all the methods of the resource.
pub fn when(methods: Methods) -> impl Filter<Extract = (), Error = Rejection> + Clone {
    let is_mine = move |method: Method| {
        std::future::ready(if allows(methods, &method) { Ok(()) } else { Err(warp::reject::not_found()) })
    };
    warp::method().and_then(is_mine).untuple_one()
}

fn refuse_other(methods: Methods, method: &Method) -> Result<(), Rejection> {
    if allows(methods, method) {
        Ok(())
    } else if *method == Method::OPTIONS {
        Err(warp::reject::custom(Options(allow(methods))))
    } else {
        Err(warp::reject::custom(Closed(Problem::method_not_allowed(method, &allow(methods)))))
    }
}

fn allows(methods: Methods, method: &Method) -> bool {
    methods.contains(method) || (*method == Method::HEAD && methods.contains(&Method::GET))
}

fn allow(methods: Methods) -> String {
    let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if methods.contains(&Method::GET) {
        names.push("HEAD");
    }
    names.push("OPTIONS");
    names.join(", ")
}

/// Closes a table of routes: what no route took is 404, what [`only`] refused is 405 or 204.
pub fn answer<R, T>(routes: R) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone
where
    R: Filter<Extract = (T,), Error = Rejection> + Clone + Send + Sync + 'static,
    T: Reply + 'static,
{
    routes.map(Reply::into_response).recover(reply_to).unify()
}

async fn reply_to(rejection: Rejection) -> Result<Response, Infallible> {
    if let Some(Closed(problem)) = rejection.find() {
        return Ok(problem.clone().into_response());
    }
    if let Some(Options(allow)) = rejection.find() {
        let mut response = StatusCode::NO_CONTENT.into_response();
        if let Ok(allow) = HeaderValue::from_str(allow) {
            response.headers_mut().insert(ALLOW, allow);
        }
        return Ok(response);
    }
    if rejection.is_not_found() {
        return Ok(Problem::not_found().into_response());
    }
    // Only a path and `only` reject: this is a fault of ours.
    Ok(Problem::internal().with_cause(format!("unanswered rejection: {rejection:?}")).into_response())
}

/// Runs `check` when asked: `GET /healthz` (the process answers) and `GET /readyz` (it can do its work).
pub fn health<C, R>(check: C) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone
where
    C: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), Problem>> + Send + 'static,
{
    let check = Arc::new(check);
    let alive = warp::path!("healthz").and(only(&[Method::GET])).map(|| status_ok().into_response());
    let ready = warp::path!("readyz").and(only(&[Method::GET])).then(move || {
        let check = Arc::clone(&check);
        async move { check().await.map(|()| status_ok()).into_response() }
    });
    alive.or(ready).unify()
}

fn status_ok() -> impl Reply {
    warp::reply::json(&serde_json::json!({ "status": "ok" }))
}
