//! `GET /api/user/me/`.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::{Api, Person, postgres, redis, send, stack};

#[tokio::test]
async fn an_access_token_shows_the_user_under_either_scheme_in_any_case() {
    let person = Person::new().await;
    let expected = json!({ "id": person.id, "full_name": "Ann Example", "email": person.email, "profile_pic": null });
    for scheme in ["JWT", "jwt", "Bearer", "BEARER"] {
        let request = person.api.request("GET", "/api/user/me/");
        send(request.header("authorization", format!("{scheme} {}", person.access))).await.expect(200, &expected);
    }
}

#[tokio::test]
async fn no_token_is_told_from_a_bad_one() {
    let api = Api::new();
    let absent = json!({ "detail": "Authentication credentials were not provided.", "code": "token_not_valid" });
    api.get("/api/user/me/").await.expect_unauthorized().expect(401, &absent);
    let request = api.request("GET", "/api/user/me/").header("authorization", "Basic dXNlcjpwYXNz");
    send(request).await.expect_unauthorized().expect(401, &absent);
    let bad = json!({
        "detail": "Given token not valid for any token type",
        "code": "token_not_valid",
        "messages": [{ "token_class": "AccessToken", "token_type": "access", "message": "Token is invalid" }],
    });
    for header in ["JWT", "JWT a b", "JWT a.b.c", "Bearer ...", "JWT \u{e9}"] {
        let request = api.request("GET", "/api/user/me/").header("authorization", header);
        send(request).await.expect_unauthorized().expect(401, &bad);
    }
}

#[tokio::test]
async fn a_refresh_token_is_no_access_token() {
    let person = Person::new().await;
    let answer = person.api.get_as("/api/user/me/", &person.refresh).await;
    assert_eq!(answer.expect_unauthorized().json()["messages"][0]["message"], "Token has wrong type");
}

#[tokio::test]
async fn deleting_the_sessions_key_ends_its_access_and_refresh_tokens() {
    let person = Person::new().await;
    let other = Person::sign_in(&person.api, &person.email).await;
    person.me().await.expect_status(200);
    assert_eq!(redis(stack(), &["DEL", &person.session_key()]), "1");
    is_out(&person).await;
    let expected = json!({ "detail": "Token is invalid", "code": "token_not_valid" });
    person.refresh().await.expect_unauthorized().expect(401, &expected);
    person.update(&json!({ "full_name": "X" })).await.expect_unauthorized();
    assert_eq!(redis(stack(), &["EXISTS", &person.session_key()]), "0", "nothing makes it anew");
    other.me().await.expect_status(200);
}

#[tokio::test]
async fn a_user_who_is_gone_or_disabled_has_no_tokens() {
    let (gone, disabled) = (Person::new().await, Person::new().await);
    gone.me().await.expect_status(200);
    postgres(stack(), &format!("delete from users where id = '{}'", gone.id));
    postgres(stack(), &format!("update users set disabled_at = now() where id = '{}'", disabled.id));
    for person in [gone, disabled] {
        // Postgres tells of what a hand has changed there, a moment later.
        is_out(&person).await;
        person.refresh().await.expect_unauthorized();
    }
}

/// By two seconds from now.
async fn is_out(person: &Person) {
    let deadline = Instant::now() + Duration::from_secs(2);
    while person.me().await.status != 401 {
        assert!(Instant::now() < deadline, "still signed in");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_session_key_that_a_hand_has_spoilt_is_no_session() {
    for spoil in
        [&["SET", "KEY", "x"][..], &["HDEL", "KEY", "stamp", "refresh"], &["HSET", "KEY", "stamp", "x", "refresh", "x"]]
    {
        let person = Person::new().await;
        let key = person.session_key();
        let command: Vec<&str> = spoil.iter().map(|word| if *word == "KEY" { key.as_str() } else { word }).collect();
        person.me().await.expect_status(200);
        redis(stack(), &command);
        is_out(&person).await;
        person.refresh().await.expect_unauthorized();
    }
}
