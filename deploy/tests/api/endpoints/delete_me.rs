//! `DELETE /api/user/me/`.

use serde_json::{Value, json};

use crate::support::{Api, PASSWORD, Response, TestUser, jpeg, postgres, redis, send, stack};

async fn delete(user: &TestUser, body: &Value) -> Response {
    send(user.request("DELETE", "/api/user/me/").json(body)).await
}

#[tokio::test]
async fn it_deletes_the_account_its_picture_and_its_sessions() {
    let user = TestUser::with_picture(&Api::new(), &jpeg()).await;
    let other = user.sign_in_again().await;
    let picture = user.picture().await.unwrap();
    let response = delete(&user, &json!({ "password": PASSWORD })).await;
    assert_eq!((response.status, response.bytes.len()), (204, 0));
    for session in [&user, &other] {
        session.me().await.expect_unauthorized();
        session.refresh().await.expect_unauthorized();
    }
    user.api.get(&picture).await.expect_status(404);
    TestUser::login(&user.api, &user.email, PASSWORD).await.expect_status(400);
    assert_eq!(postgres(stack(), &format!("select count(*) from users where id = '{}'", user.id)), "0");
    let keys = redis(stack(), &["--scan", "--pattern", &format!("session*:{{{}}}*", user.id)]);
    assert_eq!(keys, "");
    // The email is free again, for a different user.
    let body = json!({ "email": user.email, "full_name": "New", "password": PASSWORD });
    user.api.post_json("/api/user/register/", &body).await.expect_status(201);
    assert_ne!(user.sign_in_again().await.id, user.id);
    user.me().await.expect_unauthorized();
}

#[tokio::test]
async fn it_requires_the_password_and_a_token() {
    let user = TestUser::new().await;
    for (body, message) in [
        (json!({}), "This field is required."),
        (json!({ "password": null }), "This field may not be null."),
        (json!({ "password": "not this one" }), "Invalid password."),
    ] {
        delete(&user, &body).await.expect_field("password", &[message]);
    }
    let request = user.api.request("DELETE", "/api/user/me/").json(&json!({ "password": PASSWORD }));
    send(request).await.expect_unauthorized();
    user.me().await.expect_status(200);
}

#[tokio::test]
async fn it_accepts_a_form_and_post_is_405() {
    let user = TestUser::new().await;
    let response = send(user.request("POST", "/api/user/me/")).await;
    assert_eq!((response.status, response.header("allow")), (405, "GET, DELETE, HEAD, OPTIONS"));
    let request = user.api.request("DELETE", "/api/user/me/");
    let request = request.header("authorization", format!("Bearer {}", user.access));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    send(request.body(format!("password={}", PASSWORD.replace(' ', "+")))).await.expect_status(204);
    user.me().await.expect_unauthorized();
}
