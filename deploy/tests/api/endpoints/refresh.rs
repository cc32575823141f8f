//! `POST /api/user/refresh/`.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{Answer, Api, Person, claims, redis, stack};

async fn refresh(token: &str) -> Answer {
    Api::new().post_json("/api/user/refresh/", &json!({ "refresh": token })).await
}

#[tokio::test]
async fn a_refresh_token_is_changed_for_a_new_pair_of_the_same_session() {
    let person = Person::new().await;
    let pair = person.refresh().await.expect_status(200).json();
    let names: Vec<&String> = pair.as_object().unwrap().keys().collect();
    assert_eq!(names, ["access", "refresh"]);
    let [access, successor] = ["access", "refresh"].map(|name| pair[name].as_str().unwrap());
    assert_ne!(successor, person.refresh);
    assert_eq!(claims(access)["sid"], person.sid());
    person.api.get_as("/api/user/me/", access).await.expect_status(200);
    person.me().await.expect_status(200);
    refresh(successor).await.expect_status(200);
}

#[tokio::test]
async fn the_field_is_required_and_a_string() {
    let api = Api::new();
    for (body, sentence) in [
        (json!({}), "This field is required."),
        (json!({ "refresh": null }), "This field may not be null."),
        (json!({ "refresh": " " }), "This field may not be blank."),
        (json!({ "refresh": [] }), "Not a valid string."),
    ] {
        api.post_json("/api/user/refresh/", &body).await.expect_field("refresh", &[sentence]);
    }
}

#[tokio::test]
async fn what_is_no_refresh_token_is_401() {
    let person = Person::new().await;
    let expected = |detail: &str| json!({ "detail": detail, "code": "token_not_valid" });
    for token in ["x", "a.b.c", &"x".repeat(10_000)] {
        refresh(token).await.expect_unauthorized().expect(401, &expected("Token is invalid"));
    }
    refresh(&person.access).await.expect_unauthorized().expect(401, &expected("Token has wrong type"));
}

#[tokio::test]
async fn the_same_token_gives_the_same_successor_within_the_grace() {
    let person = Person::new().await;
    let first = person.refresh().await;
    let again = person.refresh().await;
    let [first, again] = [first, again].map(|answer| answer.expect_status(200).json());
    assert_eq!(first["refresh"], again["refresh"], "a lost answer costs nothing");
    // It is issued by then, with its full life.
    let jti = |pair: &Value| claims(pair["access"].as_str().unwrap())["jti"].clone();
    assert_eq!(jti(&first), jti(&again));
    let successor = first["refresh"].as_str().unwrap().to_owned();
    refresh(&successor).await.expect_status(200);
}

/// Who shows `token` is refused, and the session of `person` has ended.
async fn ends_the_session(person: &Person, token: &str, access: &str) {
    let expected = json!({ "detail": "Token is invalid", "code": "token_not_valid" });
    refresh(token).await.expect_unauthorized().expect(401, &expected);
    assert_eq!(redis(stack(), &["EXISTS", &person.session_key()]), "0");
    person.api.get_as("/api/user/me/", access).await.expect_unauthorized();
    person.me().await.expect_unauthorized();
}

#[tokio::test]
async fn a_token_that_is_shown_after_the_grace_ends_the_session() {
    let person = Person::new().await;
    let pair = person.refresh().await.expect_status(200).json();
    let key = person.session_key();
    let rotated_at: u64 = redis(stack(), &["HGET", &key, "rotated_at"]).parse().unwrap();
    // As if eleven seconds had passed.
    redis(stack(), &["HSET", &key, "rotated_at", &(rotated_at - 11).to_string()]);
    ends_the_session(&person, &person.refresh, pair["access"].as_str().unwrap()).await;
    refresh(pair["refresh"].as_str().unwrap()).await.expect_unauthorized();
}

#[tokio::test]
async fn a_token_two_steps_behind_ends_the_session_at_once() {
    let person = Person::new().await;
    let pair = person.refresh().await.expect_status(200).json();
    let pair = refresh(pair["refresh"].as_str().unwrap()).await.expect_status(200).json();
    ends_the_session(&person, &person.refresh, pair["access"].as_str().unwrap()).await;
    refresh(pair["refresh"].as_str().unwrap()).await.expect_unauthorized();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_refreshes_at_once_fork_no_session_and_sign_nobody_out() {
    const SESSIONS: usize = 100;
    const EACH: usize = 100;
    // As many as nginx takes connections.
    let places = Arc::new(Semaphore::new(500));
    let person = Person::new().await;
    let mut people = vec![person.clone()];
    for _ in 1..SESSIONS / 2 {
        people.push(Person::sign_in(&person.api, &person.email).await);
    }
    // Fifty sessions is what one user may have.
    let second = Person::new().await;
    people.push(second.clone());
    while people.len() < SESSIONS {
        people.push(Person::sign_in(&second.api, &second.email).await);
    }
    let all: Vec<_> = (0..SESSIONS * EACH)
        .map(|number| {
            let person = people[number % SESSIONS].clone();
            let places = Arc::clone(&places);
            tokio::spawn(async move {
                let _place = places.acquire().await.unwrap();
                let answer = person.refresh().await;
                (number % SESSIONS, answer.expect_status(200).json()["refresh"].as_str().unwrap().to_owned())
            })
        })
        .collect();
    let mut successors = vec![std::collections::BTreeSet::new(); SESSIONS];
    for one in all {
        let (session, successor) = one.await.unwrap();
        successors[session].insert(successor);
    }
    for (person, successors) in people.iter().zip(successors) {
        assert_eq!(successors.len(), 1, "a session was forked");
        person.me().await.expect_status(200);
        refresh(successors.first().unwrap()).await.expect_status(200);
    }
}

#[tokio::test]
async fn a_refresh_prolongs_the_session_and_notes_its_use() {
    let person = Person::new().await;
    let key = person.session_key();
    redis(stack(), &["EXPIRE", &key, "100"]);
    redis(stack(), &["HSET", &key, "last_used_at", "1"]);
    person.refresh().await.expect_status(200);
    let ttl: u64 = redis(stack(), &["TTL", &key]).parse().unwrap();
    assert!(ttl > 100, "{ttl}");
    let last_used_at: u64 = redis(stack(), &["HGET", &key, "last_used_at"]).parse().unwrap();
    assert!(last_used_at > 1_700_000_000);
}

#[tokio::test]
async fn a_repeated_refresh_neither_extends_the_session_nor_counts_as_a_use() {
    let person = Person::new().await;
    person.refresh().await.expect_status(200);
    let key = person.session_key();
    redis(stack(), &["EXPIRE", &key, "100"]);
    let before = redis(stack(), &["HGETALL", &key]);
    person.refresh().await.expect_status(200);
    assert_eq!(redis(stack(), &["HGETALL", &key]), before);
    let ttl: u64 = redis(stack(), &["TTL", &key]).parse().unwrap();
    assert!(ttl <= 100, "{ttl}");
}

#[tokio::test]
async fn the_answer_holds_nothing_else() {
    let pair = Person::new().await.refresh().await.json();
    assert_eq!(pair.as_object().map(serde_json::Map::len), Some(2));
    assert!(pair.as_object().unwrap().values().all(Value::is_string));
}
