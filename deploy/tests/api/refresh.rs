//! `POST /api/user/refresh/`.

use serde_json::{Value, json};

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
    for token in ["x", "a.b.c", &"x".repeat(100_000)] {
        refresh(token).await.expect_unauthorized().expect(401, &expected("Token is invalid"));
    }
    refresh(&person.access).await.expect_unauthorized().expect(401, &expected("Token has wrong type"));
}

#[tokio::test]
async fn of_many_refreshes_at_once_no_two_get_different_successors() {
    let person = Person::new().await;
    let all: Vec<_> = (0..30)
        .map(|_| {
            let person = person.clone();
            tokio::spawn(async move { person.refresh().await })
        })
        .collect();
    let mut successors = std::collections::BTreeSet::new();
    for one in all {
        let answer = one.await.unwrap();
        assert!(matches!(answer.status, 200 | 401), "{}", answer.text());
        if answer.status == 200 {
            successors.insert(answer.json()["refresh"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(successors.len(), 1, "the session was forked");
    refresh(successors.first().unwrap()).await.expect_status(200);
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
async fn the_answer_holds_nothing_else() {
    let pair = Person::new().await.refresh().await.json();
    assert_eq!(pair.as_object().map(serde_json::Map::len), Some(2));
    assert!(pair.as_object().unwrap().values().all(Value::is_string));
}
