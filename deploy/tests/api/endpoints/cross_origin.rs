//! CORS: which pages may call the API, and what they may read.

use crate::support::{Api, OwnStack, Response, TestUser, jpeg, send};

const APP: &str = "https://app.example.com";

const SETTING: (&str, &str) =
    ("CORS_ALLOWED_ORIGINS", "https://app.example.com, http://localhost:5173,https://*.example.org");

/// The CORS headers of a response.
fn cors(response: &Response) -> Vec<String> {
    let of_cors = response.headers.iter().filter(|(name, _)| name.as_str().starts_with("access-control-"));
    let mut headers: Vec<_> = of_cors.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    headers.sort();
    headers
}

fn has_vary(response: &Response) -> bool {
    response.headers.get_all("vary").iter().any(|value| value == "Origin")
}

async fn from(api: &Api, origin: &str, method: &str, path: &str) -> Response {
    let request = api.request(method, path).header("origin", origin);
    send(if method == "OPTIONS" { request.header("access-control-request-method", "POST") } else { request }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_to_an_allowed_origin_can_be_read_by_its_page() {
    let stack = OwnStack::start(&[SETTING]);
    let api = &stack.api;
    let user = TestUser::with_picture(api, &jpeg()).await;
    let expected = |origin: &str| {
        vec![
            "access-control-allow-credentials: true".to_owned(),
            format!("access-control-allow-origin: {origin}"),
            "access-control-expose-headers: Retry-After, X-Request-Id".to_owned(),
        ]
    };
    for origin in [APP, "http://localhost:5173", "https://a.example.org"] {
        let me = send(user.request("GET", "/api/user/me/").header("origin", origin)).await;
        assert_eq!((cors(me.expect_status(200)), has_vary(&me)), (expected(origin), true));
        // Responses of auth-api, and of nginx itself.
        for (method, path, status) in [
            ("GET", "/api/user/me/", 401),
            ("POST", "/api/user/login/", 400),
            ("GET", "/api/user/login/", 405),
            ("GET", "/nothing", 404),
            ("GET", "/readyz", 404),
            ("GET", "/health", 200),
            ("PATCH", "/health", 405),
        ] {
            let response = from(api, origin, method, path).await;
            assert_eq!(
                (response.status, cors(&response), has_vary(&response)),
                (status, expected(origin), true),
                "{path}"
            );
        }
        let preflight = from(api, origin, "OPTIONS", "/api/user/update/").await;
        let mut with_methods = expected(origin);
        with_methods.extend([
            "access-control-allow-headers: Authorization, Content-Type".to_owned(),
            "access-control-allow-methods: PUT, PATCH, OPTIONS".to_owned(),
            "access-control-max-age: 600".to_owned(),
        ]);
        with_methods.sort();
        assert_eq!((cors(preflight.expect_status(204)), has_vary(&preflight)), (with_methods, true));
    }
    for origin in [
        "null",
        "https://evil.example",
        "https://app.example.com:8443",
        "https://a.b.example.org",
        "",
        "https://app.example.com.evil.example",
    ] {
        for (method, path) in [("GET", "/api/user/me/"), ("OPTIONS", "/api/user/update/"), ("GET", "/nothing")] {
            let response = from(api, origin, method, path).await;
            assert_eq!((cors(&response), has_vary(&response)), (vec![], true), "{origin} {path}");
        }
    }
    // A page of any origin may draw a picture on a canvas.
    let picture = user.picture().await.unwrap();
    let missing = picture.replace(".jpg", ".png");
    for (path, status) in [(picture.clone(), 200), (format!("{picture}?size=64"), 200), (missing, 404)] {
        for origin in [APP, "https://evil.example"] {
            // The second response is of nginx's cache.
            for _ in 0..2 {
                let response = from(api, origin, "GET", &path).await;
                let all = "access-control-allow-origin: *".to_owned();
                assert!(response.status == status && cors(&response).contains(&all), "{path} {:?}", response.headers);
                assert!(!cors(&response).iter().any(|header| header.contains("credentials")), "{path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_only_pictures_have_a_header_of_cors() {
    let api = Api::new();
    let user = TestUser::with_picture(&api, &jpeg()).await;
    for (method, path) in [("GET", "/api/user/me/"), ("OPTIONS", "/api/user/update/"), ("GET", "/nothing")] {
        let response = from(&api, APP, method, path).await;
        assert_eq!((cors(&response), has_vary(&response)), (vec![], false), "{path}");
    }
    let picture = from(&api, APP, "GET", &user.picture().await.unwrap()).await;
    assert_eq!((picture.status, cors(&picture)), (200, vec!["access-control-allow-origin: *".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_origins_can_be_allowed() {
    let origins: Vec<_> = (0..4000).map(|at| format!("https://o{at}.example.com")).collect();
    let stack = OwnStack::start(&[("CORS_ALLOWED_ORIGINS", &origins.join(","))]);
    let allowed = from(&stack.api, "https://o3999.example.com", "GET", "/api/user/me/").await;
    assert_eq!(allowed.header("access-control-allow-origin"), "https://o3999.example.com");
    let other = from(&stack.api, "https://o4000.example.com", "POST", "/api/user/login/").await;
    assert_eq!(cors(&other), Vec::<String>::new());
    other.expect_status(400);
}
