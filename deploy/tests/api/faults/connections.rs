//! The limit of connections per client address, and that it keeps nginx available to others.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use deploy::{Options, Stack};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::{Api, OwnStack, wait_until};

/// A loopback address that no other client of the tests uses.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Connects from [`ATTACKER`] and sends `bytes`.
async fn connect(base: &str, bytes: &[u8]) -> TcpStream {
    let address: SocketAddr = base.trim_start_matches("http://").parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((ATTACKER, 0).into()).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    // A refused connection may be closed already.
    let _ = stream.write_all(bytes).await;
    stream
}

/// What is received within half a second: `None` if nothing, empty if the connection is closed.
async fn received(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = vec![0; 4096];
    match timeout(Duration::from_millis(500), stream.read(&mut bytes)).await {
        Err(_) => None,
        Ok(read) => Some(String::from_utf8_lossy(&bytes[..read.unwrap_or(0)]).into_owned()),
    }
}

/// The number of connections that this process may open, up to 8,300.
fn connections_max() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    usize::try_from(limit.current.unwrap_or(u64::MAX)).unwrap().saturating_sub(1000).min(8300)
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_requests_of_one_address_do_not_block_others() {
    let stack = OwnStack::start(&[]);
    let base = &stack.env().base;
    let count = connections_max();
    let mut open = Vec::new();
    for _ in 0..count {
        open.push(connect(base, b"GET /api/user/me/ HTTP/1.1\r\nHost: x\r\nX-").await);
    }
    println!("{count} partial requests");
    for _ in 0..100 {
        // A new client opens a new connection.
        Api::at(base).get("/api/user/me/").await.expect_status(401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_limited_per_address() {
    const MAX: usize = 8;
    let stack = OwnStack::start(&[("CONNECTIONS_PER_ADDRESS", "8")]);
    let base = &stack.env().base;
    // In progress: the body is incomplete.
    let request =
        b"POST /api/user/login/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{";
    let mut open = Vec::new();
    for _ in 0..MAX {
        let mut stream = connect(base, request).await;
        assert_eq!(received(&mut stream).await, None);
        open.push(stream);
    }
    let refused = received(&mut connect(base, request).await).await.expect("the connection is refused");
    // Closed without a response at accept, or 429 if nginx is too old for that.
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 429 "), "{refused}");
    Api::at(base).get("/api/user/me/").await.expect_status(401);
    open.pop();
    let is_accepted = async || {
        let mut stream = connect(base, b"GET /api/user/me/ HTTP/1.1\r\nHost: x\r\n\r\n").await;
        received(&mut stream).await.is_some_and(|response| response.starts_with("HTTP/1.1 401 "))
    };
    wait_until("a closed connection counts no longer", Duration::from_secs(5), is_accepted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zero_connections_per_address_means_no_limit() {
    let stack = OwnStack::start(&[("CONNECTIONS_PER_ADDRESS", "0")]);
    let base = &stack.env().base;
    let request = b"POST /api/user/login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{";
    let mut open = Vec::new();
    for _ in 0..1100 {
        open.push(connect(base, request).await);
    }
    assert_eq!(received(open.last_mut().unwrap()).await, None);
    Api::at(base).get("/api/user/me/").await.expect_status(401);
}

#[test]
fn an_invalid_setting_of_nginx_fails_the_start_with_its_name() {
    for (name, value) in [
        ("CONNECTIONS_PER_ADDRESS", "many"),
        ("CONNECTIONS_PER_ADDRESS", "65536"),
        ("CONNECTIONS_PER_ADDRESS", "-1"),
        ("KEEPALIVE_SECONDS", "0"),
        ("PROXY_PROTOCOL", "yes"),
        ("RENDITION_SIZES", "64;128"),
        ("RENDITION_SIZES", "64,\"x\""),
    ] {
        let error = Stack::start(Options::scratch().unwrap().with(name, value)).unwrap_err().to_string();
        assert!(error.contains(&format!("{name} is {value:?}; it may be")) || error.contains(name), "{error}");
    }
}
