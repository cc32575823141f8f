//! The description of the API in `OpenAPI`, and the page that shows it: static files, compressed ones included, in the binary.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    IF_NONE_MATCH, REFERRER_POLICY, X_FRAME_OPTIONS,
};
use http::{Method, StatusCode};
use sha2::{Digest as _, Sha256};
use shared::http::router::Request;
use shared::http::{Problem, RequestHead};
use warp::reply::Response;

use crate::app::App;
use crate::openapi;

/// No inline script or style, nothing from other hosts, no frame around the page. `data:` and `blob:` are icons of the style
/// sheet, previews and pictures in responses.
const CSP: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The files change with the release only, and clients revalidate them each time.
const REVALIDATE: HeaderValue = HeaderValue::from_static("public, no-cache");

/// A static file. Cheap to clone.
#[derive(Clone, Debug)]
pub struct File {
    name: &'static str,
    content_type: HeaderValue,
    etag: Option<HeaderValue>,
    bytes: Bytes,
}

impl File {
    fn new(name: &'static str, content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let digest = hex::encode(Sha256::digest(&bytes));
        let etag = HeaderValue::from_str(&format!("\"{digest}\"")).ok();
        Self { name, content_type: HeaderValue::from_static(content_type), etag, bytes }
    }

    /// Responds with the file, or with 304 if the client has it. A compressed one needs a client that accepts gzip.
    pub fn respond(&self, head: &RequestHead) -> Response {
        let is_known = self.etag.is_some() && head.headers().get(IF_NONE_MATCH) == self.etag.as_ref();
        let mut response = if is_known { Response::default() } else { Response::new(self.bytes.clone().into()) };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, REVALIDATE);
        headers.extend(self.etag.clone().map(|etag| (ETAG, etag)));
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(CONTENT_TYPE, self.content_type.clone());
        headers.insert(CONTENT_SECURITY_POLICY, CSP);
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
        if self.bytes.starts_with(GZIP_MAGIC) {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

const GZIP_MAGIC: &[u8] = b"\x1f\x8b";

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// The page's files; digests are computed at the first request.
static FILES: LazyLock<[File; 5]> = LazyLock::new(|| {
    [
        File::new("", "text/html; charset=utf-8", &include_bytes!("../../ui/index.html")[..]),
        File::new("console.js", JAVASCRIPT, &include_bytes!("../../ui/console.js")[..]),
        File::new("console.css", CSS, &include_bytes!("../../ui/console.css")[..]),
        File::new("swagger-ui-bundle.js", JAVASCRIPT, &include_bytes!("../../ui/swagger-ui-bundle.js.gz")[..]),
        File::new("swagger-ui.css", CSS, &include_bytes!("../../ui/swagger-ui.css.gz")[..]),
    ]
});

/// `GET docs` (the page) and `GET docs/:file`.
pub async fn read(_: Arc<App>, Request { head, .. }: Request) -> Result<Response, Problem> {
    let file = FILES.iter().find(|file| file.name == head.param());
    file.map(|file| file.respond(&head)).ok_or_else(Problem::not_found)
}

/// Returns the `OpenAPI` document of these endpoints, serialized once.
pub fn openapi<'a>(endpoints: impl Iterator<Item = (&'a Method, &'static str, bool)>) -> File {
    File::new("openapi.json", "application/json", openapi::document(endpoints).to_string())
}
