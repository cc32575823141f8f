//! Replicas that come and go.

use std::process::Command;
use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::containers::{
    KNOWN_WITHIN, ROOT, compose, container, containers, docker, inspect, is_healthy, printed, setting,
};
use crate::support::{Api, Asks, Load, PASSWORD, Person, jpeg, unique};

/// The one command of the README; what is not named falls back to one replica.
async fn scale(auth_api: usize, media_server: usize) {
    let (auth_api, media_server) = (format!("auth-api={auth_api}"), format!("media-server={media_server}"));
    printed(&compose(&["up", "-d", "--scale", &auth_api, "--scale", &media_server]));
    is_healthy("auth-api").await;
    is_healthy("media-server").await;
}

/// Somebody signed in, whose session every replica of auth-api has seen.
async fn known_to(replicas: &[Api]) -> Person {
    let person = Person::new().await;
    for replica in replicas {
        replica.get_as("/api/user/me/", &person.access).await.expect_status(200);
    }
    person
}

/// Within two seconds nobody lets this session in, and the person signs in again.
async fn is_signed_out(person: &Person, replicas: &[Api]) {
    let since = Instant::now();
    for replica in replicas {
        while replica.get_as("/api/user/me/", &person.access).await.status == 200 {
            assert!(since.elapsed() < KNOWN_WITHIN, "a replica still lets it in");
            sleep(Duration::from_millis(20)).await;
        }
    }
    for replica in replicas {
        replica.get_as("/api/user/me/", &person.access).await.expect_unauthorized();
        replica.post_json("/api/user/refresh/", &json!({ "refresh": person.refresh })).await.expect_status(401);
    }
    Person::sign_in(&person.api, &person.email).await.me().await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn a_session_whose_key_is_deleted_is_over_on_every_replica() {
    scale(2, 1).await;
    let front = format!("{}_front", setting("COMPOSE_PROJECT_NAME"));
    let of_front = format!("{{{{(index .NetworkSettings.Networks \"{front}\").IPAddress}}}}");
    let replicas: Vec<Api> = containers("auth-api")
        .iter()
        .map(|replica| Api::at(&format!("http://{}:8000", inspect(replica, &of_front))))
        .collect();
    assert_eq!(replicas.len(), 2);
    let redis = |arguments: &[&str]| printed(&compose(&[&["exec", "-T", "redis"], arguments].concat()));

    let person = known_to(&replicas).await;
    assert_eq!(redis(&["redis-cli", "DEL", &person.session_key()]), "1");
    is_signed_out(&person, &replicas).await;

    let (person, other) = (known_to(&replicas).await, known_to(&replicas).await);
    let second = Person::sign_in(&person.api, &person.email).await;
    let of_one = format!("redis-cli --scan --pattern 'session:{{{}}}:*' | xargs redis-cli DEL", person.id);
    assert_eq!(redis(&["sh", "-c", &of_one]), "2");
    is_signed_out(&second, &replicas).await;
    is_signed_out(&person, &replicas).await;
    other.me().await.expect_status(200);

    let (person, other) = (known_to(&replicas).await, known_to(&replicas).await);
    assert_eq!(redis(&["redis-cli", "FLUSHDB"]), "OK");
    is_signed_out(&person, &replicas).await;
    is_signed_out(&other, &replicas).await;
    scale(1, 1).await;
}

/// Sends the same request again and again, and is to be answered with `status`.
struct Client<R> {
    request: R,
    status: u16,
}

impl<R: Fn() -> RequestBuilder + Send + 'static> Asks for Client<R> {
    async fn ask(&mut self) -> Result<u16, String> {
        let asking = (self.request)().send();
        let answer = asking.await.map_err(|error| format!("{error:?}"))?;
        let status = answer.status().as_u16();
        let text = answer.bytes().await.map_err(|error| error.to_string())?;
        if status == self.status { Ok(status) } else { Err(format!("{status} {}", String::from_utf8_lossy(&text))) }
    }
}

/// Somebody who reads an account, and somebody who reads a picture.
async fn readers(load: &mut Load) {
    let person = Person::with_picture(&Api::new(), &jpeg()).await;
    let picture = person.picture().await.unwrap();
    let reader = person.clone();
    let me =
        move || reader.api.request("GET", "/api/user/me/").header("authorization", format!("JWT {}", reader.access));
    load.client("me", Client { request: me, status: 200 });
    load.client("picture", Client { request: move || person.api.request("GET", &picture), status: 200 });
}

/// Ends a load of which no request may fail.
async fn end(load: Load, what: &str) {
    let seen = load.end().await;
    let failed: Vec<_> = seen.iter().filter(|seen| seen.outcome.is_err()).collect();
    println!("{what}: {} of {} requests failed", failed.len(), seen.len());
    assert!(failed.is_empty() && seen.len() > 100, "{failed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn no_get_fails_while_replicas_come_and_go() {
    let mut load = Load::new(Duration::ZERO);
    for _ in 0..3 {
        readers(&mut load).await;
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
    end(load, "media-server 1 → 3 → 1 with one killed, auth-api 1 → 2 → 1, nginx reloaded").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn no_request_fails_while_a_service_is_replaced() {
    let mut load = Load::new(Duration::ZERO);
    readers(&mut load).await;
    let (person, api) = (Person::new().await, Api::new());
    let login = move || {
        person.api.request("POST", "/api/user/login/").json(&json!({ "email": person.email, "password": PASSWORD }))
    };
    load.client("login", Client { request: login, status: 200 });
    // Sent twice, it would be refused: the address is taken.
    let register = move || {
        let body = json!({ "email": format!("{}@example.com", unique()), "full_name": "Ann", "password": PASSWORD });
        api.request("POST", "/api/user/register/").json(&body)
    };
    load.client("register", Client { request: register, status: 201 });
    for service in ["auth-api", "media-server"] {
        let old = containers(service);
        let rolled = Command::new(format!("{ROOT}/deploy/roll")).arg(service).output().unwrap();
        printed(&rolled);
        is_healthy(service).await;
        assert!(containers(service).iter().all(|container| !old.contains(container)));
    }
    end(load, "both services replaced").await;
}
