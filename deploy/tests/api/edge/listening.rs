//! Both address families, idle connections, and changed settings without a failed request.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::PROXY;
use crate::support::{Api, LoadClient, LoadGenerator, OwnStack, TestUser, send, stack};

#[tokio::test]
async fn nginx_listens_on_ipv6_where_the_machine_has_it() {
    if !std::fs::read_to_string("/proc/net/if_inet6").is_ok_and(|all| all.contains(&format!("{}1 ", "0".repeat(31)))) {
        println!("not tested: this machine has no IPv6 loopback address");
        return;
    }
    let (_, port) = stack().base.rsplit_once(':').unwrap();
    let user = TestUser::at(&Api::at(&format!("http://[::1]:{port}"))).await;
    let sessions = user.api.get_as("/api/user/sessions/", &user.access).await.expect_status(200).json();
    assert_eq!(sessions[0]["ip"], json!("::1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_after_keepalive_seconds() {
    let own = OwnStack::start(&[("KEEPALIVE_SECONDS", "2")]);
    assert!((1.5..10.0).contains(&idle_seconds(&own.api.base).await));
    // The default is longer than a test.
    let shared = timeout(Duration::from_secs(65), idle_seconds(&stack().base)).await;
    assert!(shared.is_err(), "closed after {shared:?} s");
}

/// How long nginx keeps a connection open after a response, in seconds.
async fn idle_seconds(base: &str) -> f64 {
    let mut stream = TcpStream::connect(base.trim_start_matches("http://")).await.unwrap();
    stream.write_all(b"GET /api/user/me/ HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let since = Instant::now();
    while stream.read(&mut [0; 4096]).await.unwrap() > 0 {}
    since.elapsed().as_secs_f64()
}

/// A client that opens a connection for each request.
struct NewConnections(String);

impl LoadClient for NewConnections {
    async fn request(&mut self) -> Result<u16, String> {
        let response = Api::at(&self.0).request("GET", "/health").send().await.map_err(|error| format!("{error:?}"))?;
        match response.status().as_u16() {
            200 => Ok(200),
            status => Err(status.to_string()),
        }
    }
}

fn reload(nginx: &Path, settings: &[(&str, &str)]) -> bool {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/nginx-settings");
    let command = [script, nginx.to_str().unwrap(), "reload"];
    Command::new("sh").args(command).envs(settings.iter().copied()).status().unwrap().success()
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_nginx_change_without_a_failed_request() {
    let own = OwnStack::start(&[]);
    let user = TestUser::at(&own.api).await;
    let proxy = Api::from_address(&own.api.base, PROXY);
    let session_count = async |address: &str| {
        let login = json!({ "email": user.email, "password": crate::support::PASSWORD });
        let request = proxy.request("POST", "/api/user/login/").header("x-forwarded-for", "203.0.113.7").json(&login);
        send(request).await.expect_status(200);
        let sessions = user.api.get_as("/api/user/sessions/", &user.access).await.expect_status(200).json();
        sessions.as_array().unwrap().iter().filter(|session| session["ip"] == address).count()
    };
    assert_eq!(session_count("203.0.113.7").await, 0);
    let mut load = LoadGenerator::new(Duration::from_millis(5));
    for _ in 0..4 {
        load.add("health", NewConnections(own.api.base.clone()));
    }
    let nginx = own.data.join("nginx");
    for size in ["64", "64,128", "64,128,256"] {
        assert!(reload(&nginx, &[("TRUSTED_PROXIES", "127.0.0.3"), ("RENDITION_SIZES", size)]));
        sleep(Duration::from_secs(1)).await;
    }
    assert!(!reload(&nginx, &[("TRUSTED_PROXIES", "no network")]), "an invalid setting is refused");
    let samples = load.stop().await;
    let failed: Vec<_> = samples.iter().filter(|sample| sample.outcome.is_err()).collect();
    assert!(samples.len() > 100 && failed.is_empty(), "{failed:?}");
    assert_eq!(session_count("203.0.113.7").await, 1);
}
