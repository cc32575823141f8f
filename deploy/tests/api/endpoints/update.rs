//! `PUT` and `PATCH /api/user/update/`.

use futures_util::future::join_all;
use image::ImageFormat;
use serde_json::{Value, json};

use crate::support::{Api, Form, PASSWORD, TestUser, drawn, jpeg, postgres, send, stack, unique};

const PATH: &str = "/api/user/update/";

#[tokio::test]
async fn absent_fields_stay_unchanged() {
    let user = TestUser::with_picture(&Api::new(), &jpeg()).await;
    let before = user.me().await.json();
    user.update(&json!({})).await.expect(200, &before);
    let mut expected = before.clone();
    expected["full_name"] = json!("Ann Other");
    user.update(&json!({ "full_name": " Ann Other " })).await.expect(200, &expected);
    user.me().await.expect(200, &expected);
    let email = format!("new-{}", user.email);
    expected["email"] = json!(email);
    send(user.request("PATCH", PATH).json(&json!({ "email": email.to_uppercase() }))).await.expect(200, &expected);
    TestUser::login(&user.api, &email, PASSWORD).await.expect_status(200);
    TestUser::login(&user.api, &user.email, PASSWORD).await.expect_status(400);
}

#[tokio::test]
async fn present_fields_are_validated_as_at_registration() {
    let (user, other) = (TestUser::new().await, TestUser::new().await);
    for (field, value, message) in [
        ("email", json!("x"), "Enter a valid email address."),
        ("email", json!(null), "This field may not be null."),
        ("email", json!(other.email), "user with this email already exists."),
        ("full_name", json!(""), "This field may not be blank."),
        ("password", json!("sunshine1"), "This password is too common."),
        ("password", json!(user.email), "The password is too similar to the email."),
        ("profile_pic", json!("bm8gcGljdHVyZQ=="), crate::pictures::NOT_A_PICTURE),
    ] {
        user.update(&json!({ field: value })).await.expect_field(field, &[message]);
    }
    user.update(&json!({ "email": user.email.to_uppercase() })).await.expect_status(200);
}

#[tokio::test]
async fn authentication_precedes_body_parsing() {
    let request = || Api::new().request_as("x", "PUT", PATH);
    send(request().json(&json!({ "email": 1 }))).await.expect_unauthorized();
    let form = Form::new().file("profile_pic", "a.png", "image/png", &vec![0; 9 << 20]);
    send(form.attach(request())).await.expect_unauthorized();
}

#[tokio::test]
async fn a_new_picture_replaces_the_old_one_whose_link_becomes_404() {
    let user = TestUser::with_picture(&Api::new(), &jpeg()).await;
    let old = user.picture().await.unwrap();
    let form = Form::new().file("profile_pic", "x.bin", "text/plain", &drawn(ImageFormat::Gif, 20, 20));
    let new = user.update_form(form).await.expect_status(200).json()["profile_pic"].clone();
    let new = new.as_str().unwrap();
    assert!(new.ends_with(".gif") && new != old);
    let response = user.api.get(new).await;
    assert_eq!((response.status, response.header("content-type")), (200, "image/gif"));
    user.api.get(&old).await.expect(404, &json!({ "detail": "Not found." }));
}

#[tokio::test]
async fn null_or_an_empty_value_deletes_the_picture() {
    for is_form in [false, true] {
        let user = TestUser::with_picture(&Api::new(), &jpeg()).await;
        let link = user.picture().await.unwrap();
        let updated = if is_form {
            user.update_form(Form::new().text("profile_pic", "")).await
        } else {
            user.update(&json!({ "profile_pic": null })).await
        };
        assert_eq!(updated.expect_status(200).json()["profile_pic"], Value::Null);
        user.api.get(&link).await.expect_status(404);
    }
    assert_eq!(postgres(stack(), "select count(*) from picture_deletions where due_at < now() - interval '20 s'"), "0");
}

#[tokio::test]
async fn the_current_picture_link_means_unchanged_and_no_other_link_is_accepted() {
    let user = TestUser::with_picture(&Api::new(), &jpeg()).await;
    let before = user.me().await.json();
    user.update(&before).await.expect(200, &before);
    let link = before["profile_pic"].as_str().unwrap();
    let form = Form::new().text("profile_pic", link).text("full_name", "Ann Example");
    user.update_form(form).await.expect(200, &before);
    assert_eq!(user.api.get(link).await.status, 200);
    let other = TestUser::with_picture(&user.api, &jpeg()).await.picture().await.unwrap();
    let not_a_file = "The submitted data was not a file. Check the encoding type on the form.";
    user.update(&json!({ "profile_pic": other })).await.expect_field("profile_pic", &[not_a_file]);
}

#[tokio::test]
async fn a_password_change_revokes_every_other_session() {
    let user = TestUser::new().await;
    let other = user.sign_in_again().await;
    other.me().await.expect_status(200);
    user.update(&json!({ "password": "a quite different phrase" })).await.expect_status(200);
    user.me().await.expect_status(200);
    other.me().await.expect_unauthorized();
    other.refresh().await.expect_unauthorized();
    user.refreshed().await.me().await.expect_status(200);
    TestUser::login(&user.api, &user.email, PASSWORD).await.expect_status(400);
    TestUser::login(&user.api, &user.email, "a quite different phrase").await.expect_status(200);
}

#[tokio::test]
async fn the_session_that_changes_the_password_repeatedly_is_never_refused() {
    let user = TestUser::new().await;
    let reader = user.clone();
    let reads = tokio::spawn(async move {
        for _ in 0..150 {
            reader.me().await.expect_status(200);
        }
    });
    for round in 0..5 {
        user.update(&json!({ "password": format!("phrase number {round} {}", unique()) })).await.expect_status(200);
    }
    reads.await.unwrap();
}

#[tokio::test]
async fn concurrent_picture_updates_leave_one_picture() {
    let user = TestUser::with_picture(&Api::new(), &jpeg()).await;
    let pictures: Vec<_> = (0..10).map(|number| drawn(ImageFormat::Png, 20 + number, 20)).collect();
    let responses = join_all(pictures.iter().map(|picture| user.upload(picture))).await;
    let current = user.picture().await.unwrap();
    let mut stored = 0;
    for response in responses {
        let link = response.expect_status(200).json()["profile_pic"].as_str().unwrap().to_owned();
        let status = user.api.get(&link).await.status;
        assert_eq!(status, if link == current { 200 } else { 404 }, "{link}");
        stored += u32::from(status == 200);
    }
    assert_eq!(stored, 1);
}
