//! A part of the stack is away, hung, or comes back. Each test has a stack of its own.

use std::time::Duration;

use deploy::{Options, Part, Signal, Stack};
use image::ImageFormat;
use serde_json::json;

use tokio::time::Instant;

use crate::support::{
    Answer, Api, Form, PASSWORD, Person, drawn, endure, is_back, is_in_order, is_unavailable, jpeg, redis, send,
    turns_unavailable, unique, within_deadline,
};

fn start() -> Stack {
    Stack::start(Options::scratch().unwrap()).unwrap()
}

async fn register(api: &Api) -> Answer {
    let body = json!({ "email": format!("{}@example.com", unique()), "full_name": "Ann", "password": PASSWORD });
    api.post_json("/api/user/register/", &body).await
}

/// Stopped, killed and hung; each time every endpoint that needs `part` is 503 in time, pictures go on, and all is in
/// order by itself after.
async fn goes_away_and_comes_back(part: Part) {
    let stack = start();
    let api = Api::at(&stack.env().base);
    let person = Person::with_picture(&api, &jpeg()).await;
    let picture = person.picture().await.unwrap();
    for how in ["stopped", "killed", "hung"] {
        match how {
            "stopped" => stack.stop(part).unwrap(),
            "killed" => stack.kill(part).unwrap(),
            _ => stack.signal(part, Signal::STOP).unwrap(),
        }
        for round in 0..2 {
            let what = |endpoint: &str| format!("{part:?} {how}, round {round}: {endpoint}");
            turns_unavailable(&what("me"), async || person.me().await).await;
            turns_unavailable(&what("refresh"), async || person.refresh().await).await;
            let login = within_deadline(&what("login"), Person::login(&api, &person.email, PASSWORD)).await;
            is_unavailable(&what("login"), &login);
            let update = within_deadline(&what("update"), person.update(&json!({ "full_name": "X" }))).await;
            is_unavailable(&what("update"), &update);
            if part == Part::Postgres {
                is_unavailable(&what("register"), &within_deadline(&what("register"), register(&api)).await);
            }
            assert_eq!(within_deadline(&what("picture"), api.get(&picture)).await.status, 200);
            let auth_api = Api::at(&stack.env().auth_api);
            assert_eq!(auth_api.get("/healthz").await.status, 200);
            assert_eq!(within_deadline(&what("readyz"), auth_api.get("/readyz")).await.status, 503);
        }
        if how == "hung" {
            stack.signal(part, Signal::CONT).unwrap();
        } else {
            stack.restart(part).unwrap();
        }
        is_in_order(&person).await;
    }
    stack.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_nobody_is_let_in_on_trust_and_all_comes_back() {
    goes_away_and_comes_back(Part::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgres_nobody_is_let_in_on_trust_and_all_comes_back() {
    goes_away_and_comes_back(Part::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_while_redis_hangs_are_all_told_in_time() {
    let stack = start();
    let person = Person::at(&Api::at(&stack.env().base)).await;
    stack.signal(Part::Redis, Signal::STOP).unwrap();
    let all: Vec<_> = (0..500)
        .map(|_| {
            let person = person.clone();
            tokio::spawn(async move { is_unavailable("me", &within_deadline("me", person.me()).await) })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    stack.signal(Part::Redis, Signal::CONT).unwrap();
    is_in_order(&person).await;
    stack.shutdown();
}

/// Redis keeps what it was told, whatever befalls it, but for who empties it.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_of_people_endures_a_redis_that_hangs_restarts_and_is_emptied() {
    let stack = start();
    let api = Api::at(&stack.env().base);
    endure("Redis hangs", &api, true, async |_| hang(&stack, Part::Redis).await).await;
    endure("Redis restarts", &api, false, async |_| stack.restart(Part::Redis).unwrap()).await;
    let flush = || assert_eq!(redis(stack.env(), &["FLUSHALL"]), "OK");
    endure("Redis is emptied", &api, false, async |deletion| deletion.by(flush)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_of_people_endures_a_postgres_that_hangs_and_restarts() {
    let stack = start();
    let api = Api::at(&stack.env().base);
    endure("Postgres hangs", &api, true, async |_| hang(&stack, Part::Postgres).await).await;
    endure("Postgres restarts", &api, false, async |_| stack.restart(Part::Postgres).unwrap()).await;
}

/// Longer than anything is remembered, and than anybody is to wait.
const HANGS: Duration = Duration::from_secs(5);

async fn hang(stack: &Stack, part: Part) {
    stack.signal(part, Signal::STOP).unwrap();
    tokio::time::sleep(HANGS).await;
    stack.signal(part, Signal::CONT).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_media_server_an_upload_is_503_and_changes_nothing_and_the_rest_works() {
    let stack = start();
    let api = Api::at(&stack.env().base);
    let person = Person::with_picture(&api, &jpeg()).await;
    let before = person.me().await.json();
    stack.stop(Part::MediaServer).unwrap();
    let form = || Form::new().file("profile_pic", "a.png", "image/png", &drawn(ImageFormat::Png, 30, 30));
    let update = within_deadline("update", api.put_form("/api/user/update/", &person.access, form())).await;
    is_unavailable("update", &update);
    person.me().await.expect(200, &before);
    let email = format!("{}@example.com", unique());
    let register_form = || form().text("email", &email).text("full_name", "Ann").text("password", PASSWORD);
    is_unavailable(
        "register",
        &within_deadline("register", api.post_form("/api/user/register/", register_form())).await,
    );
    register(&api).await.expect_status(201);
    person.update(&json!({ "full_name": "Ann Other" })).await.expect_status(200);
    stack.restart(Part::MediaServer).unwrap();
    is_back("picture", async || api.get(before["profile_pic"].as_str().unwrap()).await.status).await;
    api.post_form("/api/user/register/", register_form()).await.expect_status(201);
    stack.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_was_deleted_stays_gone_though_media_server_dies_right_after() {
    let stack = start();
    let person = Person::with_picture(&Api::at(&stack.env().base), &jpeg()).await;
    let picture = person.picture().await.unwrap();
    // So that nginx has it.
    assert_eq!(person.api.get(&picture).await.status, 200);
    person.update(&json!({ "profile_pic": null })).await.expect_status(200);
    stack.kill(Part::MediaServer).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    is_unavailable("picture", &within_deadline("picture", person.api.get(&picture)).await);
    stack.restart(Part::MediaServer).unwrap();
    assert_eq!(person.api.get(&picture).await.status, 404);
    stack.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_auth_api_nginx_says_503_in_json_and_pictures_go_on() {
    let stack = start();
    let api = Api::at(&stack.env().base);
    let person = Person::with_picture(&api, &jpeg()).await;
    let picture = person.picture().await.unwrap();
    stack.stop(Part::AuthApi).unwrap();
    is_unavailable("me", &within_deadline("me", person.me()).await);
    assert_eq!(api.get(&picture).await.status, 200);
    stack.restart(Part::AuthApi).unwrap();
    is_in_order(&person).await;
    stack.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_cuts_no_request_in_flight() {
    let stack = start();
    let api = Api::at(&stack.env().auth_api);
    let person = Person::at(&Api::at(&stack.env().base)).await;
    // Half a head, which must not hold the exit.
    let address = stack.env().auth_api.trim_start_matches("http://").to_owned();
    let mut half = tokio::net::TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut half, b"POST /api/user/login/ HTT").await.unwrap();
    // Logins take a while: more of them than there are cores.
    let logins: Vec<_> = (0..24)
        .map(|_| {
            let (api, person) = (api.clone(), person.clone());
            tokio::spawn(async move { Person::login(&api, &person.email, PASSWORD).await.status })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let since = Instant::now();
    stack.stop(Part::AuthApi).unwrap();
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    for login in logins {
        assert_eq!(login.await.unwrap(), 200);
    }
    stack.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_logins_than_can_wait_are_503_at_once_and_the_rest_are_served() {
    let options = Options::scratch().unwrap().with("HASHING_QUEUE_MAX", "4").with("HASHING_THREADS", "1");
    let stack = Stack::start(options).unwrap();
    let api = Api::at(&stack.env().base);
    let person = Person::at(&api).await;
    let logins: Vec<_> = (0..60)
        .map(|_| {
            let (api, person) = (api.clone(), person.clone());
            tokio::spawn(async move {
                let answer = Person::login(&api, &person.email, PASSWORD).await;
                if answer.status == 503 {
                    is_unavailable("login", &answer);
                }
                answer.status
            })
        })
        .collect();
    person.me().await.expect_status(200);
    let mut served = 0;
    for login in logins {
        let status = login.await.unwrap();
        assert!(matches!(status, 200 | 503), "{status}");
        served += u32::from(status == 200);
    }
    assert!((5..60).contains(&served), "{served}");
    stack.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_public_url_begins_every_link_whatever_host_is_asked() {
    let stack = Stack::start(Options::scratch().unwrap().with("PUBLIC_URL", "https://users.example.com")).unwrap();
    let api = Api::at(&stack.env().base);
    let person = Person::with_picture(&api, &jpeg()).await;
    let request = api.request("GET", "/api/user/me/").header("authorization", format!("JWT {}", person.access));
    let link = send(request.header("host", "evil.example")).await.json()["profile_pic"].as_str().unwrap().to_owned();
    assert!(link.starts_with("https://users.example.com/api/user/media/"), "{link}");
    stack.shutdown();
}
