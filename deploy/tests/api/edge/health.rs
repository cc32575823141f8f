//! `GET /health`, for load balancers.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deploy::Service;
use futures_util::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::support::{Api, OwnStack, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_readiness_of_auth_api() {
    let stack = OwnStack::start(&[]);
    let api = &stack.api;
    for path in ["/health", "/health/", "/health?x=1"] {
        let response = api.get(path).await;
        response.expect(200, &json!({ "status": "ok" }));
        assert_eq!(response.header("cache-control"), "no-store");
        assert_eq!((api.head(path).await.status, api.head(path).await.bytes.len()), (200, 0));
    }
    for (path, status) in [("/healthz", 404), ("/readyz", 404), ("/.ready", 404), ("/healthy", 404), ("/health/x", 404)]
    {
        api.get(path).await.expect_status(status);
    }
    let post = api.post_json("/health", &json!({})).await;
    assert_eq!((post.expect_status(405).status, post.header("allow")), (405, "GET, HEAD"));
    let is_unavailable = async || {
        let response = api.get("/health").await;
        if response.status == 200 {
            return false;
        }
        response.expect(503, &json!({ "status": "unavailable" }));
        assert_eq!(response.header("retry-after"), "1");
        assert_eq!(api.head("/health/").await.status, 503);
        true
    };
    let is_ok = async || api.get("/health").await.status == 200;
    for service in [Service::Redis, Service::AuthApi] {
        stack.stop(service).unwrap();
        wait_until("unavailable", Duration::from_secs(8), is_unavailable).await;
        stack.restart(service).unwrap();
        wait_until("ok again", Duration::from_secs(8), is_ok).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_computed_at_most_once_a_second_and_degraded_is_ok() {
    let stack = OwnStack::start(&[]);
    let (checks, address) = degraded_service().await;
    let gateway = stack.gateway("nginx-health", address, address).unwrap();
    let api = Api::at(gateway.base());
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(3) {
        for response in join_all((0..20).map(|_| api.get("/health"))).await {
            response.expect(200, &json!({ "status": "ok" }));
        }
        sleep(Duration::from_millis(20)).await;
    }
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap();
    let checks = checks.load(Ordering::SeqCst);
    assert!((1..=seconds + 1).contains(&checks), "{checks} checks in {seconds} s");
}

/// A service that is degraded: counts the requests for `/readyz`.
async fn degraded_service() -> (Arc<AtomicUsize>, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let checks = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&checks);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            counter.fetch_add(1, Ordering::SeqCst);
            let body = r#"{"status":"degraded","reasons":["redis_full"]}"#;
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nConnection: close";
            let response = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(response.as_bytes()).await.unwrap();
        }
    });
    (checks, address)
}
