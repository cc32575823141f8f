//! Delivery: `GET` and `HEAD` of a picture or a rendition (RFC 9110, sections 8.8, 13 and 14).

use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::BoxStream;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderName, HeaderValue, LAST_MODIFIED, VARY,
};
use http::{Method, StatusCode};
use shared::http::RequestHead;
use shared::http::router::Request;
use shared::media_api::{ImageId, ImageKind, ImageName};
use warp::reply::{Reply, Response};

use crate::app::App;
use crate::error::Error;
use crate::formats;
use crate::http::conditional::{self, Validators};
use crate::http::nginx_cache;
use crate::http::range::RequestedRange;
use crate::http::rendition_query::accepts_webp;
use crate::storage::{CHUNK_BYTES, StorageError, StoredObject};

/// Clients revalidate every time, so that a deleted picture is gone at once. nginx ignores this and caches small pictures for a
/// second at most (see [`nginx_cache`]).
const CACHE_CONTROL_REVALIDATE: HeaderValue = HeaderValue::from_static("public, no-cache");

/// A browser that opens a picture as a document runs no scripts in it.
const CSP_SANDBOX: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// `GET /api/user/media/<name>?size=N`. An invalid name is not found.
pub async fn read(app: Arc<App>, Request { head, .. }: Request) -> Result<Response, Error> {
    let name = ImageName::parse(head.param()).map_err(|_| Error::NotFound)?;
    let id = ImageId::parse(name.id_hex()).map_err(|_| Error::NotFound)?;
    let size = app.rendition_sizes.parse_query(head.query())?;
    let picture = app.storage.get(id).await?.ok_or(Error::NotFound)?;
    // A picture has one name, with the extension of its content.
    let kind = formats::detect_kind(&picture.prefix)
        .filter(|kind| ImageName::new(id, *kind) == name)
        .ok_or(Error::NotFound)?;
    let Some(size) = size else { return deliver(&app, picture, kind, name.id_hex(), &head) };
    let rendition = app.renditions.get(id, kind, size, accepts_webp(head.headers())).await?;
    let tag = format!("{}.{size}.{}", name.id_hex(), rendition.kind.extension());
    let mut response = deliver(&app, rendition.object, rendition.kind, &tag, &head)?;
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// Responds with a stored object, or a part of it.
fn deliver(app: &App, object: StoredObject, kind: ImageKind, tag: &str, head: &RequestHead) -> Result<Response, Error> {
    let (headers, size_bytes) = (head.headers(), object.size_bytes);
    let validators = Validators::new(tag, object.modified);
    // nginx would write a larger one to its disk, which gains little and grows its cache by megabytes per request.
    let nginx_caches = size_bytes <= CHUNK_BYTES;
    let describe = |mut response: Response| {
        if nginx_caches {
            nginx_cache::set_accel_expires(headers, response.headers_mut());
        }
        describe(response, &validators)
    };
    if validators.match_request(headers) || (!nginx_caches && validators.match_client(headers)) {
        return Ok(describe(StatusCode::NOT_MODIFIED.into_response()));
    }
    let requested = if head.method() == Method::GET && validators.allow_range(headers) {
        RequestedRange::parse(headers, size_bytes)
    } else {
        RequestedRange::Whole
    };
    let (status, range) = match requested {
        RequestedRange::Whole => (StatusCode::OK, 0..size_bytes),
        RequestedRange::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        RequestedRange::Unsatisfiable => return Err(Error::Range { size_bytes }),
    };
    let mut response =
        if head.method() == Method::HEAD { Response::default() } else { body(app, object, range.clone()) };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, (range.end - range.start).into());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if status == StatusCode::PARTIAL_CONTENT {
        let content_range = format!("bytes {}-{}/{size_bytes}", range.start, range.end.saturating_sub(1));
        headers.insert(CONTENT_RANGE, conditional::value(&content_range));
    }
    let content_type = mime_guess::from_ext(kind.extension()).first_or_octet_stream();
    headers.insert(CONTENT_TYPE, conditional::value(content_type.as_ref()));
    Ok(describe(response))
}

/// Adds the headers that 200, 206 and 304 have in common.
fn describe(mut response: Response, validators: &Validators) -> Response {
    let headers = response.headers_mut();
    headers.insert(ETAG, validators.etag());
    headers.insert(LAST_MODIFIED, validators.last_modified());
    headers.insert(CACHE_CONTROL, CACHE_CONTROL_REVALIDATE);
    headers.insert(CONTENT_SECURITY_POLICY, CSP_SANDBOX);
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    response
}

fn body(app: &App, object: StoredObject, range: Range<u64>) -> Response {
    match object.prefix_slice(&range) {
        Some(bytes) => Response::new(bytes.into()),
        None => warp::reply::stream(SyncStream(Mutex::new(app.storage.stream(object, range)))).into_response(),
    }
}

/// A stream that is `Sync`, as warp requires. The mutex is never locked.
struct SyncStream(Mutex<BoxStream<'static, Result<Bytes, StorageError>>>);

impl Stream for SyncStream {
    type Item = Result<Bytes, StorageError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll_next(context)
    }
}
