//! `GET /api/user/me/`.

use serde_json::json;

use crate::support::{Api, TestUser, postgres, redis, stack, wait_until_signed_out};

const PATH: &str = "/api/user/me/";

#[tokio::test]
async fn both_authorization_schemes_are_case_insensitive() {
    let user = TestUser::new().await;
    let expected = json!({ "id": user.id, "full_name": "Ann Example", "email": user.email, "profile_pic": null });
    for scheme in ["JWT", "jwt", "Bearer", "BEARER"] {
        let authorization = format!("{scheme} {}", user.access);
        user.api.get_with(PATH, &[("authorization", &authorization)]).await.expect(200, &expected);
    }
}

#[tokio::test]
async fn a_missing_token_and_an_invalid_one_are_401_with_different_details() {
    let api = Api::new();
    let absent = json!({ "detail": "Authentication credentials were not provided.", "code": "token_not_valid" });
    api.get(PATH).await.expect_unauthorized().expect(401, &absent);
    let basic = api.get_with(PATH, &[("authorization", "Basic dXNlcjpwYXNz")]).await;
    basic.expect_unauthorized().expect(401, &absent);
    let invalid = json!({
        "detail": "Given token not valid for any token type",
        "code": "token_not_valid",
        "messages": [{ "token_class": "AccessToken", "token_type": "access", "message": "Token is invalid" }],
    });
    for header in ["JWT", "JWT a b", "JWT a.b.c", "Bearer ...", "JWT \u{e9}"] {
        api.get_with(PATH, &[("authorization", header)]).await.expect_unauthorized().expect(401, &invalid);
    }
}

#[tokio::test]
async fn a_refresh_token_is_no_access_token() {
    let user = TestUser::new().await;
    let response = user.api.get_as(PATH, &user.refresh).await;
    assert_eq!(response.expect_unauthorized().json()["messages"][0]["message"], "Token has wrong type");
}

#[tokio::test]
async fn deleting_the_session_key_revokes_its_access_and_refresh_tokens() {
    let user = TestUser::new().await;
    let other = user.sign_in_again().await;
    user.me().await.expect_status(200);
    assert_eq!(redis(stack(), &["DEL", &user.session_key()]), "1");
    wait_until_signed_out(&user).await;
    let expected = json!({ "detail": "Token is invalid", "code": "token_not_valid" });
    user.refresh().await.expect(401, &expected);
    user.update(&json!({ "full_name": "X" })).await.expect_unauthorized();
    assert_eq!(redis(stack(), &["EXISTS", &user.session_key()]), "0", "no request recreates it");
    other.me().await.expect_status(200);
}

#[tokio::test]
async fn tokens_of_a_user_deleted_or_disabled_in_postgres_are_refused() {
    let (deleted, disabled) = (TestUser::new().await, TestUser::new().await);
    deleted.me().await.expect_status(200);
    postgres(stack(), &format!("delete from users where id = '{}'", deleted.id));
    postgres(stack(), &format!("update users set disabled_at = now() where id = '{}'", disabled.id));
    wait_until_signed_out(&deleted).await;
    wait_until_signed_out(&disabled).await;
}

#[tokio::test]
async fn a_corrupt_session_key_is_no_session() {
    for corruption in
        [&["SET", "KEY", "x"][..], &["HDEL", "KEY", "stamp", "refresh"], &["HSET", "KEY", "stamp", "x", "refresh", "x"]]
    {
        let user = TestUser::new().await;
        let key = user.session_key();
        let command: Vec<_> = corruption.iter().map(|word| if *word == "KEY" { key.as_str() } else { word }).collect();
        user.me().await.expect_status(200);
        redis(stack(), &command);
        wait_until_signed_out(&user).await;
    }
}
