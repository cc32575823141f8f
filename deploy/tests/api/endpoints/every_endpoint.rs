//! Behavior that all endpoints share.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{Api, Form, PASSWORD, Response, TestUser, jpeg, send, stack};

const ENDPOINTS: [(&str, &str, &str, bool); 9] = [
    ("/api/user/login", "POST", "POST, OPTIONS", false),
    ("/api/user/register", "POST", "POST, OPTIONS", false),
    ("/api/user/refresh", "POST", "POST, OPTIONS", false),
    ("/api/user/logout", "POST", "POST, OPTIONS", false),
    ("/api/user/me", "GET", "GET, DELETE, HEAD, OPTIONS", true),
    ("/api/user/me/delete", "POST", "POST, OPTIONS", true),
    ("/api/user/sessions", "GET", "GET, DELETE, HEAD, OPTIONS", true),
    ("/api/user/sessions/x", "DELETE", "DELETE, OPTIONS", true),
    ("/api/user/update", "PUT", "PUT, PATCH, OPTIONS", true),
];

#[test]
fn list_of_endpoints_matches_the_router() {
    let table = auth_api::routes::routes();
    let endpoints: BTreeSet<_> = table
        .endpoints()
        .filter(|(_, path, _)| path.starts_with("/api/") && !path.contains("/docs") && *path != auth_api::openapi::PATH)
        .map(|(_, path, needs_token)| (path.replace(":id", "x"), needs_token))
        .collect();
    let listed = ENDPOINTS.iter().map(|(path, _, _, needs_token)| ((*path).to_owned(), *needs_token)).collect();
    assert_eq!(endpoints, listed);
}

#[tokio::test]
async fn the_trailing_slash_is_optional() {
    let api = Api::new();
    for (path, method, ..) in ENDPOINTS {
        let without = send(api.request(method, path)).await;
        let with = send(api.request(method, &format!("{path}/"))).await;
        assert_eq!((without.status, without.json()), (with.status, with.json()), "{path}");
        assert!(matches!(with.status, 400 | 401), "{path}: {}", with.status);
    }
}

#[tokio::test]
async fn an_unsupported_method_is_405_with_allow_after_401() {
    let user = TestUser::new().await;
    for (path, _, allow, needs_token) in ENDPOINTS {
        for slash in ["", "/"] {
            let path = format!("{path}{slash}");
            if needs_token {
                send(user.api.request("PURGE", &path)).await.expect_unauthorized();
            }
            let response = send(user.request("PURGE", &path)).await;
            response.expect(405, &json!({ "detail": "Method \"PURGE\" not allowed." }));
            assert_eq!(response.header("allow"), allow, "{path}");
        }
    }
}

#[tokio::test]
async fn options_is_204_with_allow_and_needs_no_token() {
    let api = Api::new();
    for (path, _, allow, _) in ENDPOINTS {
        let response = send(api.request("OPTIONS", path)).await;
        assert_eq!((response.status, response.header("allow"), response.text().as_str()), (204, allow, ""), "{path}");
    }
}

/// Asserts that a response has both headers exactly once.
#[track_caller]
fn assert_hardened(response: &Response, cache_control: &str, what: &str) {
    for (name, value) in [("cache-control", cache_control), ("x-content-type-options", "nosniff")] {
        let values: Vec<_> = response.headers.get_all(name).iter().collect();
        assert_eq!(values, [value], "{what}: {name}");
    }
}

#[tokio::test]
async fn every_json_response_is_no_store_and_nosniff() {
    let user = TestUser::new().await;
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"] {
        for (path, ..) in ENDPOINTS {
            if (method, path) == ("DELETE", "/api/user/sessions") {
                continue;
            }
            for access in ["", &user.access] {
                let response = send(user.api.request_as(access, method, path)).await;
                assert_hardened(&response, "no-store", &format!("{method} {path}"));
            }
        }
        for path in ["/", "/healthz", "/readyz/", "/images", "/api/user/media/none", "/api/user/x"] {
            let response = send(user.api.request(method, path)).await;
            assert_hardened(&response, "no-store", &format!("{method} {path}"));
        }
    }
    let long = user.api.request("POST", "/api/user/login/").body(vec![b' '; 15_000_000]);
    if let Ok(response) = long.send().await {
        assert_eq!(response.status(), 413);
        assert_hardened(&Response::of(response).await, "no-store", "413");
    }
    let keys = user.api.get("/.well-known/jwks.json").await;
    assert_hardened(&keys, "public, max-age=300", "jwks");
    let picture = TestUser::with_picture(&user.api, &jpeg()).await.picture().await.unwrap();
    for (name, value, status) in
        [("accept", "*/*", 200), ("range", "bytes=0-0", 206), ("if-none-match", "*", 304), ("x-a", "b", 200)]
    {
        for method in ["GET", "HEAD"] {
            let response = send(user.api.request(method, &picture).header(name, value)).await;
            assert_eq!(response.status, if (method, status) == ("HEAD", 206) { 200 } else { status });
            assert_hardened(&response, "public, no-cache", name);
        }
    }
    let response = user.api.get_with(&picture, &[("range", "bytes=999999-")]).await;
    response.expect_status(416);
    assert_hardened(&response, "no-store", "416");
    let response = user.api.get(&format!("{picture}?size=7")).await;
    response.expect_status(400);
    assert_hardened(&response, "no-store", "an unknown size");
}

#[tokio::test]
async fn a_message_repeats_at_most_a_hundred_characters_of_input() {
    let direct = Api::at(&stack().auth_api);
    for api in [Api::new(), direct] {
        let long = "X".repeat(1000);
        let login = || api.request("POST", "/api/user/login/").body("x");
        for request in [
            api.request(&long, "/api/user/login/"),
            login().header("content-type", format!("text/{long}")),
            login().header("content-type", "application/json").header("content-encoding", &long),
        ] {
            let detail = send(request).await.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.chars().count() <= 150 && detail.contains(&"X".repeat(32)), "{detail}");
        }
    }
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let user = TestUser::new().await;
    let response = send(user.request("HEAD", "/api/user/me/")).await;
    assert_eq!((response.status, response.bytes.len()), (200, 0));
    assert_eq!(response.header("content-length"), user.me().await.bytes.len().to_string());
}

#[tokio::test]
async fn an_unknown_path_is_404_in_json() {
    let api = Api::new();
    for path in
        ["/", "/api/user/", "/api/user", "/api/user/unknown", "/api/user/me/x", "/api/user/media/", "/favicon.ico"]
    {
        api.get(path).await.expect(404, &json!({ "detail": "Not found." }));
    }
}

#[tokio::test]
async fn an_endpoint_accepts_json_urlencoded_and_multipart_bodies() {
    let api = Api::new();
    let user = TestUser::new().await;
    let form = Form::new().text("email", &user.email).text("password", PASSWORD);
    api.post_form("/api/user/login/", form).await.expect_status(200);
    let encoded = format!("email={}&password={}", user.email.replace('@', "%40"), PASSWORD.replace(' ', "+"));
    api.post("/api/user/login/", "application/x-www-form-urlencoded", encoded).await.expect_status(200);
    let json = json!({ "email": user.email, "password": PASSWORD, "unknown": [1, { "a": null }] }).to_string();
    for content_type in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
        api.post("/api/user/login/", content_type, json.clone()).await.expect_status(200);
    }
    api.post("/api/user/login/", "application/json", format!("\u{feff}{json}")).await.expect_status(200);
}

#[tokio::test]
async fn a_response_has_one_request_id_and_only_a_valid_one_of_the_client_is_reused() {
    let api = Api::new();
    for (sent, is_reused) in [("abc-DEF_1", true), ("a b", false), ("x\"y", false), (&"a".repeat(65), false)] {
        for path in ["/api/user/me/", "/api/user/media/none", "/healthz"] {
            let response = api.get_with(path, &[("x-request-id", sent)]).await;
            let ids: Vec<_> = response.headers.get_all("x-request-id").iter().collect();
            assert_eq!(ids.len(), 1, "{path}");
            assert_eq!(ids[0].to_str().unwrap() == sent, is_reused, "{path} {sent}");
        }
    }
}

#[tokio::test]
async fn health_checks_are_served_by_the_services_and_not_through_nginx() {
    let stack = stack();
    for path in ["/healthz", "/readyz"] {
        for service in [&stack.auth_api, &stack.media_server] {
            Api::at(service).get(path).await.expect(200, &json!({ "status": "ok" }));
        }
        for variant in [path, &format!("{path}/"), &format!("/{path}"), &path.replace('z', "%7a")] {
            Api::new().get(variant).await.expect(404, &json!({ "detail": "Not found." }));
        }
    }
}
