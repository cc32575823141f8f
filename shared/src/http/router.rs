//! The router: one table, one line an endpoint.
//!
//! From the table come 404, 405 and `Allow`, OPTIONS, HEAD where there is a GET, 401 before 405 on resources that need a
//! token, and the route names of the access log. To warp it is one filter: warp's own path filters reject a request to try
//! the next route, and of several rejections the highest status wins instead of the nearest route.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::{ALLOW, HeaderValue};
use http::{Method, StatusCode};
use warp::Filter;
use warp::reply::{Reply, Response};

use super::Problem;
use super::body::BodyReader;
use super::request_head::{RequestHead, RouteMatch};

/// A request as a handler receives it.
#[derive(Debug)]
pub struct Request {
    /// Everything but the body.
    pub head: RequestHead,
    /// The body, unread.
    pub body: BodyReader,
}

/// A service that can authenticate a request by its bearer token.
pub trait Authenticate: Send + Sync + 'static {
    /// The authenticated caller.
    type Caller: Send;

    /// Authenticates the request; the problem is a 401, or a 503 without the stores.
    fn authenticate(&self, head: &RequestHead) -> impl Future<Output = Result<Self::Caller, Problem>> + Send;
}

type Handler<S> = Box<dyn Fn(Arc<S>, Request) -> BoxFuture<'static, Response> + Send + Sync>;
type Guard<S> = fn(&S, &RequestHead) -> Result<(), Problem>;
type TokenCheck<S> = fn(Arc<S>, RequestHead) -> BoxFuture<'static, Result<(), Problem>>;

/// A path and its handlers by method.
struct Resource<S> {
    path: &'static str,
    handlers: Vec<(Method, Handler<S>)>,
    token_check: Option<TokenCheck<S>>,
}

/// The table of routes of a service `S`.
///
/// A path matches with and without a trailing slash. Its last segment may be a parameter, as in `/api/user/sessions/:id`;
/// literal paths take precedence.
pub struct Router<S> {
    resources: Vec<Resource<S>>,
    guard: Option<Guard<S>>,
}

impl<S> Default for Router<S> {
    fn default() -> Self {
        Self { resources: Vec::new(), guard: None }
    }
}

impl<S: Send + Sync + 'static> Router<S> {
    /// Returns an empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks every request before it is routed, those of unknown paths included.
    #[must_use]
    pub fn guard(mut self, guard: Guard<S>) -> Self {
        self.guard = Some(guard);
        self
    }

    /// Adds an endpoint that needs no token.
    #[must_use]
    pub fn public<H, F>(self, method: Method, path: &'static str, handler: H) -> Self
    where
        H: Fn(Arc<S>, Request) -> F + Send + Sync + 'static,
        F: Future<Output: Reply> + Send + 'static,
    {
        let respond = move |service, request| handler(service, request).map(Reply::into_response).boxed();
        self.add(method, path, Box::new(respond), None)
    }

    /// Adds an endpoint that needs a token: the handler receives the authenticated caller.
    #[must_use]
    pub fn signed_in<H, F>(self, method: Method, path: &'static str, handler: H) -> Self
    where
        S: Authenticate,
        H: Fn(Arc<S>, S::Caller, Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output: Reply> + Send + 'static,
    {
        let respond = move |service: Arc<S>, request: Request| {
            let handler = handler.clone();
            async move {
                match service.authenticate(&request.head).await {
                    Ok(caller) => handler(service, caller, request).await.into_response(),
                    Err(problem) => problem.into_response(),
                }
            }
            .boxed()
        };
        let token_check: TokenCheck<S> =
            |service, head| async move { service.authenticate(&head).await.map(drop) }.boxed();
        self.add(method, path, Box::new(respond), Some(token_check))
    }

    /// Adds `GET /healthz` (the process responds) and `GET /readyz`: `check` returns the reasons why the service is degraded,
    /// which means that part of its API works; none if all of it does.
    #[must_use]
    pub fn health<H, F>(self, check: H) -> Self
    where
        H: Fn(Arc<S>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Vec<&'static str>, Problem>> + Send + 'static,
    {
        self.public(Method::GET, "/healthz", |_, _| async { status(&[]) }).public(
            Method::GET,
            "/readyz",
            move |service, _| check(service).map(|checked| checked.map(|reasons| status(&reasons))),
        )
    }

    /// Returns every endpoint: its method, its path and whether it needs a token.
    pub fn endpoints(&self) -> impl Iterator<Item = (&Method, &'static str, bool)> {
        self.resources.iter().flat_map(|resource| {
            let needs_token = resource.token_check.is_some();
            resource.handlers.iter().map(move |(method, _)| (method, resource.path, needs_token))
        })
    }

    fn add(
        mut self,
        method: Method,
        path: &'static str,
        handler: Handler<S>,
        token_check: Option<TokenCheck<S>>,
    ) -> Self {
        if let Some(resource) = self.resources.iter_mut().find(|resource| resource.path == path) {
            resource.handlers.push((method, handler));
            resource.token_check = resource.token_check.or(token_check);
        } else {
            let resource = Resource { path, handlers: vec![(method, handler)], token_check };
            // Literal paths first: they take precedence.
            let at = if path.contains(':') { self.resources.len() } else { 0 };
            self.resources.insert(at, resource);
        }
        self
    }

    /// Finds the resource of a path.
    pub(super) fn find(&self, path: &str) -> Option<RouteMatch> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let matched = |(resource, Resource { path: template, .. }): (usize, &Resource<S>)| {
            Some(RouteMatch { resource, param: match_path(path, template)? })
        };
        self.resources.iter().enumerate().find_map(matched)
    }

    /// Returns the path of the table that a request matched.
    pub(super) fn name(&self, route: &RouteMatch) -> Option<&'static str> {
        self.resources.get(route.resource).map(|resource| resource.path)
    }

    /// Returns the table as a warp filter. It needs the [`RequestHead`] that [`super::serve`] adds to each request.
    pub(super) fn filter(
        self: &Arc<Self>,
        service: Arc<S>,
    ) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static + use<S> {
        let router = Arc::clone(self);
        warp::ext::get::<RequestHead>()
            .and(warp::body::stream())
            .then(move |head: RequestHead, chunks| {
                let request = Request { body: BodyReader::new(head.clone(), chunks), head };
                dispatch(Arc::clone(&router), Arc::clone(&service), request)
            })
            .recover(|rejection: warp::Rejection| async move {
                let cause = format!("request without head or body: {rejection:?}");
                Ok::<_, Infallible>(Problem::internal().with_cause(cause).into_response())
            })
            .unify()
    }
}

async fn dispatch<S>(router: Arc<Router<S>>, service: Arc<S>, request: Request) -> Response {
    if let Some(Err(problem)) = router.guard.map(|guard| guard(&service, &request.head)) {
        return problem.into_response();
    }
    let Some(resource) = request.head.route().and_then(|route| router.resources.get(route.resource)) else {
        return Problem::not_found().into_response();
    };
    let method = request.head.method();
    if let Some(handler) = resource.handler(method) {
        return handler(service, request).await;
    }
    if *method == Method::OPTIONS {
        return resource.options();
    }
    if let Some(token_check) = resource.token_check
        && let Err(problem) = token_check(service, request.head.clone()).await
    {
        return problem.into_response();
    }
    Problem::method_not_allowed(method, &resource.allow()).into_response()
}

impl<S> Resource<S> {
    /// Returns the handler of a method; GET's for HEAD (RFC 9110, section 9.3.2).
    fn handler(&self, method: &Method) -> Option<&Handler<S>> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.handlers.iter().find(|(known, _)| known == method).map(|(_, handler)| handler)
    }

    fn allow(&self) -> String {
        let mut names: Vec<&str> = self.handlers.iter().map(|(method, _)| method.as_str()).collect();
        if names.contains(&"GET") {
            names.push("HEAD");
        }
        names.push("OPTIONS");
        names.join(", ")
    }

    fn options(&self) -> Response {
        let mut response = StatusCode::NO_CONTENT.into_response();
        if let Ok(allow) = HeaderValue::from_str(&self.allow()) {
            response.headers_mut().insert(ALLOW, allow);
        }
        response
    }
}

/// Returns the range of the parameter in `path`, empty for a literal template; `None` if it does not match.
fn match_path(path: &str, template: &str) -> Option<std::ops::Range<usize>> {
    match template.split_once(':') {
        None => (path == template).then_some(0..0),
        Some((prefix, _)) => {
            let param = path.strip_prefix(prefix).filter(|param| !param.is_empty() && !param.contains('/'));
            param.map(|_| prefix.len()..path.len())
        }
    }
}

fn status(degraded: &[&str]) -> Response {
    let body = match degraded {
        [] => serde_json::json!({ "status": "ok" }),
        reasons => serde_json::json!({ "status": "degraded", "reasons": reasons }),
    };
    warp::reply::json(&body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router() -> Router<()> {
        let ok = |_, _| async { StatusCode::OK };
        Router::new().public(Method::DELETE, "/images/:id", ok).public(Method::GET, "/images/check", ok).public(
            Method::PUT,
            "/images/:id",
            ok,
        )
    }

    #[test]
    fn path_matches_with_and_without_trailing_slash() {
        let router = router();
        for (path, expected) in [
            ("/images/check", Some("/images/check")),
            ("/images/check/", Some("/images/check")),
            ("/images/x", Some("/images/:id")),
            ("/images/x/", Some("/images/:id")),
            ("/images/x//", None),
            ("/images//", None),
            ("/images/", None),
            ("/images/a/b", None),
            ("images/x", None),
            ("/ann@example.com", None),
            ("*", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(router.find(path).and_then(|route| router.name(&route)), expected, "{path}");
        }
        assert_eq!(router.find("/images/x/").map(|route| route.param), Some(8..9));
    }

    #[test]
    fn allow_lists_the_methods_of_a_path_in_order() {
        let router = router();
        let allow = |path: &str| router.resources[router.find(path).unwrap().resource].allow();
        assert_eq!(allow("/images/check"), "GET, HEAD, OPTIONS");
        assert_eq!(allow("/images/x"), "DELETE, PUT, OPTIONS");
        assert_eq!(router.endpoints().count(), 3);
    }
}
