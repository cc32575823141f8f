//! The PROXY protocol: HAProxy that terminates TLS and forwards bytes.

use std::net::Ipv4Addr;

use serde_json::json;

use super::{PROXY, TRUSTED};
use crate::support::{Api, OwnStack, PASSWORD, TestUser, TlsProxy, redis};

const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// The client addresses of a user's sessions.
fn addresses(stack: &OwnStack, user: &TestUser) -> Vec<String> {
    let keys = redis(stack.env(), &["--scan", "--pattern", &format!("session:{{{}}}:*", user.id)]);
    let mut all: Vec<_> = keys.lines().map(|key| redis(stack.env(), &["HGET", key, "ip"])).collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_a_proxy_header_is_used_from_a_trusted_peer_only() {
    let stack = OwnStack::start(&[TRUSTED, ("PROXY_PROTOCOL", "true")]);
    let proxy = TlsProxy::haproxy_with_proxy_protocol(&stack.api.base, PROXY).await;
    let user = TestUser::at(&proxy.client(CLIENT)).await;
    let body = json!({ "email": user.email, "password": PASSWORD }).to_string();
    let login = format!(
        "POST /api/user/login/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.9\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // From 127.0.0.1, which is not trusted.
    for header in ["PROXY TCP4 203.0.113.9 203.0.113.10 4711 443\r\n", "PROXY TCP6 2001:db8::9 ::1 4711 443\r\n"] {
        let response = stack.api.raw(format!("{header}{login}").as_bytes()).await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    }
    assert_eq!(addresses(&stack, &user), ["127.0.0.1", "127.0.0.1", "127.0.0.9"]);
    // Neither HTTP without the header nor a malformed one gets a response.
    for start in ["", "PROXY TCP4 unknown\r\n", "PROXY TCP4 1.2.3.4%eth0 1.2.3.4 1 2\r\n"] {
        assert_eq!(stack.api.raw(format!("{start}{login}").as_bytes()).await, "", "{start}");
    }
    // The header's client, not the one that it sends.
    let api = proxy.client(CLIENT);
    let request = api.request("POST", "/api/user/login/").header("x-forwarded-for", "203.0.113.9");
    crate::support::send(request.json(&json!({ "email": user.email, "password": PASSWORD }))).await.expect_status(200);
    assert_eq!(addresses(&stack, &user)[3], "127.0.0.9");
}

#[tokio::test]
async fn a_proxy_header_without_the_setting_is_400() {
    let response = Api::new().raw(b"PROXY TCP4 203.0.113.9 203.0.113.10 4711 443\r\n\r\n").await;
    assert!(response.starts_with("HTTP/1.1 400 ") && response.contains(r#"{"detail":"#), "{response}");
}
