//! What holds on every endpoint.

use serde_json::json;

use crate::support::{Api, Person, send};

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
