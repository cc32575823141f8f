//! `/api/user/sessions/` and `POST /api/user/logout/`.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Api, Response, TestUser, redis, send, stack};

const PATH: &str = "/api/user/sessions/";

async fn delete(user: &TestUser, path: &str) -> Response {
    send(user.request("DELETE", path)).await
}

async fn list(user: &TestUser) -> Vec<Value> {
    let response = send(user.request("GET", PATH)).await;
    response.expect_status(200).json().as_array().expect("a list").clone()
}

async fn logout(api: &Api, refresh: &str) -> Response {
    api.post_json("/api/user/logout/", &json!({ "refresh": refresh })).await
}

/// Opens sessions of one new user, and returns the oldest first.
async fn sessions<const COUNT: usize>() -> [TestUser; COUNT] {
    let mut all = vec![TestUser::new().await];
    while all.len() < COUNT {
        all.push(all[0].sign_in_again().await);
    }
    all.try_into().unwrap()
}

#[tokio::test]
async fn the_list_has_every_session_of_the_user() {
    let [first, second] = sessions().await;
    let listed = list(&second).await;
    assert_eq!(listed.len(), 2);
    let names: Vec<&String> = listed[0].as_object().unwrap().keys().collect();
    let mut expected = ["id", "created_at", "last_used_at", "ip", "user_agent", "current"];
    expected.sort_unstable();
    assert_eq!(names, expected);
    for session in [&first, &second] {
        let entry = listed.iter().find(|entry| entry["id"] == session.sid()).expect("each session is listed");
        assert_eq!(entry["current"], json!(session.sid() == second.sid()));
        for time in ["created_at", "last_used_at"] {
            let time = entry[time].as_str().unwrap();
            assert!(time.starts_with("20") && time.ends_with('Z') && time.len() == 20, "{time}");
        }
        assert!(entry["ip"].as_str().unwrap().parse::<std::net::IpAddr>().is_ok());
    }
    redis(stack(), &["HSET", &first.session_key(), "last_used_at", "4000000000"]);
    let listed = list(&first.refreshed().await).await;
    assert_ne!(listed[0]["last_used_at"], "2096-10-02T07:06:40Z", "a refresh updates the last use");
}

#[tokio::test]
async fn deleting_a_session_revokes_it_alone_and_immediately() {
    let [own, other, third] = sessions().await;
    delete(&own, &format!("{PATH}{}/", other.sid())).await.expect_status(204);
    other.me().await.expect_unauthorized();
    other.refresh().await.expect_unauthorized();
    own.me().await.expect_status(200);
    third.me().await.expect_status(200);
    assert_eq!(list(&own).await.len(), 2);
    delete(&own, &format!("{PATH}{}", own.sid())).await.expect_status(204);
    own.me().await.expect_unauthorized();
}

#[tokio::test]
async fn deleting_the_list_revokes_every_other_session() {
    let [first, own, third] = sessions().await;
    let other_user = TestUser::new().await;
    delete(&own, PATH).await.expect_status(204);
    delete(&own, PATH).await.expect_status(204);
    first.me().await.expect_unauthorized();
    third.refresh().await.expect_unauthorized();
    own.me().await.expect_status(200);
    own.refresh().await.expect_status(200);
    other_user.me().await.expect_status(200);
}

#[tokio::test]
async fn the_session_of_another_user_is_404() {
    let (user, other) = (TestUser::new().await, TestUser::new().await);
    for id in [other.sid(), user.id.clone(), "x".to_owned(), "%20".to_owned(), "a".repeat(1000)] {
        let response = delete(&user, &format!("{PATH}{id}/")).await;
        response.expect(404, &json!({ "detail": "Not found." }));
    }
    other.me().await.expect_status(200);
}

#[tokio::test]
async fn a_missing_token_is_401_before_405() {
    let api = Api::new();
    for (method, path) in [
        ("GET", PATH),
        ("DELETE", PATH),
        ("PUT", PATH),
        ("DELETE", "/api/user/sessions/x"),
        ("GET", "/api/user/sessions/x"),
    ] {
        send(api.request(method, path)).await.expect_unauthorized();
    }
    let response = send(TestUser::new().await.request("PUT", PATH)).await;
    assert_eq!((response.status, response.header("allow")), (405, "GET, DELETE, HEAD, OPTIONS"));
    assert_eq!(send(api.request("OPTIONS", PATH)).await.status, 204);
}

#[tokio::test]
async fn logout_revokes_the_session_of_the_refresh_token_and_is_idempotent() {
    let [first, second] = sessions().await;
    let response = logout(&first.api, &first.refresh).await;
    assert_eq!((response.status, response.bytes.len()), (204, 0));
    first.me().await.expect_unauthorized();
    first.refresh().await.expect_unauthorized();
    logout(&first.api, &first.refresh).await.expect_status(204);
    second.me().await.expect_status(200);
    // A rotated token still identifies its session.
    second.refresh().await.expect_status(200);
    logout(&second.api, &second.refresh).await.expect_status(204);
    second.me().await.expect_unauthorized();
}

#[tokio::test]
async fn logout_accepts_only_a_refresh_token() {
    let user = TestUser::new().await;
    logout(&user.api, &user.access).await.expect_unauthorized();
    logout(&user.api, "x").await.expect_unauthorized();
    user.api.post_json("/api/user/logout/", &json!({})).await.expect_field("refresh", &["This field is required."]);
    assert_eq!(user.api.get("/api/user/logout/").await.status, 405);
    user.me().await.expect_status(200);
}

#[tokio::test]
async fn the_fifty_first_session_replaces_the_least_recently_used_one() {
    let user = TestUser::new().await;
    let index = format!("sessions:{{{}}}", user.id);
    let sid = |number: usize| format!("00000000-0000-4000-8000-{number:012}");
    let key = |number: usize| format!("session:{{{}}}:{}", user.id, sid(number));
    let exists = |number: usize| redis(stack(), &["EXISTS", &key(number)]) == "1";
    let count = || redis(stack(), &["ZCARD", &index]);
    // Adds 49 sessions to the index; those with even numbers have no key, as if an operator had deleted it.
    for number in 0..49 {
        redis(stack(), &["ZADD", &index, &(1000 + number).to_string(), &sid(number)]);
        if number % 2 == 1 {
            redis(stack(), &["HSET", &key(number), "refresh", "x"]);
        }
    }
    user.sign_in_again().await;
    assert!(exists(1), "deleted sessions do not count");
    assert_eq!(count(), "26");
    for number in 0..25 {
        redis(stack(), &["ZADD", &index, &(2000 + number).to_string(), &sid(number * 2)]);
        redis(stack(), &["HSET", &key(number * 2), "refresh", "x"]);
    }
    redis(stack(), &["DEL", &key(0)]);
    redis(stack(), &["ZREM", &index, &sid(0)]);
    assert_eq!(count(), "50");
    let newest = user.sign_in_again().await;
    assert!(!exists(1) && exists(3), "the least recently used session ends, and no other");
    assert_eq!(count(), "50");
    user.me().await.expect_status(200);
    newest.me().await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_concurrent_logins_leave_fifty_sessions() {
    let user = TestUser::new().await;
    join_all((0..60).map(|_| user.sign_in_again())).await;
    let keys = redis(stack(), &["--scan", "--pattern", &format!("session:{{{}}}:*", user.id)]);
    assert_eq!(keys.lines().count(), 50);
}

#[tokio::test]
async fn a_lost_or_corrupt_index_hides_sessions_and_revokes_none() {
    let [first, second] = sessions().await;
    let index = format!("sessions:{{{}}}", first.id);
    redis(stack(), &["DEL", &index]);
    assert_eq!(list(&first).await.len(), 0);
    first.me().await.expect_status(200);
    first.refresh().await.expect_status(200);
    assert_eq!(list(&second).await.len(), 1, "a refresh adds the session to the index again");
    redis(stack(), &["ZADD", &index, "1", "no id"]);
    redis(stack(), &["SET", &format!("session:{{{}}}:no id", first.id), "no session"]);
    assert_eq!(list(&second).await.len(), 1);
    delete(&second, PATH).await.expect_status(204);
    second.me().await.expect_status(200);
}
