//! Counts requests in flight, for graceful shutdown.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::Notify;
use tokio::time::timeout;

/// After this long without a request in flight, open connections are idle or hold partial requests.
pub(super) const QUIET_PERIOD: Duration = Duration::from_millis(250);

/// The number of requests whose responses have not been sent completely.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    count: AtomicUsize,
    ended: Notify,
}

impl InFlight {
    pub(super) fn begin(in_flight: &Arc<Self>) -> InFlightGuard {
        in_flight.count.fetch_add(1, Ordering::SeqCst);
        InFlightGuard(Arc::clone(in_flight))
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Returns when there has been no request in flight for [`QUIET_PERIOD`].
    pub(super) async fn quiescent(&self) {
        loop {
            let ended = self.ended.notified();
            if self.count() == 0 {
                match timeout(QUIET_PERIOD, ended).await {
                    Err(_) if self.count() == 0 => return,
                    _ => {}
                }
            } else {
                ended.await;
            }
        }
    }
}

/// Counts one request until it is dropped.
#[derive(Debug)]
pub(super) struct InFlightGuard(Arc<InFlight>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        // `quiescent` waits for the last one only.
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

pin_project! {
    /// A response's body; its request is in flight until the body is sent or dropped.
    pub(super) struct Counted<B> {
        #[pin]
        body: B,
        _guard: InFlightGuard,
    }
}

impl<B> Counted<B> {
    pub(super) fn new(body: B, guard: InFlightGuard) -> Self {
        Self { body, _guard: guard }
    }
}

impl<B: Body> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
