//! The head of a request: method, URI, headers, peer and the matched route.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use http::{HeaderMap, Method, Request, Uri};

/// Where the router found the path of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RouteMatch {
    /// Index of the resource in the router.
    pub(super) resource: usize,
    /// The path parameter, as a range of the path; empty if the resource has none.
    pub(super) param: Range<usize>,
}

/// A request without its body. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RequestHead(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    peer: SocketAddr,
    route: Option<RouteMatch>,
}

impl RequestHead {
    /// Moves URI and headers out of `request`.
    pub(super) fn take<B>(request: &mut Request<B>, peer: SocketAddr, route: Option<RouteMatch>) -> Self {
        let (uri, headers) = (std::mem::take(request.uri_mut()), std::mem::take(request.headers_mut()));
        Self(Arc::new(Parts { method: request.method().clone(), uri, headers, peer, route }))
    }

    /// Returns the method.
    pub fn method(&self) -> &Method {
        &self.0.method
    }

    /// Returns the headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// Returns the address at the other end of the connection, which is nginx as a rule.
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// Returns the query, empty if there is none.
    pub fn query(&self) -> &str {
        self.0.uri.query().unwrap_or_default()
    }

    /// Returns the path parameter as sent, empty if the route has none.
    pub fn param(&self) -> &str {
        let range = self.0.route.as_ref().map(|route| route.param.clone());
        range.and_then(|range| self.0.uri.path().get(range)).unwrap_or_default()
    }

    pub(super) fn route(&self) -> Option<&RouteMatch> {
        self.0.route.as_ref()
    }
}
