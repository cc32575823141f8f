//! Request bodies: limits in bytes, time and memory; unread bodies are drained.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, TryStreamExt as _};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::Problem;
use super::request_head::RequestHead;
use crate::memory_budget::{MemoryBudget, MemoryPermit};
use crate::settings::{SettingError, Settings};

/// Timeout and memory budget of request bodies. Cheap to clone; clones share the budget.
#[derive(Clone, Debug)]
pub struct BodyLimits {
    /// Timeout of receiving a whole body.
    pub timeout: Duration,
    budget: MemoryBudget,
}

/// Bodies up to this size need no permit of the memory budget: the limit of connections bounds them.
const SMALL_BODY_BYTES: usize = 64 * 1024;

impl BodyLimits {
    /// Reads `BODY_MEMORY_BYTES` and `BODY_TIMEOUT_SECONDS`.
    pub fn read(settings: &mut Settings, default_timeout_seconds: u64) -> Result<Self, SettingError> {
        let budget_bytes = settings.number(
            "BODY_MEMORY_BYTES",
            64 * 1024 * 1024,
            1024 * 1024..=64 * 1024 * 1024 * 1024,
            "bytes",
            "memory budget of bodies over 64 KiB; above it further bodies wait",
        )?;
        let timeout = settings.seconds(
            "BODY_TIMEOUT_SECONDS",
            default_timeout_seconds,
            1..=3600,
            "timeout of waiting for memory for a body (then 503), and of receiving it (then 408)",
        )?;
        Ok(Self::new(budget_bytes, timeout))
    }

    /// Bodies over 64 KiB share `budget_bytes` of memory: the next ones wait unread for a permit, and get a 503 after
    /// `timeout`.
    pub fn new(budget_bytes: usize, timeout: Duration) -> Self {
        Self { timeout, budget: MemoryBudget::new(budget_bytes as u64, timeout) }
    }

    /// The memory budget, in bytes.
    pub fn budget_bytes(&self) -> u64 {
        self.budget.total_bytes()
    }
}

/// A buffered body, with its permit of the memory budget.
#[derive(Debug)]
pub struct BufferedBody {
    pub bytes: Bytes,
    /// The `Content-Type`; empty if there is none.
    pub content_type: String,
    _memory: Option<MemoryPermit>,
}

impl BufferedBody {
    /// A body without a permit, for tests.
    pub fn unbudgeted(bytes: Bytes, content_type: &str) -> Self {
        Self { bytes, content_type: content_type.to_owned(), _memory: None }
    }
}

/// A body that is still to be read from the connection.
pub struct BodyReader {
    head: RequestHead,
    chunks: Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send>>,
}

impl std::fmt::Debug for BodyReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BodyReader")
    }
}

impl BodyReader {
    pub(super) fn new<B: Buf>(
        head: RequestHead,
        chunks: impl Stream<Item = Result<B, warp::Error>> + Send + 'static,
    ) -> Self {
        Self { head, chunks: Box::pin(chunks.map_ok(|mut chunk| chunk.copy_to_bytes(chunk.remaining()))) }
    }

    /// Buffers the whole body. Errors: 413 above `limit_bytes`, 408 after the timeout, 415 for a content encoding, 400 if
    /// the body ends early, 503 without a permit.
    pub async fn read(self, limit_bytes: usize, limits: &BodyLimits) -> Result<BufferedBody, Problem> {
        if let Some(encoding) = header_text(self.head.headers(), &CONTENT_ENCODING)
            && !encoding.eq_ignore_ascii_case("identity")
        {
            return Err(Problem::unsupported_encoding(&encoding));
        }
        let announced =
            header_text(self.head.headers(), &CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
        if announced.is_some_and(|length| length > limit_bytes) {
            return Err(Problem::too_large(limit_bytes));
        }
        let content_type = header_text(self.head.headers(), &CONTENT_TYPE).unwrap_or_default();
        let memory = reserve(announced.unwrap_or(limit_bytes), &limits.budget).await?;
        let bytes = timeout(limits.timeout, collect(self.chunks, announced, limit_bytes))
            .await
            .map_err(|_| Problem::body_timeout())??;
        Ok(BufferedBody { bytes, content_type, _memory: memory })
    }
}

async fn reserve(bytes: usize, budget: &MemoryBudget) -> Result<Option<MemoryPermit>, Problem> {
    if bytes <= SMALL_BODY_BYTES {
        return Ok(None);
    }
    // A body larger than the whole budget takes all of it.
    match budget.reserve((bytes as u64).min(budget.total_bytes())).await {
        Ok(permit) => Ok(Some(permit)),
        Err(error) => Err(Problem::unavailable().with_cause(error)),
    }
}

async fn collect(
    mut chunks: Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send>>,
    announced: Option<usize>,
    limit_bytes: usize,
) -> Result<Bytes, Problem> {
    let cut_short = |_| Problem::bad_request("The request's body ended early.");
    let Some(first) = chunks.try_next().await.map_err(cut_short)? else {
        return Ok(Bytes::new());
    };
    // Most bodies are one chunk: no copy.
    if announced == Some(first.len()) {
        return Ok(first);
    }
    let mut all = BytesMut::with_capacity(announced.unwrap_or(first.len()).max(first.len()));
    let mut next = Some(first);
    while let Some(chunk) = next {
        if all.len() + chunk.len() > limit_bytes {
            return Err(Problem::too_large(limit_bytes));
        }
        all.extend_from_slice(&chunk);
        next = chunks.try_next().await.map_err(cut_short)?;
    }
    Ok(all.freeze())
}

fn header_text(headers: &HeaderMap, name: &http::HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
}

/// Limit of draining an unread body, in bytes; after it the connection is closed.
const DRAIN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Timeout of draining an unread body.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A request body that is drained when a handler drops it unread.
///
/// Otherwise a response before the end of the body (a 401 to an upload) closes the connection while nginx still sends, and
/// nginx responds with a 502 instead.
pub(super) struct Drained(Option<Incoming>);

impl Drained {
    pub(super) fn new(incoming: Incoming) -> Self {
        Self(Some(incoming))
    }
}

impl http_body::Body for Drained {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(incoming) = self.0.as_mut() else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(incoming).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.0 = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        if let Some(mut incoming) = self.0.take().filter(|incoming| !incoming.is_end_stream()) {
            tokio::spawn(timeout(DRAIN_TIMEOUT, async move {
                let mut drained_bytes = 0;
                while let Some(Ok(frame)) = incoming.frame().await {
                    drained_bytes += frame.data_ref().map_or(0, Bytes::len);
                    if drained_bytes > DRAIN_BYTES_MAX {
                        break;
                    }
                }
            }));
        }
    }
}
