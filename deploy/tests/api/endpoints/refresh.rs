//! `POST /api/user/refresh/`.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use serde_json::json;

use crate::support::{Api, Response, TestUser, claims, redis, stack};

async fn refresh(token: &str) -> Response {
    Api::new().post_json("/api/user/refresh/", &json!({ "refresh": token })).await
}

fn redis_number(words: &[&str]) -> u64 {
    redis(stack(), words).parse().unwrap()
}

#[tokio::test]
async fn a_refresh_rotates_the_token_of_the_same_session() {
    let user = TestUser::new().await;
    let response = user.refresh().await;
    let names: Vec<String> = response.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["access", "refresh"]);
    let rotated = user.with_tokens(&response.expect_status(200).json());
    assert_ne!(rotated.refresh, user.refresh);
    assert_eq!(rotated.sid(), user.sid());
    rotated.me().await.expect_status(200);
    user.me().await.expect_status(200);
    rotated.refresh().await.expect_status(200);
}

#[tokio::test]
async fn the_field_is_required_and_a_string() {
    for (body, message) in [
        (json!({}), "This field is required."),
        (json!({ "refresh": null }), "This field may not be null."),
        (json!({ "refresh": " " }), "This field may not be blank."),
        (json!({ "refresh": [] }), "Not a valid string."),
    ] {
        Api::new().post_json("/api/user/refresh/", &body).await.expect_field("refresh", &[message]);
    }
}

#[tokio::test]
async fn an_invalid_refresh_token_is_401() {
    let user = TestUser::new().await;
    let expected = |detail: &str| json!({ "detail": detail, "code": "token_not_valid" });
    for token in ["x", "a.b.c", &"x".repeat(10_000)] {
        refresh(token).await.expect_unauthorized().expect(401, &expected("Token is invalid"));
    }
    refresh(&user.access).await.expect_unauthorized().expect(401, &expected("Token has wrong type"));
}

#[tokio::test]
async fn a_token_repeated_within_the_grace_period_returns_the_same_successor() {
    let user = TestUser::new().await;
    let (first, again) = (user.refreshed().await, user.refreshed().await);
    assert_eq!(first.refresh, again.refresh);
    assert_eq!(claims(&first.access)["jti"], claims(&again.access)["jti"]);
    first.refresh().await.expect_status(200);
}

/// Asserts that the token of `user` is refused, and that this revokes the session, `newest` token included.
async fn assert_reuse_revokes(user: &TestUser, newest: &TestUser) {
    let expected = json!({ "detail": "Token is invalid", "code": "token_not_valid" });
    user.refresh().await.expect_unauthorized().expect(401, &expected);
    assert_eq!(redis(stack(), &["EXISTS", &user.session_key()]), "0");
    newest.me().await.expect_unauthorized();
    user.me().await.expect_unauthorized();
    newest.refresh().await.expect_unauthorized();
}

#[tokio::test]
async fn reuse_after_the_grace_period_revokes_the_session() {
    let user = TestUser::new().await;
    let newest = user.refreshed().await;
    // As if eleven seconds had passed.
    redis(stack(), &["HINCRBY", &user.session_key(), "rotated_at", "-11"]);
    assert_reuse_revokes(&user, &newest).await;
}

#[tokio::test]
async fn reuse_two_rotations_later_revokes_the_session() {
    let user = TestUser::new().await;
    let newest = user.refreshed().await.refreshed().await;
    assert_reuse_revokes(&user, &newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_concurrent_refreshes_fork_no_session_and_revoke_none() {
    const SESSIONS: usize = 100;
    const SESSIONS_OF_A_USER: usize = 50;
    const REFRESHES_OF_A_SESSION: usize = 100;
    /// Below the connection limit of nginx.
    const CONCURRENT: usize = 500;
    let mut sessions = Vec::new();
    while sessions.len() < SESSIONS {
        let user = TestUser::new().await;
        for _ in 1..SESSIONS_OF_A_USER {
            sessions.push(user.sign_in_again().await);
        }
        sessions.push(user);
    }
    let refreshes = (0..SESSIONS * REFRESHES_OF_A_SESSION).map(|number| {
        let session = sessions[number % SESSIONS].clone();
        tokio::spawn(async move { (number % SESSIONS, session.refreshed().await.refresh) })
    });
    let mut refreshes = stream::iter(refreshes).buffer_unordered(CONCURRENT);
    let mut successors = vec![BTreeSet::new(); SESSIONS];
    while let Some(refreshed) = refreshes.next().await {
        let (session, successor) = refreshed.unwrap();
        successors[session].insert(successor);
    }
    for (session, successors) in sessions.iter().zip(successors) {
        assert_eq!(successors.len(), 1, "a session was forked");
        session.me().await.expect_status(200);
        refresh(successors.first().unwrap()).await.expect_status(200);
    }
}

#[tokio::test]
async fn a_refresh_extends_the_session_and_updates_its_last_use() {
    let user = TestUser::new().await;
    let key = user.session_key();
    redis(stack(), &["EXPIRE", &key, "100"]);
    redis(stack(), &["HSET", &key, "last_used_at", "1"]);
    user.refresh().await.expect_status(200);
    assert!(redis_number(&["TTL", &key]) > 100);
    assert!(redis_number(&["HGET", &key, "last_used_at"]) > 1_700_000_000);
}

#[tokio::test]
async fn a_repeated_refresh_neither_extends_the_session_nor_updates_its_last_use() {
    let user = TestUser::new().await;
    user.refresh().await.expect_status(200);
    let key = user.session_key();
    redis(stack(), &["EXPIRE", &key, "100"]);
    let before = redis(stack(), &["HGETALL", &key]);
    user.refresh().await.expect_status(200);
    assert_eq!(redis(stack(), &["HGETALL", &key]), before);
    assert!(redis_number(&["TTL", &key]) <= 100);
}
