//! The server loop: accepts connections, enforces limits and timeouts, shuts down gracefully.
//!
//! `warp::service` on hyper, because warp's own server has no limits and waits on partial requests at shutdown. HTTP/1.1
//! only, which is what nginx speaks to an upstream.

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
use warp::reply::{Reply, Response};

use super::Problem;
use super::access::{Access, RequestIds};
use super::body::Drained;
use super::in_flight::{Counted, InFlight};
use super::parse_errors::JsonParseErrors;
use super::request_head::RequestHead;
use super::router::Router;
use crate::random::Random;
use crate::settings::{SettingError, Settings};

/// Limit of a client's request headers; more are a 431.
pub const HEADERS_MAX: usize = 100;

/// Headers that nginx adds or replaces: not counted against [`HEADERS_MAX`].
const ADDED_BY_NGINX: [HeaderName; 7] = [
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-now"),
    HeaderName::from_static("x-if-none-match"),
    HeaderName::from_static("x-if-modified-since"),
];

/// Limit of the request line and headers, in bytes; more is a 431.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Pause after a failed `accept`, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The limits of a listener.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Open connections; further ones wait in the listen queue.
    pub connections_max: usize,
    /// Timeout of receiving the request headers, and of an idle connection.
    pub head_timeout: Duration,
    /// How long open connections are still served after the stop signal.
    pub keepalive_grace: Duration,
    /// Timeout of requests in flight, counted from the end of the grace.
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
                "open connections of a listener; further ones wait in the listen queue",
            )?,
            head_timeout: settings.seconds(
                "HEAD_TIMEOUT_SECONDS",
                30,
                1..=3600,
                "timeout of receiving a request's headers, and of an idle connection (nginx must close first)",
            )?,
            keepalive_grace: settings.seconds(
                "LINGER_SECONDS",
                3,
                0..=3600,
                "how long open connections are still served after SIGTERM; longer than nginx keeps an idle one (keepalive_timeout of its upstream)",
            )?,
            drain_timeout: settings.seconds(
                "DRAIN_TIMEOUT_SECONDS",
                15,
                1..=3600,
                "timeout of requests in flight after that",
            )?,
        })
    }
}

/// Serves `router` on `listener` until `stop` resolves, then shuts down gracefully: stops accepting, drains the requests
/// in flight, returns. Partial requests do not delay it.
///
/// New connections are refused at once, so that the proxy picks another replica before it has sent anything. Open ones
/// are served for the keep-alive grace, with `Connection: close`: the proxy may just have sent a request on a connection
/// that is idle from here, and it must not repeat a POST.
pub async fn serve<S: Send + Sync + 'static>(
    listener: TcpListener,
    router: Router<S>,
    service: Arc<S>,
    random: Random,
    config: ServeConfig,
    stop: impl Future<Output = ()>,
) {
    let router = Arc::new(router);
    let server = Arc::new(Server {
        filter: warp::service(router.filter(service)),
        router,
        ids: RequestIds::new(&random),
        in_flight: Arc::default(),
        is_stopping: AtomicBool::new(false),
    });
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(config.connections_max));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.head_timeout)
        .max_headers(HEADERS_MAX + ADDED_BY_NGINX.len())
        .max_buf_size(HEAD_BYTES_MAX);
    let serve_connection = |stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit| {
        // Nagle's algorithm would only delay: responses are written whole.
        let _ = stream.set_nodelay(true);
        let server = Arc::clone(&server);
        let service = service_fn(move |request| Arc::clone(&server).call(request, peer));
        let connection = graceful.watch(http.serve_connection(TokioIo::new(JsonParseErrors::new(stream)), service));
        tokio::spawn(async move {
            // Errors are disconnects and malformed HTTP; hyper has already sent the response, if any.
            let _ = connection.await;
            drop(permit);
        });
    };
    let accept_all = async {
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let Some((stream, peer)) = accept(&listener).await else { continue };
            serve_connection(stream, peer, permit);
        }
    };
    tokio::select! {
        () = accept_all => {}
        () = stop => {}
    }
    server.is_stopping.store(true, Ordering::SeqCst);
    for (stream, peer) in pending_connections(listener) {
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { break };
        serve_connection(stream, peer, permit);
    }
    tracing::info!(in_flight = server.in_flight.count(), "stopping: accepting no new connections");
    let all_permits = u32::try_from(config.connections_max).unwrap_or(u32::MAX);
    // After the grace, connections still open are idle or hold partial requests.
    let _ = timeout(config.keepalive_grace, permits.acquire_many(all_permits)).await;
    let drained = timeout(config.drain_timeout, async {
        tokio::select! {
            () = graceful.shutdown() => {}
            () = server.in_flight.quiescent() => {}
        }
    });
    if drained.await.is_err() {
        tracing::warn!(in_flight = server.in_flight.count(), "drain timeout elapsed; aborting requests in flight");
    }
}

/// Length of the listen queue (also bounded by the kernel's `somaxconn`). `TcpListener::bind` has 128, which overflows when
/// nginx opens its connections at once; a dropped SYN is retried only after a second.
const BACKLOG: u32 = 4096;

/// Listens on `address`. Must be called inside a runtime.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for connections in TIME_WAIT.
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
        // Without handlers the default action stays: the process ends at once.
        _ => std::future::pending().await,
    }
}

async fn accept(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            tracing::warn!(%error, "accept failed; retrying after a pause");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Closes the listener and returns the connections of its queue, which closing would reset.
fn pending_connections(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    // Accepts from the socket itself: the runtime may not have seen the last connections yet.
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let accepted = std::iter::from_fn(|| listener.accept().ok());
    accepted
        .filter_map(|(stream, peer)| {
            stream.set_nonblocking(true).ok()?;
            Some((TcpStream::from_std(stream).ok()?, peer))
        })
        .collect()
}

struct Server<F, S> {
    filter: F,
    router: Arc<Router<S>>,
    ids: RequestIds,
    in_flight: Arc<InFlight>,
    is_stopping: AtomicBool,
}

impl<F, S: Send + Sync + 'static> Server<F, S> {
    async fn call(
        self: Arc<Self>,
        request: http::Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<http::Response<impl Body<Data = Bytes, Error = warp::Error>>, Infallible>
    where
        F: Clone,
        TowerToHyperService<F>: Service<http::Request<Drained>, Response = Response, Error = Infallible>,
    {
        let guard = InFlight::begin(&self.in_flight);
        let route = self.router.find(request.uri().path());
        let name = route.as_ref().and_then(|route| self.router.name(route));
        let access = Access::begin(request.method(), name, request.headers(), &self.ids);
        let mut request = request.map(Drained::new);
        let mut response = if has_too_many(request.headers()) {
            Problem::too_many_headers(HEADERS_MAX).into_response()
        } else {
            let head = RequestHead::take(&mut request, peer, route);
            request.extensions_mut().insert(head);
            let service = TowerToHyperService::new(self.filter.clone());
            match access.scope(AssertUnwindSafe(service.call(request)).catch_unwind()).await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(_) => Problem::internal().with_cause("a handler panicked").into_response(),
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

    use http::Method;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::{Notify, oneshot};

    use super::super::in_flight::QUIET_PERIOD;
    use super::*;

    /// Serves a handler that waits for `release`; returns the address, the stop signal and the server's task.
    async fn start(
        release: Arc<Notify>,
        entered: Arc<Notify>,
        keepalive_grace: Duration,
    ) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let router = Router::new().public(Method::GET, "/test", move |_, _| {
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
            keepalive_grace,
            drain_timeout: Duration::from_mins(1),
        };
        let served = tokio::spawn(serve(listener, router, Arc::new(()), Random::system(), config, async {
            let _ = stopped.await;
        }));
        (address, stop, served)
    }

    #[tokio::test]
    async fn shutdown_drains_requests_in_flight_and_ignores_partial_requests() {
        let (release, entered) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (address, stop, served) = start(Arc::clone(&release), Arc::clone(&entered), Duration::ZERO).await;
        let mut partial = TcpStream::connect(address).await.unwrap();
        partial.write_all(b"GET /test HTTP/1.1\r\nHos").await.unwrap();
        let mut whole = TcpStream::connect(address).await.unwrap();
        whole.write_all(b"GET /test HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        entered.notified().await;
        stop.send(()).unwrap();
        let mut served = pin!(served);
        assert!(timeout(QUIET_PERIOD * 2, &mut served).await.is_err(), "the server returned with a request in flight");
        release.notify_one();
        let mut answer = String::new();
        whole.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("done"), "{answer}");
        // Far below the drain timeout, which a hang would reach.
        timeout(Duration::from_secs(20), served).await.expect("a partial request delayed the shutdown").unwrap();
    }

    #[tokio::test]
    async fn shutdown_serves_open_connections_and_refuses_new_ones() {
        let (release, entered) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (address, stop, served) = start(Arc::clone(&release), entered, Duration::from_mins(1)).await;
        let request = b"GET /test HTTP/1.1\r\nHost: x\r\n\r\n";
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
        // No connection is left, so it does not wait for the rest of the grace.
        timeout(Duration::from_secs(20), served).await.expect("the server waited without connections").unwrap();
    }
}
