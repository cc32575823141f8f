//! nginx: what it says itself, and what it lets nobody say in its place.

use serde_json::json;

use crate::support::{Api, Person, jpeg, send};

#[tokio::test]
async fn nginx_says_its_own_errors_in_json() {
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
        let answer = api.raw(request.as_bytes()).await;
        let is_error =
            ["400", "404", "405", "414", "431"].iter().any(|status| answer.starts_with(&format!("HTTP/1.1 {status} ")));
        assert!(is_error && answer.contains("application/json") && answer.contains(r#"{"detail""#), "{what}: {answer}");
        assert!(!answer.to_lowercase().contains("<html"), "{what}: {answer}");
        for header in ["\r\nCache-Control: no-store\r\n", "\r\nX-Content-Type-Options: nosniff\r\n"] {
            assert_eq!(answer.matches(header).count(), 1, "{what}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_request_has_at_most_a_hundred_headers_and_more_are_431_in_json() {
    let stack = crate::support::stack();
    for (base, path, status) in [
        (&stack.base, "/api/user/me/", "401"),
        (&stack.auth_api, "/api/user/me/", "401"),
        (&stack.base, "/api/user/media/none", "404"),
        (&stack.media_server, "/api/user/media/none", "404"),
    ] {
        for (count, status) in [(100, status), (101, "431"), (107, "431"), (108, "431"), (300, "431"), (2000, "431")] {
            // HTTP/1.0, so that none of them says that the connection ends. Host is one.
            let headers = (1..count).fold(String::new(), |all, number| all + &format!("X-{number}: y\r\n"));
            let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\n{headers}\r\n");
            let answer = Api::at(base).raw(request.as_bytes()).await;
            assert!(answer.contains(&format!(" {status} ")), "{base}{path} {count}: {answer}");
            assert!(answer.contains("application/json") && answer.contains('{'), "{base}{path} {count}: {answer}");
            let lower = answer.to_lowercase();
            for header in ["\r\ncache-control: no-store\r\n", "\r\nx-content-type-options: nosniff\r\n"] {
                assert_eq!(lower.matches(header).count(), 1, "{base}{path} {count}: {answer}");
            }
        }
    }
}

#[tokio::test]
async fn a_service_answers_bad_requests_itself_when_asked_directly() {
    for service in [&crate::support::stack().auth_api, &crate::support::stack().media_server] {
        let api = Api::at(service);
        for request in
            ["nonsense\r\n\r\n", "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", "GET * HTTP/1.1\r\nHost: x\r\n\r\n"]
        {
            let answer = api
                .raw(
                    format!("{}Connection: close\r\n\r\n", request.trim_end_matches("\r\n").to_owned() + "\r\n")
                        .as_bytes(),
                )
                .await;
            assert!(answer.starts_with("HTTP/1.1 4"), "{request}: {answer}");
            assert!(answer.contains("application/json") && answer.contains(r#"{"detail":"#), "{request}: {answer}");
        }
        let headers = (0..5000).fold(String::new(), |all, number| all + &format!("X-{number}: y\r\n"));
        let answer = api.raw(format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431 ") && answer.contains(r#"{"detail":"#), "{answer}");
        api.get("/healthz").await.expect_status(200);
    }
}

#[tokio::test]
async fn a_client_can_not_forge_where_links_lead() {
    let person = Person::with_picture(&Api::new(), &jpeg()).await;
    let link = person.picture().await.unwrap();
    let request = person.api.request("GET", "/api/user/me/").header("authorization", format!("JWT {}", person.access));
    let request = request
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-for", "1.2.3.4")
        .header("forwarded", "host=evil.example;proto=https")
        .header("x-host", "evil.example");
    assert_eq!(send(request).await.expect_status(200).json()["profile_pic"], json!(link));
}

#[tokio::test]
async fn a_sessions_address_is_the_connections_and_not_what_a_header_says() {
    let person = Person::new().await;
    let body = json!({ "email": person.email, "password": crate::support::PASSWORD });
    let request = person.api.request("POST", "/api/user/login/").header("x-forwarded-for", "203.0.113.9").json(&body);
    let access = send(request).await.expect_status(200).json()["tokens"]["access"].as_str().unwrap().to_owned();
    let sid = crate::support::claims(&access)["sid"].as_str().unwrap().to_owned();
    let key = format!("session:{{{}}}:{sid}", person.id);
    let noted = crate::support::redis(crate::support::stack(), &["HGET", &key, "ip"]);
    // Ours, as nginx sees it: behind Docker's bridge that is the gateway's.
    assert!(noted != "203.0.113.9" && noted.parse::<std::net::IpAddr>().is_ok(), "{noted}");
}

#[tokio::test]
async fn many_requests_at_once_over_few_connections_each_get_their_own_answer() {
    let people: Vec<Person> = vec![Person::new().await, Person::new().await, Person::new().await];
    let all: Vec<_> = (0..300)
        .map(|number| {
            let person = people[number % people.len()].clone();
            tokio::spawn(async move { person.me().await.expect_status(200).json()["id"] == json!(person.id) })
        })
        .collect();
    for one in all {
        assert!(one.await.unwrap());
    }
}
