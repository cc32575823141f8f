//! What holds on every endpoint.

use serde_json::json;

use crate::support::{Answer, Api, Person, jpeg, send};

const ENDPOINTS: [(&str, &str, &str, bool); 8] = [
    ("/api/user/login", "POST", "POST, OPTIONS", false),
    ("/api/user/register", "POST", "POST, OPTIONS", false),
    ("/api/user/refresh", "POST", "POST, OPTIONS", false),
    ("/api/user/logout", "POST", "POST, OPTIONS", false),
    ("/api/user/me", "GET", "GET, DELETE, HEAD, OPTIONS", true),
    ("/api/user/sessions", "GET", "GET, DELETE, HEAD, OPTIONS", true),
    ("/api/user/sessions/x", "DELETE", "DELETE, OPTIONS", true),
    ("/api/user/update", "PUT", "PUT, PATCH, OPTIONS", true),
];

#[tokio::test]
async fn a_path_answers_with_and_without_its_last_slash() {
    let api = Api::new();
    for (path, method, ..) in ENDPOINTS {
        let without = send(api.request(method, path)).await;
        let with = send(api.request(method, &format!("{path}/"))).await;
        assert_eq!((without.status, without.json()), (with.status, with.json()), "{path}");
        assert!(matches!(with.status, 400 | 401), "{path}: {}", with.status);
    }
}

#[tokio::test]
async fn another_method_is_405_with_allow_and_a_401_comes_before_it() {
    let person = Person::new().await;
    for (path, _, allow, is_guarded) in ENDPOINTS {
        for slash in ["", "/"] {
            let request = || person.api.request("PURGE", &format!("{path}{slash}"));
            if is_guarded {
                send(request()).await.expect_unauthorized();
            }
            let answer = send(request().header("authorization", format!("JWT {}", person.access))).await;
            answer.expect(405, &json!({ "detail": "Method \"PURGE\" not allowed." }));
            assert_eq!(answer.header("allow"), allow, "{path}");
        }
    }
}

#[tokio::test]
async fn options_is_204_with_allow_and_asks_no_token() {
    let api = Api::new();
    for (path, _, allow, _) in ENDPOINTS {
        let answer = send(api.request("OPTIONS", path)).await;
        assert_eq!((answer.status, answer.header("allow"), answer.text().as_str()), (204, allow, ""), "{path}");
    }
}

/// Checks that a response has both headers exactly once.
#[track_caller]
fn assert_hardened(answer: &Answer, cache_control: &str, what: &str) {
    for (name, value) in [("cache-control", cache_control), ("x-content-type-options", "nosniff")] {
        let values: Vec<_> = answer.headers.get_all(name).iter().collect();
        assert_eq!(values, [value], "{what}: {name}");
    }
}

#[tokio::test]
async fn every_json_response_is_no_store_and_nosniff() {
    let person = Person::new().await;
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"] {
        for (path, ..) in ENDPOINTS {
            if (method, path) == ("DELETE", "/api/user/sessions") {
                continue;
            }
            for access in ["", &person.access] {
                let request = person.api.request(method, path).header("authorization", format!("JWT {access}"));
                assert_hardened(&send(request).await, "no-store", &format!("{method} {path}"));
            }
        }
        for path in ["/", "/healthz", "/readyz/", "/images", "/api/user/media/none", "/api/user/x"] {
            let answer = send(person.api.request(method, path)).await;
            assert_hardened(&answer, "no-store", &format!("{method} {path}"));
        }
    }
    let long = person.api.request("POST", "/api/user/login/").body(vec![b' '; 15_000_000]);
    if let Ok(answer) = long.send().await {
        assert_eq!(answer.status(), 413);
        assert_hardened(&Answer::of(answer).await, "no-store", "413");
    }
    let keys = person.api.get("/.well-known/jwks.json").await;
    assert_hardened(&keys, "public, max-age=300", "jwks");
    let picture = Person::with_picture(&person.api, &jpeg()).await.picture().await.unwrap();
    for (name, value, status) in
        [("accept", "*/*", 200), ("range", "bytes=0-0", 206), ("if-none-match", "*", 304), ("x-a", "b", 200)]
    {
        for method in ["GET", "HEAD"] {
            let answer = send(person.api.request(method, &picture).header(name, value)).await;
            assert_eq!(answer.status, if (method, status) == ("HEAD", 206) { 200 } else { status });
            assert_hardened(&answer, "public, no-cache", name);
        }
    }
    let answer = send(person.api.request("GET", &picture).header("range", "bytes=999999-")).await;
    answer.expect_status(416);
    assert_hardened(&answer, "no-store", "416");
    let answer = send(person.api.request("GET", &format!("{picture}?size=7"))).await;
    answer.expect_status(400);
    assert_hardened(&answer, "no-store", "an unknown size");
}

#[tokio::test]
async fn a_message_repeats_at_most_a_hundred_characters_of_input() {
    let direct = Api::at(&crate::support::stack().auth_api);
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
async fn head_works_where_get_does() {
    let person = Person::new().await;
    let head = person.api.request("HEAD", "/api/user/me/").header("authorization", format!("JWT {}", person.access));
    let answer = send(head).await;
    assert_eq!((answer.status, answer.bytes.len()), (200, 0));
    assert_eq!(answer.header("content-length"), person.me().await.bytes.len().to_string());
}

#[tokio::test]
async fn an_unknown_path_is_404_in_json() {
    let api = Api::new();
    for path in
        ["/", "/api/user/", "/api/user", "/api/user/nobody", "/api/user/me/x", "/api/user/media/", "/favicon.ico"]
    {
        api.get(path).await.expect(404, &json!({ "detail": "Not found." }));
    }
}

#[tokio::test]
async fn an_endpoint_takes_all_three_types_of_body() {
    let api = Api::new();
    let person = Person::new().await;
    let password = crate::support::PASSWORD;
    let form = crate::support::Form::new().text("email", &person.email).text("password", password);
    api.post_form("/api/user/login/", form).await.expect_status(200);
    let encoded = format!("email={}&password={}", person.email.replace('@', "%40"), password.replace(' ', "+"));
    api.post("/api/user/login/", "application/x-www-form-urlencoded", encoded).await.expect_status(200);
    let json = json!({ "email": person.email, "password": password, "unknown": [1, { "a": null }] }).to_string();
    for content_type in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
        api.post("/api/user/login/", content_type, json.clone()).await.expect_status(200);
    }
    api.post("/api/user/login/", "application/json", format!("\u{feff}{json}")).await.expect_status(200);
}

#[tokio::test]
async fn an_answer_has_the_requests_id_once_and_passes_on_only_a_harmless_one() {
    let api = Api::new();
    for (sent, is_passed_on) in [("abc-DEF_1", true), ("a b", false), ("x\"y", false), (&"a".repeat(65), false)] {
        for path in ["/api/user/me/", "/api/user/media/none", "/healthz"] {
            let answer = send(api.request("GET", path).header("x-request-id", sent)).await;
            let ids: Vec<_> = answer.headers.get_all("x-request-id").iter().collect();
            assert_eq!(ids.len(), 1, "{path}");
            assert_eq!(ids[0].to_str().unwrap() == sent, is_passed_on, "{path} {sent}");
        }
    }
}

#[tokio::test]
async fn health_is_told_by_the_services_and_not_through_nginx() {
    let stack = crate::support::stack();
    for path in ["/healthz", "/readyz"] {
        for service in [&stack.auth_api, &stack.media_server] {
            Api::at(service).get(path).await.expect(200, &json!({ "status": "ok" }));
        }
        for disguised in [path, &format!("{path}/"), &format!("/{path}"), &path.replace('z', "%7a")] {
            Api::new().get(disguised).await.expect(404, &json!({ "detail": "Not found." }));
        }
    }
}
