//! `PUT` and `PATCH /api/user/update/`.

use image::ImageFormat;
use serde_json::{Value, json};

use crate::support::{Api, Form, PASSWORD, Person, drawn, jpeg, postgres, send, stack, unique};

const PATH: &str = "/api/user/update/";

#[tokio::test]
async fn what_is_absent_stays_as_it_is() {
    let person = Person::with_picture(&Api::new(), &jpeg()).await;
    let before = person.me().await.json();
    person.update(&json!({})).await.expect(200, &before);
    let mut expected = before.clone();
    expected["full_name"] = json!("Ann Other");
    person.update(&json!({ "full_name": " Ann Other " })).await.expect(200, &expected);
    person.me().await.expect(200, &expected);
    let email = format!("new-{}", person.email);
    expected["email"] = json!(email);
    let patch = person.api.request("PATCH", PATH).header("authorization", format!("JWT {}", person.access));
    send(patch.json(&json!({ "email": email.to_uppercase() }))).await.expect(200, &expected);
    Person::login(&person.api, &email, PASSWORD).await.expect_status(200);
    Person::login(&person.api, &person.email, PASSWORD).await.expect_status(400);
}

#[tokio::test]
async fn what_is_present_is_checked_as_at_registering() {
    let (person, other) = (Person::new().await, Person::new().await);
    for (body, field, sentence) in [
        (json!({ "email": "x" }), "email", "Enter a valid email address."),
        (json!({ "email": null }), "email", "This field may not be null."),
        (json!({ "email": other.email }), "email", "user with this email already exists."),
        (json!({ "full_name": "" }), "full_name", "This field may not be blank."),
        (json!({ "password": "sunshine1" }), "password", "This password is too common."),
        (json!({ "password": person.email }), "password", "The password is too similar to the email."),
        (json!({ "profile_pic": "bm8gcGljdHVyZQ==" }), "profile_pic", crate::pictures::NOT_A_PICTURE),
    ] {
        person.update(&body).await.expect_field(field, &[sentence]);
    }
    person.update(&json!({ "email": person.email.to_uppercase() })).await.expect_status(200);
}

#[tokio::test]
async fn it_needs_a_token_before_it_looks_at_the_body() {
    let api = Api::new();
    api.put_json(PATH, "x", &json!({ "email": 1 })).await.expect_unauthorized();
    let form = Form::new().file("profile_pic", "a.png", "image/png", &vec![0; 9 << 20]);
    api.put_form(PATH, "x", form).await.expect_unauthorized();
}

#[tokio::test]
async fn a_new_picture_replaces_the_old_one_whose_link_is_dead() {
    let person = Person::with_picture(&Api::new(), &jpeg()).await;
    let old = person.picture().await.unwrap();
    let form = Form::new().file("profile_pic", "x.bin", "text/plain", &drawn(ImageFormat::Gif, 20, 20));
    let new = person.api.put_form(PATH, &person.access, form).await.expect_status(200).json()["profile_pic"].clone();
    let new = new.as_str().unwrap();
    assert!(new.ends_with(".gif") && new != old);
    let answer = person.api.get(new).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "image/gif"));
    person.api.get(&old).await.expect(404, &json!({ "detail": "Not found." }));
}

#[tokio::test]
async fn null_or_an_empty_value_deletes_the_picture() {
    let api = Api::new();
    let person = Person::with_picture(&api, &jpeg()).await;
    let link = person.picture().await.unwrap();
    let updated = person.update(&json!({ "profile_pic": null })).await;
    assert_eq!(updated.expect_status(200).json()["profile_pic"], Value::Null);
    api.get(&link).await.expect_status(404);

    let person = Person::with_picture(&api, &jpeg()).await;
    let link = person.picture().await.unwrap();
    let updated = api.put_form(PATH, &person.access, Form::new().text("profile_pic", "")).await;
    assert_eq!(updated.expect_status(200).json()["profile_pic"], Value::Null);
    api.get(&link).await.expect_status(404);
    assert_eq!(postgres(stack(), "select count(*) from picture_deletions where due_at < now() - interval '20 s'"), "0");
}

#[tokio::test]
async fn the_link_that_was_read_means_unchanged() {
    let person = Person::with_picture(&Api::new(), &jpeg()).await;
    let before = person.me().await.json();
    person.update(&before).await.expect(200, &before);
    let link = before["profile_pic"].as_str().unwrap();
    let form = Form::new().text("profile_pic", link).text("full_name", "Ann Example");
    person.api.put_form(PATH, &person.access, form).await.expect(200, &before);
    assert_eq!(person.api.get(link).await.status, 200);
    let stranger = Person::with_picture(&person.api, &jpeg()).await.picture().await.unwrap();
    let not_a_file = "The submitted data was not a file. Check the encoding type on the form.";
    person.update(&json!({ "profile_pic": stranger })).await.expect_field("profile_pic", &[not_a_file]);
}

#[tokio::test]
async fn a_new_password_ends_every_other_session_and_not_the_one_that_asks() {
    let person = Person::new().await;
    let other = Person::sign_in(&person.api, &person.email).await;
    other.me().await.expect_status(200);
    person.update(&json!({ "password": "a quite different phrase" })).await.expect_status(200);
    person.me().await.expect_status(200);
    other.me().await.expect_unauthorized();
    other.refresh().await.expect_unauthorized();
    let pair = person.refresh().await.expect_status(200).json();
    person.api.get_as("/api/user/me/", pair["access"].as_str().unwrap()).await.expect_status(200);
    Person::login(&person.api, &person.email, PASSWORD).await.expect_status(400);
    Person::login(&person.api, &person.email, "a quite different phrase").await.expect_status(200);
}

#[tokio::test]
async fn the_session_that_changes_its_password_again_and_again_goes_on_and_is_never_refused_between() {
    let person = Person::new().await;
    let watcher = {
        let person = person.clone();
        tokio::spawn(async move {
            for _ in 0..150 {
                person.me().await.expect_status(200);
            }
        })
    };
    for round in 0..5 {
        person.update(&json!({ "password": format!("phrase number {round} {}", unique()) })).await.expect_status(200);
    }
    watcher.await.unwrap();
}

#[tokio::test]
async fn many_updates_of_one_picture_at_once_leave_one_picture() {
    let person = Person::with_picture(&Api::new(), &jpeg()).await;
    let all: Vec<_> = (0..10)
        .map(|number| {
            let person = person.clone();
            tokio::spawn(async move {
                let form = Form::new().file("profile_pic", "a", "image/png", &drawn(ImageFormat::Png, 20 + number, 20));
                person.api.put_form(PATH, &person.access, form).await.expect_status(200).json()["profile_pic"].clone()
            })
        })
        .collect();
    let mut links = Vec::new();
    for one in all {
        links.push(one.await.unwrap().as_str().unwrap().to_owned());
    }
    let last = person.picture().await.unwrap();
    let mut alive = 0;
    for link in links {
        let status = person.api.get(&link).await.status;
        assert_eq!(status, if link == last { 200 } else { 404 }, "{link}");
        alive += u32::from(status == 200);
    }
    assert_eq!(alive, 1);
}
