//! `POST /api/user/register/`.

use image::ImageFormat;
use serde_json::{Value, json};

use crate::support::{Answer, Api, Form, PASSWORD, Person, drawn, jpeg, postgres, stack, unique};

const PATH: &str = "/api/user/register/";

async fn register(body: Value) -> Answer {
    Api::new().post_json(PATH, &body).await
}

/// A good body with one field of another value.
async fn register_with(field: &str, value: Value) -> Answer {
    let mut body =
        json!({ "email": format!("{}@example.com", unique()), "full_name": "Ann Example", "password": PASSWORD });
    body[field] = value;
    register(body).await
}

#[tokio::test]
async fn a_new_account_is_answered_with_201_and_the_user_in_order() {
    let email = format!("{}@example.com", unique());
    let answer = register(json!({ "email": email, "full_name": "Ann Example", "password": PASSWORD })).await;
    let id = answer.expect_status(201).json()["id"].as_str().unwrap().to_owned();
    let expected = format!(r#"{{"id":"{id}","full_name":"Ann Example","email":"{email}","profile_pic":null}}"#);
    assert_eq!(answer.text(), expected);
}

#[tokio::test]
async fn what_is_required_is_told_for_all_fields_at_once() {
    let required = json!(["This field is required."]);
    let expected = json!({ "email": required, "full_name": required, "password": required });
    register(json!({})).await.expect(400, &expected);
    Api::new().post(PATH, "application/json", "").await.expect(400, &expected);
    Api::new().post(PATH, "application/x-www-form-urlencoded", "x=1").await.expect(400, &expected);
    Api::new().post_form(PATH, Form::new().text("x", "1")).await.expect(400, &expected);
}

#[tokio::test]
async fn a_text_field_may_be_neither_blank_nor_null_nor_something_else() {
    for field in ["email", "full_name", "password"] {
        register_with(field, json!("")).await.expect_field(field, &["This field may not be blank."]);
        register_with(field, json!(null)).await.expect_field(field, &["This field may not be null."]);
        for other in [json!([]), json!({}), json!(true)] {
            register_with(field, other).await.expect_field(field, &["Not a valid string."]);
        }
    }
    register_with("email", json!("  ")).await.expect_field("email", &["This field may not be blank."]);
    register_with("full_name", json!(" \t\n")).await.expect_field("full_name", &["This field may not be blank."]);
    register_with("full_name", json!(42)).await.expect_status(201);
}

#[tokio::test]
async fn each_field_has_its_longest_in_characters() {
    let long_name = "ü".repeat(256);
    let sentence = "Ensure this field has no more than 255 characters.";
    register_with("full_name", json!(long_name)).await.expect_field("full_name", &[sentence]);
    register_with("full_name", json!("ü".repeat(255))).await.expect_status(201);
    let long_email = format!("{}@{}.example.com", "a".repeat(64), ["b".repeat(60).as_str(); 4].join("."));
    let sentence = "Ensure this field has no more than 254 characters.";
    register_with("email", json!(long_email)).await.expect_field("email", &[sentence]);
    let sentence = "Ensure this field has no more than 1024 characters.";
    register_with("password", json!("xy ".repeat(342))).await.expect_field("password", &[sentence]);
    register_with("password", json!("xyz ".repeat(256))).await.expect_status(201);
}

#[tokio::test]
async fn nul_is_refused_in_every_text() {
    let sentence = "Null characters are not allowed.";
    register_with("full_name", json!("a\0b")).await.expect_field("full_name", &[sentence]);
    register_with("password", json!("a fine long\0 phrase")).await.expect_field("password", &[sentence]);
    let both = [sentence, "Enter a valid email address."];
    register_with("email", json!("a\0b@example.com")).await.expect_field("email", &both);
}

#[tokio::test]
async fn what_is_no_address_is_refused() {
    for address in ["ann", "ann@", "@example.com", "ann@example", "a b@example.com", "ann@exa_mple.com", "ann@-a.com"] {
        register_with("email", json!(address)).await.expect_field("email", &["Enter a valid email address."]);
    }
}

#[tokio::test]
async fn a_weak_password_is_told_by_every_rule_it_breaks() {
    for (password, sentences) in [
        ("kJ3#", &["This password is too short. It must contain at least 8 characters."][..]),
        ("sunshine1", &["This password is too common."]),
        ("PassWord1", &["This password is too common."]),
        ("9182736450192", &["This password is entirely numeric."]),
        (
            "12345",
            &[
                "This password is too short. It must contain at least 8 characters.",
                "This password is too common.",
                "This password is entirely numeric.",
            ],
        ),
    ] {
        register_with("password", json!(password)).await.expect_field("password", sentences);
    }
    let name = unique();
    let body = json!({ "email": format!("{name}@example.com"), "full_name": "Ann", "password": name });
    register(body).await.expect_field("password", &["The password is too similar to the email."]);
}

#[tokio::test]
async fn two_accounts_never_share_an_address_in_whatever_form() {
    let name = unique();
    register_with("email", json!(format!("  {name}@BÜCHER.example "))).await.expect_status(201);
    for same in ["@bücher.example", "@xn--bcher-kva.example", "@XN--BCHER-KVA.Example", "@bu\u{308}cher.example"] {
        let answer = register_with("email", json!(format!("{}{same}", name.to_uppercase()))).await;
        answer.expect_field("email", &["user with this email already exists."]);
    }
}

#[tokio::test]
async fn of_many_who_register_one_address_at_once_one_gets_it() {
    let email = format!("{}@example.com", unique());
    let all: Vec<_> = (0..20)
        .map(|number| {
            let case = if number % 2 == 0 { email.clone() } else { email.to_uppercase() };
            let picture = jpeg();
            tokio::spawn(async move {
                let form = Form::new().text("email", &case).text("full_name", "Ann").text("password", PASSWORD);
                let form = form.file("profile_pic", "a.jpg", "image/jpeg", &picture);
                Api::new().post_form(PATH, form).await
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for one in all {
        let answer = one.await.unwrap();
        if answer.status == 400 {
            answer.expect_field("email", &["user with this email already exists."]);
        }
        statuses.push(answer.status);
    }
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (201, &[400; 19][..]));
    let count = format!("select count(*) from users where email_canonical = '{email}'");
    assert_eq!(postgres(stack(), &count), "1");
}

#[tokio::test]
async fn name_and_address_lose_the_white_space_around_them_and_the_password_does_not() {
    let email = format!("{}@example.com", unique());
    let body = json!({ "email": format!(" {}\n", email.to_uppercase()), "full_name": " 山田 太郎 ", "password": "  spaces around  " });
    let user = register(body).await.expect_status(201).json();
    assert_eq!((user["email"].as_str(), user["full_name"].as_str()), (Some(email.as_str()), Some("山田 太郎")));
    let api = Api::new();
    Person::login(&api, &email, "  spaces around  ").await.expect_status(200);
    Person::login(&api, &email, "spaces around").await.expect_status(400);
}

#[tokio::test]
async fn a_password_counts_to_its_last_byte() {
    let email = format!("{}@example.com", unique());
    let long = format!("{} the end", "long words ".repeat(12));
    register(json!({ "email": email, "full_name": "Ann", "password": long })).await.expect_status(201);
    let api = Api::new();
    Person::login(&api, &email, &long).await.expect_status(200);
    Person::login(&api, &email, &long[..72]).await.expect_status(400);
    Person::login(&api, &email, &format!("{}x", &long[..long.len() - 1])).await.expect_status(400);
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once_a_taken_address_and_a_bad_picture_too() {
    let person = Person::new().await;
    let form = Form::new().text("email", &person.email.to_uppercase()).text("full_name", " ").text("password", "123");
    let form = form.file("profile_pic", "me.png", "image/png", b"this is text");
    let expected = json!({
        "email": ["user with this email already exists."],
        "full_name": ["This field may not be blank."],
        "password": [
            "This password is too short. It must contain at least 8 characters.",
            "This password is too common.",
            "This password is entirely numeric."
        ],
        "profile_pic": ["Upload a valid image. The file you uploaded was either not an image or a corrupted image."],
    });
    Api::new().post_form(PATH, form).await.expect(400, &expected);
}

#[tokio::test]
async fn a_picture_may_be_absent_null_or_empty() {
    for picture in [json!(null), json!("")] {
        assert_eq!(register_with("profile_pic", picture).await.expect_status(201).json()["profile_pic"], Value::Null);
    }
    let form = || {
        let email = format!("{}@example.com", unique());
        Form::new().text("email", &email).text("full_name", "Ann").text("password", PASSWORD)
    };
    for form in
        [form(), form().text("profile_pic", ""), form().file("profile_pic", "", "application/octet-stream", b"")]
    {
        let answer = Api::new().post_form(PATH, form).await;
        assert_eq!(answer.expect_status(201).json()["profile_pic"], Value::Null);
    }
}

#[tokio::test]
async fn a_picture_comes_as_a_file_as_base64_or_as_a_data_url() {
    use base64::Engine as _;
    let api = Api::new();
    let picture = drawn(ImageFormat::Png, 40, 30);
    let base64 = base64::engine::general_purpose::STANDARD.encode(&picture);
    for text in [base64.clone(), format!("data:image/png;base64,{base64}")] {
        let link = register_with("profile_pic", json!(text)).await.expect_status(201).json()["profile_pic"].clone();
        let answer = api.get(link.as_str().unwrap()).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "image/png"));
    }
    let person = Person::with_picture(&api, &picture).await;
    let link = person.picture().await.unwrap();
    assert!(link.starts_with(&format!("{}/api/user/media/", api.base)) && link.ends_with(".png"), "{link}");
}

#[tokio::test]
async fn what_is_no_picture_is_refused_and_leaves_neither_user_nor_file() {
    let api = Api::new();
    let png = drawn(ImageFormat::Png, 200, 200);
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>"#;
    let upload = "Upload a valid image. The file you uploaded was either not an image or a corrupted image.";
    for (bytes, sentence) in [
        (&b"only text"[..], upload),
        (&png[..png.len() / 2], upload),
        (&jpeg()[..300], upload),
        (svg, upload),
        (b"", "The submitted file is empty."),
    ] {
        let email = format!("{}@example.com", unique());
        let form = Form::new().text("email", &email).text("full_name", "Ann").text("password", PASSWORD);
        let form = form.file("profile_pic", "me.png", "image/png", bytes);
        api.post_form(PATH, form).await.expect_field("profile_pic", &[sentence]);
        let count = format!("select count(*) from users where email_canonical = '{email}'");
        assert_eq!(postgres(stack(), &count), "0");
    }
    let not_a_file = "The submitted data was not a file. Check the encoding type on the form.";
    for other in [json!(17), json!([]), json!("no base64!"), json!("http://elsewhere.example/a.png")] {
        register_with("profile_pic", other).await.expect_field("profile_pic", &[not_a_file]);
    }
    let form = Form::new().text("profile_pic", "text").text("full_name", "Ann").text("password", PASSWORD);
    let form = form.text("email", &format!("{}@example.com", unique()));
    api.post_form(PATH, form).await.expect_field("profile_pic", &[not_a_file]);
}
