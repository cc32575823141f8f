//! The connections of one address, and the room that they leave for others.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use deploy::{Options, Stack};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::support::Api;

/// An address of this machine that no ordinary client of the tests has.
const HOSTILE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Connects from [`HOSTILE`] and sends `bytes`.
async fn connect(base: &str, bytes: &[u8]) -> TcpStream {
    let address: SocketAddr = base.trim_start_matches("http://").parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((HOSTILE, 0).into()).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    // A refused connection may be closed before.
    let _ = stream.write_all(bytes).await;
    stream
}

/// What is sent back within half a second: none if nothing is, empty if the connection is closed.
async fn reply(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = vec![0; 4096];
    match timeout(Duration::from_millis(500), stream.read(&mut bytes)).await {
        Err(_) => None,
        Ok(read) => Some(String::from_utf8_lossy(&bytes[..read.unwrap_or(0)]).into_owned()),
    }
}

/// Connections that this process may open, up to 8,300.
fn partial_requests() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    usize::try_from(limit.current.unwrap_or(u64::MAX)).unwrap().saturating_sub(1000).min(8300)
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_requests_of_one_address_leave_room_for_others() {
    let stack = Stack::start(Options::scratch().unwrap()).unwrap();
    let base = &stack.env().base;
    let count = partial_requests();
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(connect(base, b"GET /api/user/me/ HTTP/1.1\r\nHost: x\r\nX-").await);
    }
    println!("{count} partial requests");
    for _ in 0..100 {
        // A new client each: a new connection.
        Api::at(base).get("/api/user/me/").await.expect_status(401);
    }
    drop(held);
    stack.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_at_most_the_configured_connections_and_others_have_their_own() {
    const MAX: usize = 8;
    let stack = Stack::start(Options::scratch().unwrap().with("CONNECTIONS_PER_ADDRESS", "8")).unwrap();
    let base = &stack.env().base;
    // In progress for as long as its body is not whole.
    let request =
        b"POST /api/user/login/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{";
    let mut held = Vec::new();
    for _ in 0..MAX {
        let mut stream = connect(base, request).await;
        assert_eq!(reply(&mut stream).await, None);
        held.push(stream);
    }
    let refused = reply(&mut connect(base, request).await).await.expect("a refusal");
    // At accept nothing is sent; where nginx is too old for that, a complete request is refused.
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 429 "), "{refused}");
    Api::at(base).get("/api/user/me/").await.expect_status(401);
    held.pop();
    let mut last = String::new();
    for _ in 0..100 {
        last = reply(&mut connect(base, b"GET /api/user/me/ HTTP/1.1\r\nHost: x\r\n\r\n").await).await.unwrap();
        if last.starts_with("HTTP/1.1 401 ") {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(last.starts_with("HTTP/1.1 401 "), "a closed connection still counts: {last}");
    stack.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn zero_connections_per_address_is_no_limit() {
    let stack = Stack::start(Options::scratch().unwrap().with("CONNECTIONS_PER_ADDRESS", "0")).unwrap();
    let base = &stack.env().base;
    let request = b"POST /api/user/login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{";
    let mut held = Vec::new();
    for _ in 0..1100 {
        held.push(connect(base, request).await);
    }
    assert_eq!(reply(held.last_mut().unwrap()).await, None);
    Api::at(base).get("/api/user/me/").await.expect_status(401);
    stack.shutdown();
}

#[test]
fn a_wrong_limit_or_size_ends_the_start_with_its_name() {
    for (name, value) in [
        ("CONNECTIONS_PER_ADDRESS", "many"),
        ("CONNECTIONS_PER_ADDRESS", "65536"),
        ("CONNECTIONS_PER_ADDRESS", "-1"),
        ("RENDITION_SIZES", "64;128"),
        ("RENDITION_SIZES", "64,\"x\""),
    ] {
        let error = Stack::start(Options::scratch().unwrap().with(name, value)).unwrap_err().to_string();
        assert!(error.contains(&format!("{name} is {value:?}; it may be")) || error.contains(name), "{error}");
    }
}
