//! A service or a store is stopped, killed or hung, and recovers. Each test has a stack of its own.

use std::time::Duration;

use deploy::{Service, Signal};
use futures_util::future::join_all;
use image::ImageFormat;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::support::{
    Api, OwnStack, PASSWORD, TestUser, assert_unavailable, claims, drawn, jpeg, redis, register, registration_form,
    run_under_fault, send, unique_email, wait_until_ok, wait_until_recovered, wait_until_unavailable, within_deadline,
};

/// Stops, kills and hangs `part`. Each time every endpoint that needs it is 503 in time, pictures are still delivered,
/// and all endpoints recover.
async fn assert_outage_fails_closed_and_recovers(part: Service) {
    let stack = OwnStack::start(&[]);
    let user = TestUser::with_picture(&stack.api, &jpeg()).await;
    let picture = user.picture().await.unwrap();
    for how in ["stopped", "killed", "hung"] {
        match how {
            "stopped" => stack.stop(part).unwrap(),
            "killed" => stack.kill(part).unwrap(),
            _ => stack.signal(part, Signal::STOP).unwrap(),
        }
        for round in 0..2 {
            assert_outage(&format!("{part:?} {how}, round {round}"), &stack, &user, part).await;
            assert_eq!(within_deadline("picture", stack.api.get(&picture)).await.status, 200);
        }
        if how == "hung" {
            stack.signal(part, Signal::CONT).unwrap();
        } else {
            stack.restart(part).unwrap();
        }
        wait_until_recovered(&user).await;
    }
}

async fn assert_outage(what: &str, stack: &OwnStack, user: &TestUser, part: Service) {
    let what = |endpoint: &str| format!("{what}: {endpoint}");
    wait_until_unavailable(&what("me"), async || user.me().await).await;
    wait_until_unavailable(&what("refresh"), async || user.refresh().await).await;
    let login = within_deadline(&what("login"), TestUser::login(&stack.api, &user.email, PASSWORD)).await;
    assert_unavailable(&what("login"), &login);
    let update = within_deadline(&what("update"), user.update(&json!({ "full_name": "X" }))).await;
    assert_unavailable(&what("update"), &update);
    if part == Service::Postgres {
        assert_unavailable(&what("register"), &within_deadline(&what("register"), register(&stack.api)).await);
    }
    let auth_api = Api::at(&stack.env().auth_api);
    assert_eq!(auth_api.get("/healthz").await.status, 200);
    assert_eq!(within_deadline(&what("readyz"), auth_api.get("/readyz")).await.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_outage_fails_closed_with_503_and_recovers() {
    assert_outage_fails_closed_and_recovers(Service::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_outage_fails_closed_with_503_and_recovers() {
    assert_outage_fails_closed_and_recovers(Service::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_to_a_hung_redis_are_503_in_time() {
    let stack = OwnStack::start(&[]);
    let user = TestUser::at(&stack.api).await;
    stack.signal(Service::Redis, Signal::STOP).unwrap();
    for response in join_all((0..500).map(|_| within_deadline("me", user.me()))).await {
        assert_unavailable("me", &response);
    }
    stack.signal(Service::Redis, Signal::CONT).unwrap();
    wait_until_recovered(&user).await;
}

/// Redis loses no session unless it is flushed.
#[tokio::test(flavor = "multi_thread")]
async fn under_load_a_hung_restarted_or_flushed_redis_causes_503_only_and_recovers() {
    let stack = OwnStack::start(&[]);
    run_under_fault("Redis hangs", &stack.api, true, async |_| hang(&stack, Service::Redis).await).await;
    run_under_fault("Redis restarts", &stack.api, false, async |_| stack.restart(Service::Redis).unwrap()).await;
    let flush = || assert_eq!(redis(stack.env(), &["FLUSHALL"]), "OK");
    run_under_fault("Redis is flushed", &stack.api, false, async |deletion| deletion.record(flush)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_a_hung_or_restarted_postgres_causes_503_only_and_recovers() {
    let stack = OwnStack::start(&[]);
    run_under_fault("Postgres hangs", &stack.api, true, async |_| hang(&stack, Service::Postgres).await).await;
    run_under_fault("Postgres restarts", &stack.api, false, async |_| stack.restart(Service::Postgres).unwrap()).await;
}

/// Longer than any cache entry and any request timeout.
const HANG: Duration = Duration::from_secs(5);

async fn hang(stack: &OwnStack, part: Service) {
    stack.signal(part, Signal::STOP).unwrap();
    sleep(HANG).await;
    stack.signal(part, Signal::CONT).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn media_server_outage_makes_uploads_503_changes_nothing_and_recovers() {
    let stack = OwnStack::start(&[]);
    let user = TestUser::with_picture(&stack.api, &jpeg()).await;
    let before = user.me().await.json();
    stack.stop(Service::MediaServer).unwrap();
    let picture = drawn(ImageFormat::Png, 30, 30);
    assert_unavailable("update", &within_deadline("update", user.upload(&picture)).await);
    user.me().await.expect(200, &before);
    let email = unique_email();
    let register_form = || {
        let form = registration_form(&email).file("profile_pic", "a.png", "image/png", &picture);
        stack.api.post_form("/api/user/register/", form)
    };
    assert_unavailable("register", &within_deadline("register", register_form()).await);
    register(&stack.api).await.expect_status(201);
    user.update(&json!({ "full_name": "Ann Other" })).await.expect_status(200);
    stack.restart(Service::MediaServer).unwrap();
    wait_until_ok("picture", async || stack.api.get(before["profile_pic"].as_str().unwrap()).await.status).await;
    register_form().await.expect_status(201);
}

/// The staleness bound of a cached picture.
const STALENESS_MAX: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_picture_stays_deleted_if_media_server_dies_right_after() {
    let stack = OwnStack::start(&[]);
    let user = TestUser::with_picture(&stack.api, &jpeg()).await;
    let picture = user.picture().await.unwrap();
    // Fills the cache of nginx.
    assert_eq!(stack.api.get(&picture).await.status, 200);
    user.update(&json!({ "profile_pic": null })).await.expect_status(200);
    stack.kill(Service::MediaServer).unwrap();
    sleep(STALENESS_MAX).await;
    assert_unavailable("picture", &within_deadline("picture", stack.api.get(&picture)).await);
    stack.restart(Service::MediaServer).unwrap();
    assert_eq!(stack.api.get(&picture).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_api_outage_is_503_in_json_from_nginx_and_pictures_are_still_delivered() {
    let stack = OwnStack::start(&[]);
    let user = TestUser::with_picture(&stack.api, &jpeg()).await;
    let picture = user.picture().await.unwrap();
    stack.stop(Service::AuthApi).unwrap();
    assert_unavailable("me", &within_deadline("me", user.me()).await);
    assert_eq!(stack.api.get(&picture).await.status, 200);
    stack.restart(Service::AuthApi).unwrap();
    wait_until_recovered(&user).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_shutdown_completes_requests_in_flight() {
    let stack = OwnStack::start(&[]);
    let api = Api::at(&stack.env().auth_api);
    let user = TestUser::at(&stack.api).await;
    // A partial request, which must not delay the exit.
    let mut partial = TcpStream::connect(stack.env().auth_api.trim_start_matches("http://")).await.unwrap();
    partial.write_all(b"POST /api/user/login/ HTT").await.unwrap();
    // More logins than cores: they take a while.
    let logins: Vec<_> = (0..24)
        .map(|_| {
            let (api, email) = (api.clone(), user.email.clone());
            tokio::spawn(async move { TestUser::login(&api, &email, PASSWORD).await.status })
        })
        .collect();
    sleep(Duration::from_millis(100)).await;
    let since = Instant::now();
    stack.stop(Service::AuthApi).unwrap();
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    for login in logins {
        assert_eq!(login.await.unwrap(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_beyond_the_hashing_queue_are_503_at_once_and_the_rest_succeeds() {
    let stack = OwnStack::start(&[("HASHING_QUEUE_MAX", "4"), ("HASHING_THREADS", "1")]);
    let user = TestUser::at(&stack.api).await;
    let logins = join_all((0..60).map(|_| TestUser::login(&stack.api, &user.email, PASSWORD)));
    let (logins, me) = tokio::join!(logins, user.me());
    me.expect_status(200);
    let (served, refused): (Vec<_>, Vec<_>) = logins.iter().partition(|response| response.status == 200);
    for response in refused {
        assert_unavailable("login", response);
    }
    assert!((5..60).contains(&served.len()), "{}", served.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_public_url_overrides_the_host_header_in_every_link() {
    let stack = OwnStack::start(&[("PUBLIC_URL", "https://users.example.com")]);
    let user = TestUser::with_picture(&stack.api, &jpeg()).await;
    let me = send(user.request("GET", "/api/user/me/").header("host", "evil.example")).await.json();
    let link = me["profile_pic"].as_str().unwrap();
    assert!(link.starts_with("https://users.example.com/api/user/media/"), "{link}");
    assert_eq!(claims(&user.access)["iss"], "https://users.example.com");
    for path in ["openid-configuration", "oauth-authorization-server"] {
        let document = stack.api.get(&format!("/.well-known/{path}")).await;
        assert_eq!(document.expect_status(200).header("cache-control"), "public, max-age=300");
        assert_eq!(document.json()["jwks_uri"], "https://users.example.com/.well-known/jwks.json");
    }
}
