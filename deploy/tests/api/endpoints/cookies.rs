//! The refresh token in a cookie, for pages in browsers.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::{OwnStack, PASSWORD, Response, TestUser, claims, send};

const APP: &str = "https://app.example.com";
const OTHER: &str = "https://evil.example";

fn start() -> OwnStack {
    OwnStack::start(&[("CORS_ALLOWED_ORIGINS", APP), ("COOKIE_SAMESITE", "none")])
}

/// Signs in as a page of `APP` does.
async fn sign_in(user: &TestUser) -> Response {
    let body = json!({ "email": user.email, "password": PASSWORD, "cookie": true });
    send(user.api.request("POST", "/api/user/login/").header("origin", APP).json(&body)).await
}

/// The value and the attributes of the cookie that a response sets.
fn cookie(response: &Response) -> (String, Vec<String>) {
    let mut parts = response.header("set-cookie").split("; ").map(ToOwned::to_owned);
    let (name, value) = parts.next().unwrap().split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(name, "__Secure-refresh");
    (value, parts.collect())
}

/// A request of a page with the cookie and no body.
fn with_cookie(user: &TestUser, path: &str, token: &str) -> RequestBuilder {
    user.api.request("POST", path).header("cookie", format!("theme=dark; __Secure-refresh={token}"))
}

const FORBIDDEN: &str = "CSRF Failed: Origin checking failed.";
const REMOVED: [&str; 5] = ["Max-Age=0", "Path=/api/user/", "Secure", "HttpOnly", "SameSite=None"];

#[tokio::test(flavor = "multi_thread")]
async fn a_page_signs_in_refreshes_and_signs_out_by_cookie() {
    let stack = start();
    let user = TestUser::at(&stack.api).await;
    let signed_in = sign_in(&user).await;
    let tokens = &signed_in.expect_status(200).json()["tokens"];
    assert_eq!(tokens.as_object().unwrap().keys().collect::<Vec<_>>(), ["access"]);
    let (first, attributes) = cookie(&signed_in);
    assert_eq!(attributes, ["Max-Age=1209600", "Path=/api/user/", "Secure", "HttpOnly", "SameSite=None"]);
    assert_eq!(claims(&first)["token_type"], "refresh");

    let refreshed = send(with_cookie(&user, "/api/user/refresh/", &first).header("origin", APP)).await;
    let body = refreshed.expect_status(200).json();
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["access"]);
    let (second, _) = cookie(&refreshed);
    assert_ne!(first, second);
    // A page of the service's own origin needs no setting; an empty object is no body.
    let own = with_cookie(&user, "/api/user/refresh/", &second).header("sec-fetch-site", "same-origin");
    let refreshed = send(own.json(&json!({}))).await;
    let access = refreshed.expect_status(200).json()["access"].as_str().unwrap().to_owned();
    user.api.get_as("/api/user/me/", &access).await.expect_status(200);
    let (third, _) = cookie(&refreshed);

    let signed_out = send(with_cookie(&user, "/api/user/logout/", &third).header("origin", APP)).await;
    signed_out.expect_status(204);
    assert_eq!(cookie(&signed_out), (String::new(), REMOVED.map(ToOwned::to_owned).to_vec()));
    user.api.get_as("/api/user/me/", &access).await.expect_status(401);
    let refused = send(with_cookie(&user, "/api/user/refresh/", &third).header("origin", APP)).await;
    refused.expect_status(401);
    assert_eq!(cookie(&refused).0, "");
    // Signing out again is no error.
    send(with_cookie(&user, "/api/user/logout/", &third).header("origin", APP)).await.expect_status(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_can_neither_refresh_nor_sign_a_user_out() {
    let stack = start();
    let user = TestUser::at(&stack.api).await;
    let (token, _) = cookie(sign_in(&user).await.expect_status(200));
    for path in ["/api/user/refresh/", "/api/user/logout/"] {
        let request = || with_cookie(&user, path, &token);
        for request in [
            request(),
            request().header("origin", OTHER),
            request().header("origin", "null"),
            request().header("sec-fetch-site", "same-site"),
            request().header("origin", OTHER).header("sec-fetch-site", "cross-site"),
        ] {
            let refused = send(request).await;
            refused.expect(403, &json!({ "detail": FORBIDDEN }));
            assert!(!refused.headers.contains_key("set-cookie"));
        }
    }
    // Nor can it sign a user in to another account.
    let body = json!({ "email": user.email, "password": PASSWORD, "cookie": true });
    let sent = user.api.request("POST", "/api/user/login/").header("origin", OTHER).json(&body);
    send(sent).await.expect(403, &json!({ "detail": FORBIDDEN }));
    send(with_cookie(&user, "/api/user/refresh/", &token).header("origin", APP)).await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_body_is_used_and_not_the_cookie() {
    let stack = start();
    let [user, other] = [TestUser::at(&stack.api).await, TestUser::at(&stack.api).await];
    let (of_other, _) = cookie(sign_in(&other).await.expect_status(200));
    let request = |origin: &str, body: &Value| {
        with_cookie(&user, "/api/user/refresh/", &of_other).header("origin", origin).json(body)
    };
    // The origin does not matter then.
    let refreshed = send(request(OTHER, &json!({ "refresh": user.refresh }))).await;
    let tokens = refreshed.expect_status(200).json();
    assert!(!refreshed.headers.contains_key("set-cookie"));
    assert_eq!(claims(tokens["refresh"].as_str().unwrap())["user_id"], json!(user.id));
    send(request(APP, &json!({ "refresh": "" }))).await.expect_field("refresh", &["This field may not be blank."]);
    // Of two cookies of the name, none is trusted.
    let two = user.api.request("POST", "/api/user/refresh/").header("origin", APP);
    let two = two.header("cookie", format!("__Secure-refresh={of_other}; __Secure-refresh={}", user.refresh));
    send(two).await.expect_status(401);
    let none = send(user.api.request("POST", "/api/user/refresh/").header("origin", APP)).await;
    none.expect_field("refresh", &["This field is required."]);
    let wrong = json!({ "email": user.email, "password": PASSWORD, "cookie": "perhaps" });
    user.api.post_json("/api/user/login/", &wrong).await.expect_field("cookie", &["Must be a valid boolean."]);
}
