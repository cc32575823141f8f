//! `POST /api/user/login/`.

use serde_json::json;

use crate::support::{Api, PASSWORD, TestUser, claims, postgres, redis, send, stack, unique};

const WRONG: &str = "No active account found with the given credentials.";

#[tokio::test]
async fn login_opens_a_session_that_expires_with_its_refresh_token() {
    let user = TestUser::new().await;
    let response = TestUser::login(&user.api, &format!(" {} ", user.email.to_uppercase()), PASSWORD).await;
    let body = response.expect_status(200).json();
    let expected = json!({ "id": user.id, "full_name": "Ann Example", "email": user.email, "profile_pic": null });
    assert_eq!(body["data"], expected);
    for token_type in ["access", "refresh"] {
        let claims = claims(body["tokens"][token_type].as_str().unwrap());
        assert_eq!((&claims["token_type"], &claims["user_id"]), (&json!(token_type), &json!(user.id)));
        for name in ["sid", "jti", "iss"] {
            assert!(claims[name].is_string(), "{name}");
        }
        assert!(claims["exp"].as_u64() > claims["iat"].as_u64());
    }
    assert_eq!(redis(stack(), &["TYPE", &user.session_key()]), "hash");
    let ttl: i64 = redis(stack(), &["TTL", &user.session_key()]).parse().unwrap();
    assert!(ttl > 0, "{ttl}");
}

#[tokio::test]
async fn redis_stores_no_token() {
    let user = TestUser::new().await;
    let session = redis(stack(), &["HGETALL", &user.session_key()]);
    for token in [&user.access, &user.refresh] {
        let signature = token.rsplit('.').next().unwrap();
        assert!(!session.contains(signature));
        assert!(!session.contains(claims(token)["jti"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn unknown_email_wrong_password_and_disabled_account_get_the_same_response() {
    let (user, disabled) = (TestUser::new().await, TestUser::new().await);
    postgres(stack(), &format!("update users set disabled_at = now() where id = '{}'", disabled.id));
    let unknown = format!("unknown-{}", user.email);
    let mut bodies = Vec::new();
    for (email, password) in [
        (unknown.as_str(), PASSWORD),
        (&user.email, "another phrase"),
        (&disabled.email, PASSWORD),
        (&disabled.email, "another phrase"),
        ("no address", PASSWORD),
        (&user.email, &"x".repeat(5000)),
    ] {
        let response = TestUser::login(&user.api, email, password).await;
        response.expect(400, &json!({ "email": [WRONG], "password": [WRONG] }));
        bodies.push(response.bytes);
    }
    assert!(bodies.iter().all(|bytes| *bytes == bodies[0]));
    disabled.me().await.expect_unauthorized();
    disabled.refresh().await.expect_status(401);
}

#[tokio::test]
async fn an_unusable_password_hash_is_a_wrong_password() {
    for hash in [
        "!",
        "",
        "pbkdf2_sha256$1000000$salt$AAAA",
        "$2b$12$abcdefghijklmnopqrstuuJ9Q1Z1Z1Z1Z1Z1Z1Z1Z1Z1Z1Z1Z1Z1Z",
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ",
        "$argon2id$v=99$m=19456,t=2,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=4294967295,t=2,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        let user = TestUser::new().await;
        postgres(stack(), &format!("update users set password_hash = '{hash}' where id = '{}'", user.id));
        let response = TestUser::login(&user.api, &user.email, PASSWORD).await;
        response.expect(400, &json!({ "email": [WRONG], "password": [WRONG] }));
        let request = user.request("DELETE", "/api/user/me/").json(&json!({ "password": PASSWORD }));
        send(request).await.expect_field("password", &["Invalid password."]);
        user.me().await.expect_status(200);
    }
}

#[tokio::test]
async fn an_unnecessarily_quoted_local_part_is_the_same_account() {
    let user = TestUser::new().await;
    let (local, domain) = user.email.split_once('@').unwrap();
    let quoted = format!("\"{local}\"@{domain}");
    TestUser::login(&user.api, &quoted, PASSWORD).await.expect_status(200);
    for (email, message) in [
        (quoted, "user with this email already exists."),
        (format!("\"{local} b\"@{domain}"), "Enter a valid email address."),
    ] {
        let body = json!({ "email": email, "full_name": "Ann", "password": PASSWORD });
        user.api.post_json("/api/user/register/", &body).await.expect_field("email", &[message]);
    }
}

#[tokio::test]
async fn the_migration_unquotes_local_parts_unless_the_email_is_taken() {
    const MIGRATION: &str = include_str!("../../../../auth-api/migrations/V5__unquoted_local_parts.sql");
    let (alone, needed, taken, twice) = (TestUser::new().await, TestUser::new().await, TestUser::new().await, unique());
    let other = TestUser::new().await;
    let domain = "Example.com";
    // As stored by previous releases.
    for (user, local) in [(&alone, format!(r"o\'{}", alone.sid())), (&needed, format!("a {}", needed.sid()))] {
        let email = format!("\"{local}\"@{domain}").replace('\'', "''");
        let sql = format!(
            "update users set email = lower('{email}'), email_canonical = lower('{email}') where id = '{}'",
            user.id
        );
        postgres(stack(), &sql);
    }
    let (name, _) = other.email.split_once('@').unwrap();
    let sql = format!("update users set email_canonical = '\"{name}\"@example.com' where id = '{}'", taken.id);
    postgres(stack(), &sql);
    let insert = |number: u32, local: &str| {
        let columns = "id, email, email_canonical, full_name, password_hash, password_stamp";
        let email = format!("{local}@example.com");
        let values = format!("gen_random_uuid(), '{email}', '{email}', '{number}', '!', gen_random_uuid()");
        postgres(stack(), &format!("insert into users ({columns}) values ({values})"));
    };
    insert(1, &format!("\"{twice}\""));
    insert(2, &format!(r#""\{twice}""#));
    postgres(stack(), MIGRATION);
    let stored = |column: &str, id: &str| postgres(stack(), &format!("select {column} from users where id = '{id}'"));
    assert_eq!(stored("email", &alone.id), format!("o'{}@example.com", alone.sid()));
    assert_eq!(stored("email_canonical", &alone.id), format!("o'{}@example.com", alone.sid()));
    assert_eq!(stored("email_canonical", &needed.id), format!("\"a {}\"@example.com", needed.sid()));
    assert_eq!(stored("email_canonical", &taken.id), format!("\"{name}\"@example.com"));
    let both = postgres(
        stack(),
        &format!("select full_name, email_canonical from users where email_canonical like '%{twice}%' order by 1"),
    );
    assert_eq!(both, format!("1|{twice}@example.com\n2|\"\\{twice}\"@example.com"));
    // The stored address still works for login.
    let needed_email = stored("email", &needed.id);
    TestUser::login(&needed.api, &needed_email, PASSWORD).await.expect_status(200);
    let email = format!("\"o'{}\"@{domain}", alone.sid());
    TestUser::login(&alone.api, &email, PASSWORD).await.expect_status(200);
}

#[tokio::test]
async fn missing_and_invalid_fields_are_reported() {
    let api = Api::new();
    let post = async |body| api.post_json("/api/user/login/", &body).await;
    let required = json!(["This field is required."]);
    post(json!({})).await.expect(400, &json!({ "email": required, "password": required }));
    let expected = json!({ "email": ["This field may not be null."], "password": ["This field may not be blank."] });
    post(json!({ "email": null, "password": "" })).await.expect(400, &expected);
    let expected = json!({ "email": ["Not a valid string."], "password": ["Null characters are not allowed."] });
    post(json!({ "email": [], "password": "a\0" })).await.expect(400, &expected);
}

#[tokio::test]
async fn login_rehashes_a_password_with_outdated_parameters() {
    let user = TestUser::new().await;
    // "correct horse battery staple", hashed with m=8192, t=1.
    let weak = argon2_hash(PASSWORD);
    postgres(stack(), &format!("update users set password_hash = '{weak}' where id = '{}'", user.id));
    TestUser::login(&user.api, &user.email, PASSWORD).await.expect_status(200);
    let hash = postgres(stack(), &format!("select password_hash from users where id = '{}'", user.id));
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    TestUser::login(&user.api, &user.email, PASSWORD).await.expect_status(200);
    user.me().await.expect_status(200);
}

fn argon2_hash(password: &str) -> String {
    use argon2::password_hash::PasswordHasher as _;
    let params = argon2::Params::new(8192, 1, 1, None).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    argon2.hash_password_with_salt(password.as_bytes(), b"0123456789abcdef").unwrap().to_string()
}
