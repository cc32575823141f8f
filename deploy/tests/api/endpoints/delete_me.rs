//! `DELETE /api/user/me/`.

use serde_json::{Value, json};

use crate::support::{Answer, Api, PASSWORD, Person, jpeg, postgres, redis, send, stack};

async fn delete(person: &Person, body: &Value) -> Answer {
    let request = person.api.request("DELETE", "/api/user/me/");
    send(request.header("authorization", format!("JWT {}", person.access)).json(body)).await
}

#[tokio::test]
async fn the_account_its_picture_and_its_sessions_are_gone() {
    let person = Person::with_picture(&Api::new(), &jpeg()).await;
    let other = Person::sign_in(&person.api, &person.email).await;
    let picture = person.picture().await.unwrap();
    let answer = delete(&person, &json!({ "password": PASSWORD })).await;
    assert_eq!((answer.status, answer.bytes.len()), (204, 0));
    for session in [&person, &other] {
        session.me().await.expect_unauthorized();
        session.refresh().await.expect_unauthorized();
    }
    person.api.get(&picture).await.expect_status(404);
    Person::login(&person.api, &person.email, PASSWORD).await.expect_status(400);
    assert_eq!(postgres(stack(), &format!("select count(*) from users where id = '{}'", person.id)), "0");
    let keys = redis(stack(), &["--scan", "--pattern", &format!("session*:{{{}}}*", person.id)]);
    assert_eq!(keys, "");
    // The address is free again, for somebody who is somebody else.
    let body = json!({ "email": person.email, "full_name": "New", "password": PASSWORD });
    person.api.post_json("/api/user/register/", &body).await.expect_status(201);
    let successor = Person::sign_in(&person.api, &person.email).await;
    assert_ne!(successor.id, person.id);
    person.me().await.expect_unauthorized();
}

#[tokio::test]
async fn its_password_is_asked_for() {
    let person = Person::new().await;
    delete(&person, &json!({})).await.expect_field("password", &["This field is required."]);
    delete(&person, &json!({ "password": null })).await.expect_field("password", &["This field may not be null."]);
    delete(&person, &json!({ "password": "not this one" })).await.expect_field("password", &["Invalid password."]);
    person.me().await.expect_status(200);
    send(person.api.request("DELETE", "/api/user/me/").json(&json!({ "password": PASSWORD })))
        .await
        .expect_unauthorized();
    person.me().await.expect_status(200);
}

#[tokio::test]
async fn a_form_does_too_and_other_methods_are_told_which_there_are() {
    let person = Person::new().await;
    let request = person.api.request("POST", "/api/user/me/").header("authorization", format!("JWT {}", person.access));
    let answer = send(request).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, DELETE, HEAD, OPTIONS"));
    let request = person.api.request("DELETE", "/api/user/me/");
    let request = request.header("authorization", format!("Bearer {}", person.access));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    send(request.body(format!("password={}", PASSWORD.replace(' ', "+")))).await.expect_status(204);
    person.me().await.expect_unauthorized();
}
