//! Sockets: accept, time out, limit, drain.
//!
//! warp's own server has no limits and hangs a graceful shutdown on a half-sent head, so this is `warp::service` on
//! hyper. HTTP/1.1 only: it is what nginx speaks to an upstream, and what is not there can't be attacked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use warp::Filter;
use warp::reply::{Reply, Response};

use super::Problem;
use super::access::{Access, RequestIds, RouteNames};
use super::body::Drained;
use super::in_flight::{Counted, InFlight};
use super::parse_errors::JsonParseErrors;
use super::route::Head;
use crate::random::Random;
use crate::settings::{SettingError, Settings};

/// Headers of a request that a client may send; more are a 431.
pub const HEADERS_MAX: usize = 100;

/// Headers that nginx adds to those of the client, or sets in their place: they don't count.
const ADDED_BY_NGINX: [HeaderName; 7] = [
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-now"),
    HeaderName::from_static("x-if-none-match"),
    HeaderName::from_static("x-if-modified-since"),
];

/// A request's head may be this long, in bytes; a longer one is a 431.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// After a failed `accept` (out of file descriptors, mostly) the next one is tried after this pause.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The limits of a listener.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Connections open at once; the next ones wait in the listen queue.
    pub connections_max: usize,
    /// How long a connection may take to send a whole head; an idle one is closed after it.
    pub head_timeout: Duration,
    /// How long after the stop signal a connection that is open already is still answered.
    pub linger: Duration,
    /// How long requests in flight may take to end after that.
    pub drain_timeout: Duration,
}

impl ServeConfig {
    /// Reads `CONNECTIONS_MAX`, `HEAD_TIMEOUT_SECONDS`, `LINGER_SECONDS` and `DRAIN_TIMEOUT_SECONDS`.
    pub fn read(settings: &mut Settings) -> Result<Self, SettingError> {
        Ok(Self {
            connections_max: settings.number(
                "CONNECTIONS_MAX",
                4096,
                1..=1_000_000,
                "connections",
                "connections open at once on a listener; the next ones wait",
            )?,
            head_timeout: settings.seconds(
                "HEAD_TIMEOUT_SECONDS",
                30,
                1..=3600,
                "how long a request's head may take; an idle connection is closed after it (nginx must close first)",
            )?,
            linger: settings.seconds(
                "LINGER_SECONDS",
                3,
                0..=3600,
                "how long after SIGTERM open connections are still answered; longer than nginx keeps an idle one (keepalive_timeout of its upstream)",
            )?,
            drain_timeout: settings.seconds(
                "DRAIN_TIMEOUT_SECONDS",
                15,
                1..=3600,
                "how long requests in flight may take to end after that",
            )?,
        })
    }
}

/// Serves `filter` on `listener` until `stop` is ready; then takes no new connection, lets the requests in flight end,
/// and returns. A connection that has sent half a head does not hold it up.
///
/// New connections are refused at once, so that whoever asks goes to another replica with nothing sent. Open ones are
/// answered a while longer, with `Connection: close`: a request may be on its way on one that looks idle from here, and
/// where that is a POST nobody would dare to send it again.
pub async fn serve<F>(
    listener: TcpListener,
    filter: F,
    routes: RouteNames,
    random: Random,
    config: ServeConfig,
    stop: impl Future<Output = ()>,
) where
    F: Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static,
    F::Future: Send,
{
    let server = Arc::new(Server {
        service: warp::service(filter),
        routes,
        ids: RequestIds::new(&random),
        in_flight: Arc::default(),
        is_stopping: AtomicBool::new(false),
    });
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(config.connections_max));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.head_timeout)
        .max_headers(HEADERS_MAX + ADDED_BY_NGINX.len())
        .max_buf_size(HEAD_BYTES_MAX);
    let attend = |stream: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit| {
        // Answers are written whole: waiting to fill a segment only delays them.
        let _ = stream.set_nodelay(true);
        let server = Arc::clone(&server);
        let service = service_fn(move |request| Arc::clone(&server).call(request, peer));
        let connection = graceful.watch(http.serve_connection(TokioIo::new(JsonParseErrors::new(stream)), service));
        tokio::spawn(async move {
            // An error here is a client that went away or sent no HTTP; hyper has answered what can be answered.
            let _ = connection.await;
            drop(slot);
        });
    };
    let accept_all = async {
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let Some((stream, peer)) = accept(&listener).await else { continue };
            attend(stream, peer, slot);
        }
    };
    tokio::select! {
        () = accept_all => {}
        () = stop => {}
    }
    server.is_stopping.store(true, Ordering::SeqCst);
    for (stream, peer) in queued(listener) {
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { break };
        attend(stream, peer, slot);
    }
    tracing::info!(in_flight = server.in_flight.count(), "stopping: no new connections");
    let all_slots = u32::try_from(config.connections_max).unwrap_or(u32::MAX);
    // Past it, what is still open is idle or half a head.
    let _ = timeout(config.linger, slots.acquire_many(all_slots)).await;
    let drained = timeout(config.drain_timeout, async {
        tokio::select! {
            () = graceful.shutdown() => {}
            () = server.in_flight.settled() => {}
        }
    });
    if drained.await.is_err() {
        tracing::warn!(in_flight = server.in_flight.count(), "the drain timeout is over: requests are cut");
    }
}

/// Connections that may wait to be accepted (the kernel's `somaxconn` bounds it, too). The 128 of `TcpListener::bind` overflow
/// when nginx opens its connections all at once, and who is dropped there comes back a second later.
const BACKLOG: u32 = 4096;

/// Listens on `address`; call it in a runtime.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Returns at the first SIGTERM or SIGINT.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        // Without signal handlers the default stays: the process ends at once.
        _ => std::future::pending().await,
    }
}

async fn accept(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            tracing::warn!(%error, "accept failed");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Closes the listener and returns the connections that waited to be accepted: closing would reset them.
fn queued(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    // Asked directly: the runtime may not have noticed the last ones yet.
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let accepted = std::iter::from_fn(|| listener.accept().ok());
    accepted
        .filter_map(|(stream, peer)| {
            stream.set_nonblocking(true).ok()?;
            Some((TcpStream::from_std(stream).ok()?, peer))
        })
        .collect()
}

struct Server<S> {
    service: S,
    routes: RouteNames,
    ids: RequestIds,
    in_flight: Arc<InFlight>,
    is_stopping: AtomicBool,
}

impl<S> Server<S> {
    async fn call(
        self: Arc<Self>,
        request: http::Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<http::Response<impl Body<Data = Bytes, Error = warp::Error>>, Infallible>
    where
        S: Clone,
        TowerToHyperService<S>: Service<http::Request<Drained>, Response = Response, Error = Infallible>,
    {
        let guard = InFlight::begin(&self.in_flight);
        let access = Access::begin(request.method(), request.uri().path(), request.headers(), self.routes, &self.ids);
        let mut request = request.map(Drained::new);
        // warp routes by method and path; the rest of the head is handed on once, and never copied.
        let headers = std::mem::take(request.headers_mut());
        let mut response = if has_too_many(&headers) {
            Problem::too_many_headers(HEADERS_MAX).into_response()
        } else {
            request.extensions_mut().insert(Head::new(headers, peer));
            let service = TowerToHyperService::new(self.service.clone());
            match AssertUnwindSafe(service.call(request)).catch_unwind().await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(_) => Problem::internal().because("a handler panicked").into_response(),
            }
        };
        access.end(&mut response);
        if self.is_stopping.load(Ordering::SeqCst) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(|body| Counted::new(body, guard)))
    }
}

/// Whether the client sent more than [`HEADERS_MAX`] headers.
fn has_too_many(headers: &HeaderMap) -> bool {
    headers.len() > HEADERS_MAX
        && headers.len() - ADDED_BY_NGINX.iter().map(|name| headers.get_all(name).iter().count()).sum::<usize>()
            > HEADERS_MAX
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::{Notify, oneshot};

    use super::super::in_flight::SETTLED;
    use super::*;

    /// Serves a handler that waits for `release`; returns its address, the stop signal and the server's end.
    async fn start(
        release: Arc<Notify>,
        entered: Arc<Notify>,
        linger: Duration,
    ) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let filter = warp::any().then(move || {
            let (release, entered) = (Arc::clone(&release), Arc::clone(&entered));
            async move {
                entered.notify_one();
                release.notified().await;
                "done".into_response()
            }
        });
        let config = ServeConfig {
            connections_max: 10,
            head_timeout: Duration::from_mins(1),
            linger,
            drain_timeout: Duration::from_mins(1),
        };
        let served = tokio::spawn(serve(listener, filter, &[], Random::system(), config, async {
            let _ = stopped.await;
        }));
        (address, stop, served)
    }

    #[tokio::test]
    async fn a_request_in_flight_is_not_cut_and_half_a_head_does_not_hold_the_exit() {
        let (release, entered) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (address, stop, served) = start(Arc::clone(&release), Arc::clone(&entered), Duration::ZERO).await;
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET / HTTP/1.1\r\nHos").await.unwrap();
        let mut whole = TcpStream::connect(address).await.unwrap();
        whole.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        entered.notified().await;
        stop.send(()).unwrap();
        let mut served = pin!(served);
        assert!(timeout(SETTLED * 2, &mut served).await.is_err(), "it left with a request in flight");
        release.notify_one();
        let mut answer = String::new();
        whole.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("done"), "{answer}");
        // Far less than the drain timeout, which is what a hang would take.
        timeout(Duration::from_secs(20), served).await.expect("half a head held the exit").unwrap();
    }

    #[tokio::test]
    async fn after_the_stop_open_connections_are_answered_once_more_and_new_ones_refused() {
        let (release, entered) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (address, stop, served) = start(Arc::clone(&release), entered, Duration::from_mins(1)).await;
        let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut open = TcpStream::connect(address).await.unwrap();
        release.notify_one();
        open.write_all(request).await.unwrap();
        let mut first = [0; 4096];
        let length = open.read(&mut first).await.unwrap();
        assert!(!String::from_utf8_lossy(&first[..length]).contains("connection: close"));
        stop.send(()).unwrap();
        while TcpStream::connect(address).await.is_ok() {
            sleep(Duration::from_millis(1)).await;
        }
        release.notify_one();
        open.write_all(request).await.unwrap();
        let mut second = String::new();
        open.read_to_string(&mut second).await.unwrap();
        assert!(second.contains("connection: close") && second.ends_with("done"), "{second}");
        // Nobody is left: it does not wait for the rest of the minute.
        timeout(Duration::from_secs(20), served).await.expect("it lingered with nobody there").unwrap();
    }
}
