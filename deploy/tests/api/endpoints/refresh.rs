//! `POST /api/user/refresh/`.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::json;

use crate::support::{Api, Replica, Response, TestUser, claims, redis, send, stack, wait_until};

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
    newest.me().await.expect_status(200);
    pass_grace(&user);
    assert_reuse_revokes(&user, &newest).await;
}

/// As if eleven seconds had passed since the rotation.
fn pass_grace(user: &TestUser) {
    redis(stack(), &["HINCRBY", &user.session_key(), "rotated_at", "-11"]);
}

#[tokio::test]
async fn a_client_that_lost_the_response_gets_the_same_successor_after_the_grace_until_its_pair_is_used() {
    let user = TestUser::new().await;
    let lost = user.refreshed().await;
    pass_grace(&user);
    // The client goes on with what it has.
    user.me().await.expect_status(200);
    let key = user.session_key();
    let before = redis(stack(), &["HGETALL", &key]);
    let newest = user.refreshed().await;
    // The time of the rotation, which this test has moved, is its `iat`.
    assert_eq!(claims(&newest.refresh)["jti"], claims(&lost.refresh)["jti"]);
    let [first, again] = [&lost, &newest].map(|user| claims(&user.access));
    assert_eq!(first["jti"], again["jti"]);
    assert_eq!(again["exp"].as_u64().unwrap() - again["iat"].as_u64().unwrap(), 300);
    assert!(again["iat"].as_u64() >= first["iat"].as_u64());
    assert_eq!(redis(stack(), &["HGETALL", &key]), before, "a repeat changed the session");
    assert_eq!(user.refreshed().await.refresh, newest.refresh, "the same bytes, however often it asks");
    newest.me().await.expect_status(200);
    assert_reuse_revokes(&user, &newest).await;
}

#[tokio::test]
async fn an_access_token_used_at_another_replica_or_a_used_successor_ends_the_repeats() {
    let replica = Replica::start(&[]).await;
    let user = TestUser::new().await;
    let newest = user.refreshed().await;
    // A former access token proves nothing.
    user.me().await.expect_status(200);
    newest.via(&replica.api).me().await.expect_status(200);
    user.me().await.expect_status(200);
    pass_grace(&user);
    assert_reuse_revokes(&user, &newest).await;

    let user = TestUser::new().await;
    let newest = user.refreshed().await.refreshed().await;
    assert_reuse_revokes(&user, &newest).await;
}

/// The previous release does not record which pair is unused.
#[tokio::test]
async fn a_session_of_the_previous_release_is_revoked_by_reuse_after_the_grace() {
    let user = TestUser::new().await;
    let newest = user.refreshed().await;
    redis(stack(), &["HDEL", &user.session_key(), "unused"]);
    newest.me().await.expect_status(200);
    assert_eq!(user.refreshed().await.refresh, newest.refresh);
    pass_grace(&user);
    assert_reuse_revokes(&user, &newest).await;
}

/// The limit of the replica's sessions, in seconds.
const LIFETIME: u64 = 1000;

#[tokio::test]
async fn a_manually_edited_creation_time_ends_the_session_only_where_its_lifetime_is_limited() {
    let replica = Replica::start(&[("SESSION_LIFETIME_SECONDS", &LIFETIME.to_string())]).await;
    for time in ["", "x", "-1", "nan", "inf", "1e300", "1.5"] {
        let user = TestUser::new().await;
        redis(stack(), &["HSET", &user.session_key(), "created_at", time]);
        let user = user.refreshed().await;
        user.me().await.expect_status(200);
        let limited = user.via(&replica.api);
        limited.me().await.expect_unauthorized();
        assert_eq!(limited.refresh().await.expect_unauthorized().json()["detail"], "Token is expired", "{time}");
        user.refresh().await.expect_status(200);
    }
}

#[tokio::test]
async fn a_session_ends_at_the_limit_of_its_lifetime_however_often_it_is_refreshed() {
    let replica = Replica::start(&[("SESSION_LIFETIME_SECONDS", &LIFETIME.to_string())]).await;
    let assert_ends_within = |user: &TestUser, seconds: u64| {
        let key = user.session_key();
        let ends_at = redis_number(&["HGET", &key, "created_at"]) + LIFETIME;
        assert!(redis_number(&["TTL", &key]) <= seconds);
        for token in [&user.access, &user.refresh] {
            let claims = claims(token);
            let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
            assert!(claims["exp"].as_u64().unwrap() <= ends_at && (1..=seconds).contains(&lifetime), "{claims}");
        }
    };
    let user = TestUser::at(&replica.api).await;
    assert_ends_within(&user, LIFETIME);
    let other = user.sign_in_again().await;
    // As if this had passed since the sign-in.
    let pass = |user: &TestUser, seconds: u64| {
        redis(stack(), &["HINCRBY", &user.session_key(), "created_at", &format!("-{seconds}")]);
    };
    pass(&user, LIFETIME - 100);
    let user = user.refreshed().await;
    assert_ends_within(&user, 100);
    let index = format!("sessions:{{{}}}", user.id);
    assert!(redis_number(&["TTL", &index]) > 100, "the index outlives the other session");

    // A session that exists: the stack has no limit.
    let existing = user.via(&Api::new()).sign_in_again().await.via(&replica.api);
    assert!(redis_number(&["TTL", &existing.session_key()]) > LIFETIME);
    let existing = existing.refreshed().await;
    assert_ends_within(&existing, LIFETIME);
    existing.me().await.expect_status(200);
    for user in [&existing, &user] {
        pass(user, LIFETIME);
        wait_until("the session ends", Duration::from_secs(2), async || user.me().await.status == 401).await;
        let expected = json!({ "detail": "Token is expired", "code": "token_not_valid" });
        for _ in 0..2 {
            user.refresh().await.expect_unauthorized().expect(401, &expected);
        }
    }
    let listed = send(other.request("GET", "/api/user/sessions/")).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    other.me().await.expect_status(200);
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
