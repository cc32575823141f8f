//! `POST /api/user/register/`.

use futures_util::future::join_all;
use image::ImageFormat;
use serde_json::{Value, json};

use crate::support::{
    Api, Form, Response, TestUser, drawn, jpeg, postgres, registration, registration_form, stack, unique, unique_email,
};

const PATH: &str = "/api/user/register/";
const TAKEN: &str = "user with this email already exists.";
const BLANK: &str = "This field may not be blank.";
const NOT_A_FILE: &str = "The submitted data was not a file. Check the encoding type on the form.";
const WEAK: [&str; 3] = [
    "This password is too short. It must contain at least 8 characters.",
    "This password is too common.",
    "This password is entirely numeric.",
];

async fn register(body: Value) -> Response {
    Api::new().post_json(PATH, &body).await
}

/// Registers with a valid body but for one field.
async fn register_with(field: &str, value: Value) -> Response {
    let mut body = registration();
    body[field] = value;
    register(body).await
}

fn accounts_of(email: &str) -> String {
    postgres(stack(), &format!("select count(*) from users where email_canonical = '{email}'"))
}

#[tokio::test]
async fn registration_is_201_with_the_user_in_field_order() {
    let body = registration();
    let response = register(body.clone()).await;
    let id = response.expect_status(201).json()["id"].as_str().unwrap().to_owned();
    let email = body["email"].as_str().unwrap();
    let expected = format!(r#"{{"id":"{id}","full_name":"Ann Example","email":"{email}","profile_pic":null}}"#);
    assert_eq!(response.text(), expected);
}

#[tokio::test]
async fn all_missing_fields_are_reported_at_once() {
    let required = json!(["This field is required."]);
    let expected = json!({ "email": required, "full_name": required, "password": required });
    register(json!({})).await.expect(400, &expected);
    Api::new().post(PATH, "application/json", "").await.expect(400, &expected);
    Api::new().post(PATH, "application/x-www-form-urlencoded", "x=1").await.expect(400, &expected);
    Api::new().post_form(PATH, Form::new().text("x", "1")).await.expect(400, &expected);
}

#[tokio::test]
async fn blank_null_and_non_string_fields_are_rejected() {
    for field in ["email", "full_name", "password"] {
        register_with(field, json!("")).await.expect_field(field, &[BLANK]);
        register_with(field, json!(null)).await.expect_field(field, &["This field may not be null."]);
        for other in [json!([]), json!({}), json!(true)] {
            register_with(field, other).await.expect_field(field, &["Not a valid string."]);
        }
    }
    register_with("email", json!("  ")).await.expect_field("email", &[BLANK]);
    register_with("full_name", json!(" \t\n")).await.expect_field("full_name", &[BLANK]);
    register_with("full_name", json!(42)).await.expect_status(201);
}

#[tokio::test]
async fn field_lengths_are_limited_in_characters() {
    let long_email = format!("{}@{}.example.com", "a".repeat(64), ["b".repeat(60).as_str(); 4].join("."));
    for (field, value, chars_max) in
        [("full_name", "ü".repeat(256), 255), ("email", long_email, 254), ("password", "xy ".repeat(342), 1024)]
    {
        let message = format!("Ensure this field has no more than {chars_max} characters.");
        register_with(field, json!(value)).await.expect_field(field, &[&message]);
    }
    register_with("full_name", json!("ü".repeat(255))).await.expect_status(201);
    register_with("password", json!("xyz ".repeat(256))).await.expect_status(201);
}

#[tokio::test]
async fn nul_characters_and_malformed_addresses_are_rejected() {
    let nul = "Null characters are not allowed.";
    register_with("full_name", json!("a\0b")).await.expect_field("full_name", &[nul]);
    register_with("password", json!("a fine long\0 phrase")).await.expect_field("password", &[nul]);
    let invalid = "Enter a valid email address.";
    register_with("email", json!("a\0b@example.com")).await.expect_field("email", &[nul, invalid]);
    for address in ["ann", "ann@", "@example.com", "ann@example", "a b@example.com", "ann@exa_mple.com", "ann@-a.com"] {
        register_with("email", json!(address)).await.expect_field("email", &[invalid]);
    }
}

#[tokio::test]
async fn a_weak_password_is_rejected_with_every_rule_that_it_breaks() {
    let [short, common, numeric] = WEAK;
    for (password, messages) in [
        ("kJ3#", &[short][..]),
        ("sunshine1", &[common]),
        ("PassWord1", &[common]),
        ("9182736450192", &[numeric]),
        ("12345", &WEAK),
    ] {
        register_with("password", json!(password)).await.expect_field("password", messages);
    }
    let name = unique();
    let body = json!({ "email": format!("{name}@example.com"), "full_name": "Ann", "password": name });
    register(body).await.expect_field("password", &["The password is too similar to the email."]);
}

#[tokio::test]
async fn an_email_is_unique_after_canonicalization() {
    let name = unique();
    register_with("email", json!(format!("  {name}@BÜCHER.example "))).await.expect_status(201);
    for same in ["@bücher.example", "@xn--bcher-kva.example", "@XN--BCHER-KVA.Example", "@bu\u{308}cher.example"] {
        let response = register_with("email", json!(format!("{}{same}", name.to_uppercase()))).await;
        response.expect_field("email", &[TAKEN]);
    }
}

#[tokio::test]
async fn of_concurrent_registrations_of_one_email_one_succeeds() {
    let email = unique_email();
    let registrations = (0..20).map(|number| {
        let email = if number % 2 == 0 { email.clone() } else { email.to_uppercase() };
        let form = registration_form(&email).file("profile_pic", "a.jpg", "image/jpeg", &jpeg());
        async move { Api::new().post_form(PATH, form).await }
    });
    let (created, rejected): (Vec<_>, Vec<_>) =
        join_all(registrations).await.into_iter().partition(|response| response.status == 201);
    assert_eq!((created.len(), rejected.len()), (1, 19));
    for response in rejected {
        response.expect_field("email", &[TAKEN]);
    }
    assert_eq!(accounts_of(&email), "1");
}

#[tokio::test]
async fn name_and_email_are_trimmed_and_the_password_is_not() {
    let email = unique_email();
    let body = json!({ "email": format!(" {}\n", email.to_uppercase()), "full_name": " 山田 太郎 ", "password": "  spaces around  " });
    let user = register(body).await.expect_status(201).json();
    assert_eq!((user["email"].as_str(), user["full_name"].as_str()), (Some(email.as_str()), Some("山田 太郎")));
    let api = Api::new();
    TestUser::login(&api, &email, "  spaces around  ").await.expect_status(200);
    TestUser::login(&api, &email, "spaces around").await.expect_status(400);
}

#[tokio::test]
async fn a_password_is_compared_to_its_last_byte() {
    let (api, mut body) = (Api::new(), registration());
    let long = format!("{} the end", "long words ".repeat(12));
    body["password"] = json!(long);
    register(body.clone()).await.expect_status(201);
    let email = body["email"].as_str().unwrap();
    TestUser::login(&api, email, &long).await.expect_status(200);
    TestUser::login(&api, email, &long[..72]).await.expect_status(400);
    TestUser::login(&api, email, &format!("{}x", &long[..long.len() - 1])).await.expect_status(400);
}

#[tokio::test]
async fn all_invalid_fields_are_reported_at_once_a_taken_email_and_a_corrupt_picture_included() {
    let user = TestUser::new().await;
    let form = Form::new().text("email", &user.email.to_uppercase()).text("full_name", " ").text("password", "123");
    let form = form.file("profile_pic", "me.png", "image/png", b"this is text");
    let expected = json!({
        "email": [TAKEN],
        "full_name": [BLANK],
        "password": WEAK,
        "profile_pic": [crate::pictures::NOT_A_PICTURE],
    });
    Api::new().post_form(PATH, form).await.expect(400, &expected);
}

#[tokio::test]
async fn a_picture_may_be_absent_null_or_empty() {
    for picture in [json!(null), json!("")] {
        assert_eq!(register_with("profile_pic", picture).await.expect_status(201).json()["profile_pic"], Value::Null);
    }
    let form = || registration_form(&unique_email());
    let empty_file = form().file("profile_pic", "", "application/octet-stream", b"");
    for form in [form(), form().text("profile_pic", ""), empty_file] {
        let response = Api::new().post_form(PATH, form).await;
        assert_eq!(response.expect_status(201).json()["profile_pic"], Value::Null);
    }
}

#[tokio::test]
async fn a_picture_is_accepted_as_file_base64_or_data_url() {
    use base64::Engine as _;
    let api = Api::new();
    let picture = drawn(ImageFormat::Png, 40, 30);
    let base64 = base64::engine::general_purpose::STANDARD.encode(&picture);
    for text in [base64.clone(), format!("data:image/png;base64,{base64}")] {
        let link = register_with("profile_pic", json!(text)).await.expect_status(201).json()["profile_pic"].clone();
        let response = api.get(link.as_str().unwrap()).await;
        assert_eq!((response.status, response.header("content-type")), (200, "image/png"));
    }
    let link = TestUser::with_picture(&api, &picture).await.picture().await.unwrap();
    assert!(link.starts_with(&format!("{}/api/user/media/", api.base)) && link.ends_with(".png"), "{link}");
}

#[tokio::test]
async fn an_invalid_picture_is_rejected_and_creates_no_user() {
    let api = Api::new();
    let png = drawn(ImageFormat::Png, 200, 200);
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>"#;
    for (bytes, message) in [
        (&b"only text"[..], crate::pictures::NOT_A_PICTURE),
        (&png[..png.len() / 2], crate::pictures::NOT_A_PICTURE),
        (&jpeg()[..300], crate::pictures::NOT_A_PICTURE),
        (svg, crate::pictures::NOT_A_PICTURE),
        (b"", "The submitted file is empty."),
    ] {
        let email = unique_email();
        let form = registration_form(&email).file("profile_pic", "me.png", "image/png", bytes);
        api.post_form(PATH, form).await.expect_field("profile_pic", &[message]);
        assert_eq!(accounts_of(&email), "0");
    }
    for other in [json!(17), json!([]), json!("no base64!"), json!("http://elsewhere.example/a.png")] {
        register_with("profile_pic", other).await.expect_field("profile_pic", &[NOT_A_FILE]);
    }
    let form = registration_form(&unique_email()).text("profile_pic", "text");
    api.post_form(PATH, form).await.expect_field("profile_pic", &[NOT_A_FILE]);
}
