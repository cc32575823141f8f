//! Address, scheme, host and port of a client behind proxies, and that no client can forge them.

use std::net::Ipv4Addr;

use deploy::{Options, Service, Stack};
use reqwest::RequestBuilder;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::{PROXY, TRUSTED};
use crate::support::{Api, OwnStack, PASSWORD, Response, TestUser, TlsProxy, jpeg, path_of, send};

/// A client behind a proxy.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// What a client may try to forge.
const FORGED: [(&str, &str); 7] = [
    ("x-forwarded-for", "203.0.113.9"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-proto", "gopher"),
    ("x-forwarded-port", "1"),
    ("x-real-ip", "203.0.113.9"),
    ("forwarded", "for=203.0.113.9;host=evil.example;proto=https"),
    ("true-client-ip", "203.0.113.9"),
];

fn with(request: RequestBuilder, headers: &[(&str, &str)]) -> RequestBuilder {
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
}

/// The client address of the session that a login with these headers creates.
async fn session_address(api: &Api, email: &str, headers: &[(&str, &str)]) -> String {
    let body = json!({ "email": email, "password": PASSWORD });
    let login = send(with(api.request("POST", "/api/user/login/"), headers).json(&body)).await;
    let access = login.expect_status(200).json()["tokens"]["access"].as_str().unwrap().to_owned();
    let sessions = api.get_as("/api/user/sessions/", &access).await.expect_status(200).json();
    let current = sessions.as_array().unwrap().iter().find(|session| session["current"] == true).unwrap();
    current["ip"].as_str().unwrap().to_owned()
}

/// The link of the user's picture in a response to a request with these headers.
async fn link(api: &Api, user: &TestUser, headers: &[(&str, &str)]) -> String {
    let request = with(api.request_as(&user.access, "GET", "/api/user/me/"), headers);
    send(request).await.expect_status(200).json()["profile_pic"].as_str().unwrap().to_owned()
}

async fn guess(api: &Api, email: &str) -> Response {
    api.post_json("/api/user/login/", &json!({ "email": email, "password": "another phrase" })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn links_sessions_and_throttles_follow_the_client_behind_a_tls_proxy() {
    let stack = OwnStack::start(&[TRUSTED]);
    for proxy in [TlsProxy::nginx(&stack.api.base, PROXY).await, TlsProxy::haproxy(&stack.api.base, PROXY).await] {
        let api = proxy.client(CLIENT);
        let user = TestUser::with_picture(&api, &jpeg()).await;
        for headers in [&FORGED[..], &[]] {
            let link = link(&api, &user, headers).await;
            assert!(link.starts_with(&format!("{}/api/user/media/", proxy.base)), "{link}");
            assert_eq!(api.get(&link).await.status, 200, "{link}");
            assert_eq!(session_address(&api, &user.email, headers).await, CLIENT.to_string());
        }
        // As many failures as one address may have: each of another client.
        for host in 1..=100 {
            let stranger = proxy.client(Ipv4Addr::new(127, 0, 1, host));
            assert_eq!(guess(&stranger, "unknown@example.com").await.status, 400, "client {host}");
        }
        TestUser::sign_in(&api, &user.email).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarding_headers_of_an_untrusted_peer_change_nothing() {
    for settings in [&[TRUSTED][..], &[]] {
        let stack = OwnStack::start(settings);
        let user = TestUser::with_picture(&stack.api, &jpeg()).await;
        assert!(link(&stack.api, &user, &FORGED).await.starts_with(&format!("{}/api/", stack.api.base)));
        assert_eq!(session_address(&stack.api, &user.email, &FORGED).await, "127.0.0.1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_is_the_rightmost_untrusted_address() {
    let stack = OwnStack::start(&[("TRUSTED_PROXIES", "127.0.0.3, 10.0.0.0/8,2001:db8:1::/48")]);
    let user = TestUser::at(&stack.api).await;
    let proxy = Api::from_address(&stack.api.base, PROXY);
    let two_hundred = format!("{}203.0.113.7", "192.0.2.1, ".repeat(200));
    let unreadable = PROXY.to_string();
    for (forwarded, address) in [
        ("203.0.113.7", "203.0.113.7"),
        ("192.0.2.1, 203.0.113.7", "203.0.113.7"),
        ("192.0.2.1,203.0.113.7,10.1.2.3, 2001:db8:1::1", "203.0.113.7"),
        (two_hundred.as_str(), "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        // Nothing left of an unreadable address is used: a client may have sent it.
        ("203.0.113.7, unknown", unreadable.as_str()),
        ("203.0.113.7, _hidden", unreadable.as_str()),
        ("203.0.113.7, fe80::1%eth0", unreadable.as_str()),
        ("203.0.113.7, unknown, 10.1.2.3", "10.1.2.3"),
        ("", unreadable.as_str()),
    ] {
        let headers = [("x-forwarded-for", forwarded), ("forwarded", "for=192.0.2.9"), ("x-real-ip", "192.0.2.9")];
        assert_eq!(session_address(&proxy, &user.email, &headers).await, address, "{forwarded}");
    }
    let two_lines = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "203.0.113.7")];
    assert_eq!(session_address(&proxy, &user.email, &two_lines).await, "203.0.113.7");
    assert_eq!(session_address(&proxy, &user.email, &[]).await, unreadable);
}

#[tokio::test(flavor = "multi_thread")]
async fn scheme_host_and_port_are_those_that_a_trusted_proxy_reports() {
    let stack = OwnStack::start(&[TRUSTED]);
    let user = TestUser::with_picture(&stack.api, &jpeg()).await;
    let proxy = Api::from_address(&stack.api.base, PROXY);
    let own = stack.api.base.as_str();
    let own_https = own.replace("http://", "https://");
    for (scheme, host, port, origin) in [
        ("https", "users.example.com", "", "https://users.example.com"),
        ("https", "users.example.com", "443", "https://users.example.com"),
        ("http", "users.example.com", "80", "http://users.example.com"),
        ("https", "users.example.com", "8443", "https://users.example.com:8443"),
        ("https", "users.example.com:8443", "", "https://users.example.com:8443"),
        // A port of the host is what the client used.
        ("https", "users.example.com:8443", "443", "https://users.example.com:8443"),
        ("https", "[2001:db8::1]", "8443", "https://[2001:db8::1]:8443"),
        // The last of several: that of the nearest proxy.
        ("http, HTTPS", "evil.example, users.example.com", "1,8443", "https://users.example.com:8443"),
        ("gopher", "a/../b", "x", own),
        ("https", "", "", own_https.as_str()),
    ] {
        let headers = [
            ("x-forwarded-proto", scheme),
            ("x-forwarded-host", host),
            ("x-forwarded-port", port),
            ("forwarded", "host=x"),
        ];
        let link = link(&proxy, &user, &headers).await;
        assert_eq!(link.strip_suffix(path_of(&link)), Some(origin), "{headers:?}");
    }
}

/// Sends a request whose body is incomplete, from `address` with this `X-Forwarded-For`.
async fn begin_request(base: &str, address: Ipv4Addr, forwarded: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    let mut stream = socket.connect(base.trim_start_matches("http://").parse().unwrap()).await.unwrap();
    let request = format!(
        "POST /api/user/login/ HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {forwarded}\r\nContent-Type: application/json\r\n\
         Content-Length: 2\r\n\r\n{{"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_limit_counts_clients_behind_a_proxy_and_not_the_proxy() {
    const MAX: u8 = 8;
    let stack = OwnStack::start(&[TRUSTED, ("CONNECTIONS_PER_ADDRESS", "8")]);
    let base = &stack.api.base;
    let mut open = Vec::new();
    for client in 1..=3 * MAX {
        open.push(begin_request(base, PROXY, &format!("203.0.113.{client}")).await);
    }
    for _ in 0..MAX {
        open.push(begin_request(base, PROXY, "203.0.113.200").await);
    }
    let mut refused = begin_request(base, PROXY, "192.0.2.1, 203.0.113.200").await;
    let mut response = [0; 12];
    refused.read_exact(&mut response).await.unwrap();
    assert_eq!(&response, b"HTTP/1.1 429");
    Api::from_address(base, PROXY).get("/api/user/me/").await.expect_status(401);
    for mut stream in open {
        stream.write_all(b"}").await.unwrap();
        stream.read_exact(&mut response).await.unwrap();
        assert_eq!(&response, b"HTTP/1.1 400");
    }
}

#[test]
fn trusted_proxies_that_are_no_networks_fail_the_start() {
    for value in ["nginx", "10.0.0.0/33", "10.0.0.0/8;::1", "fe80::1%eth0", "256.0.0.1", "1:2:3", "unknown", "*"] {
        let options = Options::scratch().unwrap().with("TRUSTED_PROXIES", value);
        let error = Stack::start(options).unwrap_err().to_string();
        assert!(error.contains(&format!("TRUSTED_PROXIES is \"{value}\"; it may be networks such as")), "{error}");
    }
}

#[test]
fn trusting_every_address_is_warned_about() {
    let stack = OwnStack::start(&[("TRUSTED_PROXIES", "0.0.0.0/0")]);
    let log = stack.log(Service::Nginx, 100);
    assert!(log.contains("TRUSTED_PROXIES has 0.0.0.0/0: every client may claim any address"), "{log}");
}
