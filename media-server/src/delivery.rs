//! Delivery: `GET` and `HEAD` of a picture or a rendition (RFC 9110, sections 8.8, 13 and 14).

mod conditions;
mod front;
mod ranges;

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::BoxStream;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED, VARY,
};
use http::{Method, StatusCode};
use shared::http::route::Head;
use shared::media_api::{ImageId, ImageKind, ImageName};
use warp::reply::{Reply, Response};

use crate::App;
use crate::error::Error;
use crate::renditions::asked::takes_webp;
use crate::storage::{Picture, StorageError};
use crate::{images, renditions};
use conditions::Validators;
use ranges::Asked;

/// Pictures may be kept and must be asked for again each time: one that is deleted is gone at once, for the price of a
/// 304. nginx does not heed this: it keeps a picture for a second at most (see [`front`]), and so answers most itself.
const KEEP_AND_ASK: HeaderValue = HeaderValue::from_static("public, no-cache");

/// A picture that is opened by itself runs nothing, whatever a browser takes it for.
const NOTHING_RUNS: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");

/// Pages of other origins embed pictures.
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// `GET /api/user/media/<name>`, and `?size=N` of it. Any text may be asked for; what is no name is the name of no picture.
pub async fn read(name: String, app: Arc<App>, method: Method, head: Head, query: String) -> Result<Response, Error> {
    let name = ImageName::parse(&name).map_err(|_| Error::NotFound)?;
    let id = ImageId::parse(name.id_hex()).map_err(|_| Error::NotFound)?;
    let size = app.renditions.sizes.asked(&query)?;
    let picture = app.storage.get(id).await?.ok_or(Error::NotFound)?;
    // A picture has one name: its content tells the extension.
    let kind = images::kind(&picture.start).filter(|kind| ImageName::new(id, *kind) == name).ok_or(Error::NotFound)?;
    let Some(size) = size else { return deliver(&app, picture, kind, name.id_hex(), &method, &head) };
    let found = renditions::read(&app, id, kind, size, takes_webp(head.headers())).await?;
    let tag = format!("{}.{size}.{}", name.id_hex(), found.kind.extension());
    deliver(&app, found.picture, found.kind, &tag, &method, &head).map(|mut response| {
        response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
        response
    })
}

/// Answers with what is stored, which `tag` names.
fn deliver(
    app: &App,
    picture: Picture,
    kind: ImageKind,
    tag: &str,
    method: &Method,
    head: &Head,
) -> Result<Response, Error> {
    let validators = Validators::new(tag, picture.modified);
    let size_bytes = picture.size_bytes;
    // The one that is in memory as a whole: writing a larger one to nginx's disk gains little, and would let its cache grow
    // by megabytes per request.
    let is_small = picture.part_of_start(&(0..size_bytes)).is_some();
    let describe = |mut response: Response| {
        if is_small {
            front::say_how_long(head.headers(), response.headers_mut());
        }
        describe(response, &validators)
    };
    if validators.are_known_to(head.headers()) || (!is_small && validators.are_known_to_client(head.headers())) {
        return Ok(describe(StatusCode::NOT_MODIFIED.into_response()));
    }
    let asked = if method == Method::GET { asked(head.headers(), &validators, size_bytes) } else { Asked::Whole };
    let (status, range) = match asked {
        Asked::Whole => (StatusCode::OK, 0..size_bytes),
        Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Asked::Unsatisfiable => return Err(Error::Range { size_bytes }),
    };
    let mut response = if method == Method::HEAD { Response::default() } else { body(app, picture, range.clone()) };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, (range.end - range.start).into());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if status == StatusCode::PARTIAL_CONTENT {
        let content_range = format!("bytes {}-{}/{size_bytes}", range.start, range.end.saturating_sub(1));
        headers.insert(CONTENT_RANGE, conditions::value(&content_range));
    }
    let content_type = mime_guess::from_ext(kind.extension()).first_or_octet_stream();
    headers.insert(CONTENT_TYPE, conditions::value(content_type.as_ref()));
    Ok(describe(response))
}

/// Adds what a 200, a 206 and a 304 have in common.
fn describe(mut response: Response, validators: &Validators) -> Response {
    let headers = response.headers_mut();
    headers.insert(ETAG, validators.etag());
    headers.insert(LAST_MODIFIED, validators.last_modified());
    headers.insert(CACHE_CONTROL, KEEP_AND_ASK);
    headers.insert(CONTENT_SECURITY_POLICY, NOTHING_RUNS);
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    response
}

fn asked(headers: &HeaderMap, validators: &Validators, size_bytes: u64) -> Asked {
    if validators.allow_range(headers) { ranges::asked(headers, size_bytes) } else { Asked::Whole }
}

/// Small pictures are in memory already; large ones follow in pieces.
fn body(app: &App, picture: Picture, range: std::ops::Range<u64>) -> Response {
    match picture.part_of_start(&range) {
        Some(bytes) => Response::new(bytes.into()),
        None => warp::reply::stream(Pieces(Mutex::new(app.storage.stream(picture, range)))).into_response(),
    }
}

/// A stream that may be shared between threads, as warp asks for; it never is, so that the lock is never taken.
struct Pieces(Mutex<BoxStream<'static, Result<Bytes, StorageError>>>);

impl Stream for Pieces {
    type Item = Result<Bytes, StorageError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll_next(context)
    }
}
