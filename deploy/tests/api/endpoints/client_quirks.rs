//! What clients send that is unusual and means something all the same.

use std::time::Duration;

use auth_api::domain::Password;
use auth_api::hashing::{Hashing, HashingConfig};
use serde_json::{Value, json};
use shared::random::Random;
use shared::worker_pool::WorkersConfig;

use crate::support::{Api, PASSWORD, TestUser, postgres, registration, send, stack, unique};

/// "Zoë's naïve passphrase" as one keyboard sends it, and another.
const COMPOSED: &str = "Zo\u{eb}'s na\u{ef}ve passphrase";
const DECOMPOSED: &str = "Zoe\u{308}'s nai\u{308}ve passphrase";

async fn login_status(email: &str, password: &str) -> u16 {
    TestUser::login(&Api::new(), email, password).await.status
}

#[tokio::test]
async fn a_password_is_the_same_in_every_normalization_form() {
    for registered in [COMPOSED, DECOMPOSED] {
        let mut body = registration();
        body["password"] = json!(registered);
        Api::new().post_json("/api/user/register/", &body).await.expect_status(201);
        for sent in [COMPOSED, DECOMPOSED] {
            assert_eq!(login_status(body["email"].as_str().unwrap(), sent).await, 200);
        }
    }
    // 1,024 characters after normalization.
    let mut body = registration();
    body["password"] = json!("e\u{301}".repeat(1024));
    Api::new().post_json("/api/user/register/", &body).await.expect_status(201);
    body["email"] = json!(format!("x{}", body["email"].as_str().unwrap()));
    body["password"] = json!("e\u{301}".repeat(1025));
    let refused = Api::new().post_json("/api/user/register/", &body).await;
    refused.expect_field("password", &["Ensure this field has no more than 1024 characters."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_an_earlier_release_hashed_as_it_was_sent_is_accepted_and_rehashed() {
    let user = TestUser::new().await;
    let workers = WorkersConfig { threads: 1, queue_max: 1, queue_timeout: Duration::from_secs(10) };
    let config = HashingConfig { memory_kib: 19_456, passes: 2, lanes: 1, workers };
    let raw = Password::to_compare(DECOMPOSED).raw().expect("it is not NFC");
    let hash = Hashing::start(&config, Random::system()).unwrap().hash(raw).await.unwrap();
    let condition = format!("where id = '{}'", user.id);
    postgres(stack(), &format!("update users set password_hash = '{hash}' {condition}"));
    // That keyboard is needed once.
    assert_eq!(login_status(&user.email, COMPOSED).await, 400);
    assert_eq!(login_status(&user.email, DECOMPOSED).await, 200);
    assert_ne!(postgres(stack(), &format!("select password_hash from users {condition}")), hash);
    assert_eq!(login_status(&user.email, COMPOSED).await, 200);
    assert_eq!(login_status(&user.email, DECOMPOSED).await, 200);
}

#[tokio::test]
async fn what_me_returns_can_be_sent_back_and_used_to_sign_in() {
    let name = unique();
    let mut body = registration();
    body["email"] = json!(format!("{name}@B\u{dc}CHER.ex\u{ff41}mple"));
    let registered = Api::new().post_json("/api/user/register/", &body).await.expect_status(201).json();
    let email = format!("{name}@xn--bcher-kva.example");
    assert_eq!(registered["email"], json!(email));
    let user = TestUser::sign_in(&Api::new(), &email).await;
    let me = user.me().await.json();
    assert_eq!(user.update(&me).await.expect_status(200).json(), me);
    TestUser::login(&user.api, &format!("{name}@b\u{fc}cher.example"), PASSWORD).await.expect_status(200);
    for invisible in ["ann@exa\u{ad}mple.com", "ann\u{200b}@example.com", "ann@exam\u{2060}ple.com"] {
        user.update(&json!({ "email": invisible })).await.expect_field("email", &["Enter a valid email address."]);
    }
}

#[tokio::test]
async fn a_number_is_a_text_digit_by_digit() {
    let user = TestUser::new().await;
    for number in ["1.10", "123456789012345678901234567890", "-0", "1e3"] {
        let request = user.request("PUT", "/api/user/update/").header("content-type", "application/json");
        let updated = send(request.body(format!("{{\"full_name\": {number}}}"))).await;
        assert_eq!(updated.expect_status(200).json()["full_name"], json!(number));
    }
    for other in [json!(true), json!([1]), json!({ "a": 1 })] {
        user.update(&json!({ "full_name": other })).await.expect_field("full_name", &["Not a valid string."]);
    }
}

#[tokio::test]
async fn a_name_must_show_something() {
    let user = TestUser::new().await;
    for name in ["\u{200b}", "\u{3164}", "\u{2060}\u{feff}"] {
        user.update(&json!({ "full_name": name })).await.expect_field("full_name", &["This field may not be blank."]);
    }
    let refused = user.update(&json!({ "full_name": "Ann\nLee" })).await;
    refused.expect_field("full_name", &["Control characters are not allowed."]);
}

#[tokio::test]
async fn the_charset_may_be_written_in_several_ways() {
    let body = json!({ "email": format!("{}@example.com", unique()), "password": PASSWORD }).to_string();
    for charset in ["utf-8", "UTF-8", "utf8", "UTF8", "\"utf-8\"", "us-ascii"] {
        let content_type = format!("application/json; charset={charset}");
        let response = Api::new().post("/api/user/login/", &content_type, body.clone()).await;
        assert_eq!(
            response.expect_status(400).json()["password"],
            json!(["No active account found with the given credentials."])
        );
    }
    let refused = Api::new().post("/api/user/login/", "application/json; charset=latin1", body).await;
    refused.expect_status(415);
}

#[tokio::test]
async fn an_account_is_deleted_by_post_too() {
    let user = TestUser::new().await;
    let delete = async |body: Value| send(user.request("POST", "/api/user/me/delete/").json(&body)).await;
    delete(json!({})).await.expect_field("password", &["This field is required."]);
    delete(json!({ "password": "wrong password" })).await.expect_status(400);
    assert_eq!(delete(json!({ "password": PASSWORD })).await.status, 204);
    user.me().await.expect_unauthorized();
    assert_eq!(login_status(&user.email, PASSWORD).await, 400);
}
