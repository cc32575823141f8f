//! nginx: its own error responses, and the headers that it overrides.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Api, PASSWORD, TestUser, jpeg, redis, send, stack};

#[tokio::test]
async fn errors_of_nginx_are_json() {
    let api = Api::new();
    let headers = |count: usize| (0..count).fold(String::new(), |all, number| all + &format!("X-{number}: y\r\n"));
    for (what, request) in [
        ("no HTTP", "nonsense\r\n\r\n".to_owned()),
        ("no host", "GET /api/user/me/ HTTP/1.1\r\n\r\n".to_owned()),
        ("5,000 headers", format!("GET /api/user/me/ HTTP/1.1\r\nHost: x\r\n{}\r\n", headers(5000))),
        ("a long address", format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100_000))),
        ("TRACE", "TRACE /api/user/me/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned()),
        ("CONNECT", "CONNECT x:1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned()),
        ("NUL", "GET /api/user/%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned()),
        ("a bad host", "GET /api/user/me/ HTTP/1.1\r\nHost: a/../b\r\nConnection: close\r\n\r\n".to_owned()),
        ("HTTP/9", "GET /api/user/me/ HTTP/9.9\r\nHost: x\r\n\r\n".to_owned()),
    ] {
        let response = api.raw(request.as_bytes()).await;
        let is_error = ["400", "404", "405", "414", "431"]
            .iter()
            .any(|status| response.starts_with(&format!("HTTP/1.1 {status} ")));
        assert!(
            is_error && response.contains("application/json") && response.contains(r#"{"detail""#),
            "{what}: {response}"
        );
        assert!(!response.to_lowercase().contains("<html"), "{what}: {response}");
        for header in ["\r\nCache-Control: no-store\r\n", "\r\nX-Content-Type-Options: nosniff\r\n"] {
            assert_eq!(response.matches(header).count(), 1, "{what}: {response}");
        }
    }
}

#[tokio::test]
async fn more_than_a_hundred_headers_are_431_in_json() {
    let stack = stack();
    for (base, path, status) in [
        (&stack.base, "/api/user/me/", "401"),
        (&stack.auth_api, "/api/user/me/", "401"),
        (&stack.base, "/api/user/media/none", "404"),
        (&stack.media_server, "/api/user/media/none", "404"),
    ] {
        for (count, status) in [(100, status), (101, "431"), (107, "431"), (108, "431"), (300, "431"), (2000, "431")] {
            // HTTP/1.0: no `Connection: close` is needed. Host is one of the headers.
            let headers = (1..count).fold(String::new(), |all, number| all + &format!("X-{number}: y\r\n"));
            let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\n{headers}\r\n");
            let response = Api::at(base).raw(request.as_bytes()).await;
            assert!(response.contains(&format!(" {status} ")), "{base}{path} {count}: {response}");
            assert!(
                response.contains("application/json") && response.contains('{'),
                "{base}{path} {count}: {response}"
            );
            let lower = response.to_lowercase();
            for header in ["\r\ncache-control: no-store\r\n", "\r\nx-content-type-options: nosniff\r\n"] {
                assert_eq!(lower.matches(header).count(), 1, "{base}{path} {count}: {response}");
            }
        }
    }
}

#[tokio::test]
async fn bad_requests_to_a_service_itself_are_4xx_in_json() {
    for service in [&stack().auth_api, &stack().media_server] {
        let api = Api::at(service);
        for request in ["nonsense", "CONNECT x:1 HTTP/1.1\r\nHost: x", "GET * HTTP/1.1\r\nHost: x"] {
            let response = api.raw(format!("{request}\r\nConnection: close\r\n\r\n").as_bytes()).await;
            assert!(response.starts_with("HTTP/1.1 4"), "{request}: {response}");
            assert!(
                response.contains("application/json") && response.contains(r#"{"detail":"#),
                "{request}: {response}"
            );
        }
        let headers = (0..5000).fold(String::new(), |all, number| all + &format!("X-{number}: y\r\n"));
        let response = api.raw(format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes()).await;
        assert!(response.starts_with("HTTP/1.1 431 ") && response.contains(r#"{"detail":"#), "{response}");
        api.get("/healthz").await.expect_status(200);
    }
}

#[tokio::test]
async fn forwarding_headers_of_a_client_do_not_change_links() {
    let user = TestUser::with_picture(&Api::new(), &jpeg()).await;
    let link = user.picture().await.unwrap();
    let request = user
        .request("GET", "/api/user/me/")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-for", "1.2.3.4")
        .header("forwarded", "host=evil.example;proto=https")
        .header("x-host", "evil.example");
    assert_eq!(send(request).await.expect_status(200).json()["profile_pic"], json!(link));
}

#[tokio::test]
async fn the_client_address_of_a_session_ignores_x_forwarded_for() {
    let user = TestUser::new().await;
    let body = json!({ "email": user.email, "password": PASSWORD });
    let request = user.api.request("POST", "/api/user/login/").header("x-forwarded-for", "203.0.113.9").json(&body);
    let session = user.with_tokens(&send(request).await.expect_status(200).json()["tokens"]);
    let ip = redis(stack(), &["HGET", &session.session_key(), "ip"]);
    // The address of this machine as nginx sees it: behind Docker's bridge, the gateway's.
    assert!(ip != "203.0.113.9" && ip.parse::<std::net::IpAddr>().is_ok(), "{ip}");
}

#[tokio::test]
async fn concurrent_requests_over_shared_connections_get_their_own_responses() {
    let users = [TestUser::new().await, TestUser::new().await, TestUser::new().await];
    let requests = (0..300).map(|number| {
        let user = &users[number % users.len()];
        async move { assert_eq!(user.me().await.expect_status(200).json()["id"], json!(user.id)) }
    });
    join_all(requests).await;
}
