//! Scaling and rolling updates.

use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::json;
use tokio::time::sleep;

use crate::containers::{
    STALENESS_MAX, compose, container, containers, docker, inspect, printed, script, setting, wait_until_healthy,
};
use crate::support::{Api, LoadClient, LoadGenerator, PASSWORD, TestUser, jpeg, registration, wait_until};

/// Runs the command of the README. A service that it does not name is scaled to one replica.
async fn scale(auth_api: usize, media_server: usize) {
    let (auth_api, media_server) = (format!("auth-api={auth_api}"), format!("media-server={media_server}"));
    printed(&compose(&["up", "-d", "--scale", &auth_api, "--scale", &media_server]));
    wait_until_healthy("auth-api").await;
    wait_until_healthy("media-server").await;
}

/// Signs in a user whose session every replica of auth-api has cached.
async fn user_cached_by(replicas: &[Api]) -> TestUser {
    let user = TestUser::new().await;
    for replica in replicas {
        user.via(replica).me().await.expect_status(200);
    }
    user
}

/// Waits until every replica refuses the session, within the staleness bound; the user can sign in again.
async fn wait_until_signed_out(user: &TestUser, replicas: &[Api]) {
    let at_replicas: Vec<_> = replicas.iter().map(|replica| user.via(replica)).collect();
    let is_refused = async || {
        let mut refused = true;
        for user in &at_replicas {
            refused &= user.me().await.status != 200;
        }
        refused
    };
    wait_until("every replica refuses the session", STALENESS_MAX, is_refused).await;
    for user in &at_replicas {
        user.me().await.expect_unauthorized();
        user.refresh().await.expect_status(401);
    }
    user.sign_in_again().await.me().await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn a_deleted_session_key_revokes_the_session_on_every_replica() {
    scale(2, 1).await;
    let front = format!("{}_front", setting("COMPOSE_PROJECT_NAME"));
    let of_front = format!("{{{{(index .NetworkSettings.Networks \"{front}\").IPAddress}}}}");
    let replicas: Vec<Api> = containers("auth-api")
        .iter()
        .map(|replica| Api::at(&format!("http://{}:8000", inspect(replica, &of_front))))
        .collect();
    assert_eq!(replicas.len(), 2);
    let redis = |arguments: &[&str]| printed(&compose(&[&["exec", "-T", "redis"], arguments].concat()));

    let user = user_cached_by(&replicas).await;
    assert_eq!(redis(&["redis-cli", "DEL", &user.session_key()]), "1");
    wait_until_signed_out(&user, &replicas).await;

    let (user, other) = (user_cached_by(&replicas).await, user_cached_by(&replicas).await);
    let second = user.sign_in_again().await;
    let of_one = format!("redis-cli --scan --pattern 'session:{{{}}}:*' | xargs redis-cli DEL", user.id);
    assert_eq!(redis(&["sh", "-c", &of_one]), "2");
    wait_until_signed_out(&second, &replicas).await;
    wait_until_signed_out(&user, &replicas).await;
    other.me().await.expect_status(200);

    let (user, other) = (user_cached_by(&replicas).await, user_cached_by(&replicas).await);
    assert_eq!(redis(&["redis-cli", "FLUSHDB"]), "OK");
    wait_until_signed_out(&user, &replicas).await;
    wait_until_signed_out(&other, &replicas).await;
    scale(1, 1).await;
}

/// Repeats a request, whose response must have this status.
struct Client<R> {
    request: R,
    status: u16,
}

impl<R: Fn() -> RequestBuilder + Send + 'static> LoadClient for Client<R> {
    async fn request(&mut self) -> Result<u16, String> {
        let sending = (self.request)().send();
        let response = sending.await.map_err(|error| format!("{error:?}"))?;
        let status = response.status().as_u16();
        let text = response.bytes().await.map_err(|error| error.to_string())?;
        if status == self.status { Ok(status) } else { Err(format!("{status} {}", String::from_utf8_lossy(&text))) }
    }
}

/// Adds a client that reads an account, and one that reads a picture.
async fn add_readers(load: &mut LoadGenerator) {
    let user = TestUser::with_picture(&Api::new(), &jpeg()).await;
    let picture = user.picture().await.unwrap();
    let reader = user.clone();
    let me = move || reader.request("GET", "/api/user/me/");
    load.add("me", Client { request: me, status: 200 });
    load.add("picture", Client { request: move || user.api.request("GET", &picture), status: 200 });
}

/// Stops a load, and asserts that no request failed.
async fn assert_none_failed(load: LoadGenerator, what: &str) {
    let samples = load.stop().await;
    let failed: Vec<_> = samples.iter().filter(|sample| sample.outcome.is_err()).collect();
    println!("{what}: {} of {} requests failed", failed.len(), samples.len());
    assert!(failed.is_empty() && samples.len() > 100, "{failed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn no_get_fails_while_services_are_scaled_and_a_replica_is_killed() {
    let mut load = LoadGenerator::new(Duration::ZERO);
    for _ in 0..3 {
        add_readers(&mut load).await;
    }
    let pause = || sleep(Duration::from_secs(3));
    scale(1, 3).await;
    pause().await;
    printed(&docker(&["kill", containers("media-server").first().unwrap()]));
    pause().await;
    scale(2, 3).await;
    pause().await;
    scale(2, 1).await;
    pause().await;
    printed(&docker(&["kill", "--signal", "HUP", &container("nginx")]));
    pause().await;
    scale(1, 1).await;
    pause().await;
    assert_none_failed(load, "media-server 1 → 3 → 1 with one killed, auth-api 1 → 2 → 1, nginx reloaded").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn no_request_fails_during_a_rolling_update() {
    let mut load = LoadGenerator::new(Duration::ZERO);
    add_readers(&mut load).await;
    let (user, api) = (TestUser::new().await, Api::new());
    let login = move || {
        user.api.request("POST", "/api/user/login/").json(&json!({ "email": user.email, "password": PASSWORD }))
    };
    load.add("login", Client { request: login, status: 200 });
    // A registration that nginx sends twice would be refused: the e-mail is taken.
    let register = move || api.request("POST", "/api/user/register/").json(&registration());
    load.add("register", Client { request: register, status: 201 });
    for service in ["auth-api", "media-server"] {
        let old = containers(service);
        printed(&script(&[], "roll", &[service]));
        wait_until_healthy(service).await;
        assert!(containers(service).iter().all(|container| !old.contains(container)));
    }
    printed(&script(&[], "roll", &["nginx"]));
    // The documented commands work with containers of other numbers.
    let keys = printed(&compose(&["run", "--rm", "-T", "--no-deps", "auth-api", "keys", "list"]));
    assert!(keys.contains("signs"), "{keys}");
    sleep(STALENESS_MAX).await;
    assert_none_failed(load, "both services replaced, nginx reloaded").await;
}
