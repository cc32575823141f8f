//! `POST /api/user/login/`.

use serde_json::json;

use crate::support::{Api, PASSWORD, Person, claims, postgres, redis, stack, unique};

const WRONG: &str = "No active account found with the given credentials.";

#[tokio::test]
async fn the_right_password_opens_a_session() {
    let person = Person::new().await;
    let answer = Person::login(&person.api, &format!(" {} ", person.email.to_uppercase()), PASSWORD).await;
    let body = answer.expect_status(200).json();
    let expected = json!({ "id": person.id, "full_name": "Ann Example", "email": person.email, "profile_pic": null });
    assert_eq!(body["data"], expected);
    for (name, token_type) in [("access", "access"), ("refresh", "refresh")] {
        let claims = claims(body["tokens"][name].as_str().unwrap());
        assert_eq!((&claims["token_type"], &claims["user_id"]), (&json!(token_type), &json!(person.id)));
        for name in ["sid", "jti", "iss"] {
            assert!(claims[name].is_string(), "{name}");
        }
        assert!(claims["exp"].as_u64() > claims["iat"].as_u64());
    }
    assert_eq!(redis(stack(), &["TYPE", &person.session_key()]), "hash");
    let ttl: i64 = redis(stack(), &["TTL", &person.session_key()]).parse().unwrap();
    assert!(ttl > 0, "a session expires with its refresh token: {ttl}");
}

#[tokio::test]
async fn redis_holds_no_token() {
    let person = Person::new().await;
    let session = redis(stack(), &["HGETALL", &person.session_key()]);
    for token in [&person.access, &person.refresh] {
        let signature = token.rsplit('.').next().unwrap();
        assert!(!session.contains(signature));
        assert!(!session.contains(claims(token)["jti"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn unknown_wrong_and_disabled_are_told_alike() {
    let person = Person::new().await;
    let disabled = Person::new().await;
    postgres(stack(), &format!("update users set disabled_at = now() where id = '{}'", disabled.id));
    let unknown = format!("nobody-{}", person.email);
    let mut answers = Vec::new();
    for (email, password) in [
        (unknown.as_str(), PASSWORD),
        (&person.email, "another phrase"),
        (&disabled.email, PASSWORD),
        (&disabled.email, "another phrase"),
        ("no address", PASSWORD),
        (&person.email, &"x".repeat(5000)),
    ] {
        let answer = Person::login(&person.api, email, password).await;
        answer.expect(400, &json!({ "email": [WRONG], "password": [WRONG] }));
        answers.push(answer.bytes);
    }
    assert!(answers.iter().all(|bytes| *bytes == answers[0]));
    disabled.me().await.expect_unauthorized();
    disabled.refresh().await.expect_status(401);
}

#[tokio::test]
async fn a_stored_hash_that_can_not_be_used_is_a_wrong_credential() {
    for hash in [
        "!",
        "",
        "pbkdf2_sha256$1000000$salt$AAAA",
        "$2b$12$abcdefghijklmnopqrstuuJ9Q1Z1Z1Z1Z1Z1Z1Z1Z1Z1Z1Z1Z1Z1Z",
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ",
        "$argon2id$v=99$m=19456,t=2,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=4294967295,t=2,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        let person = Person::new().await;
        postgres(stack(), &format!("update users set password_hash = '{hash}' where id = '{}'", person.id));
        let answer = Person::login(&person.api, &person.email, PASSWORD).await;
        answer.expect(400, &json!({ "email": [WRONG], "password": [WRONG] }));
        let request = person.api.request("DELETE", "/api/user/me/");
        let request = request.header("authorization", format!("JWT {}", person.access));
        let answer = crate::support::send(request.json(&json!({ "password": PASSWORD }))).await;
        answer.expect_field("password", &["Invalid password."]);
        person.me().await.expect_status(200);
    }
}

#[tokio::test]
async fn quotes_that_an_address_does_not_need_make_no_other_account() {
    let person = Person::new().await;
    let (local, domain) = person.email.split_once('@').unwrap();
    let quoted = format!("\"{local}\"@{domain}");
    Person::login(&person.api, &quoted, PASSWORD).await.expect_status(200);
    let body = json!({ "email": quoted, "full_name": "Ann", "password": PASSWORD });
    let answer = person.api.post_json("/api/user/register/", &body).await;
    answer.expect_field("email", &["user with this email already exists."]);
    let body = json!({ "email": format!("\"{local} b\"@{domain}"), "full_name": "Ann", "password": PASSWORD });
    let answer = person.api.post_json("/api/user/register/", &body).await;
    answer.expect_field("email", &["Enter a valid email address."]);
}

#[tokio::test]
async fn the_migration_removes_quotes_that_are_not_needed_unless_the_address_is_taken() {
    const MIGRATION: &str = include_str!("../../../../auth-api/migrations/V5__unquoted_local_parts.sql");
    let (alone, needed, taken, twice) = (Person::new().await, Person::new().await, Person::new().await, unique());
    let other = Person::new().await;
    let domain = "Example.com";
    // As the releases before this one stored them.
    for (person, local) in [(&alone, format!(r"o\'{}", alone.sid())), (&needed, format!("a {}", needed.sid()))] {
        let email = format!("\"{local}\"@{domain}").replace('\'', "''");
        let sql = format!(
            "update users set email = lower('{email}'), email_canonical = lower('{email}') where id = '{}'",
            person.id
        );
        postgres(stack(), &sql);
    }
    let (name, _) = other.email.split_once('@').unwrap();
    let sql = format!("update users set email_canonical = '\"{name}\"@example.com' where id = '{}'", taken.id);
    postgres(stack(), &sql);
    let new = |number: u32, local: &str| {
        let email = format!("{local}@example.com");
        postgres(
            stack(),
            &format!(
                "insert into users (id, email, email_canonical, full_name, password_hash, password_stamp) values (gen_random_uuid(), '{email}', '{email}', '{number}', '!', gen_random_uuid())"
            ),
        );
    };
    new(1, &format!("\"{twice}\""));
    new(2, &format!(r#""\{twice}""#));
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
    // Each can still sign in with the address as it was stored.
    let needed_email = stored("email", &needed.id);
    Person::login(&needed.api, &needed_email, PASSWORD).await.expect_status(200);
    let email = format!("\"o'{}\"@{domain}", alone.sid());
    Person::login(&alone.api, &email, PASSWORD).await.expect_status(200);
}

#[tokio::test]
async fn what_is_missing_is_told() {
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
async fn a_hash_of_weaker_parameters_is_made_anew_at_sign_in() {
    let person = Person::new().await;
    // "correct horse battery staple", hashed with m=8192, t=1.
    let weak = argon2_hash(PASSWORD);
    postgres(stack(), &format!("update users set password_hash = '{weak}' where id = '{}'", person.id));
    Person::login(&person.api, &person.email, PASSWORD).await.expect_status(200);
    let hash = postgres(stack(), &format!("select password_hash from users where id = '{}'", person.id));
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    Person::login(&person.api, &person.email, PASSWORD).await.expect_status(200);
    person.me().await.expect_status(200);
}

fn argon2_hash(password: &str) -> String {
    use argon2::password_hash::PasswordHasher as _;
    let params = argon2::Params::new(8192, 1, 1, None).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    argon2.hash_password_with_salt(password.as_bytes(), b"0123456789abcdef").unwrap().to_string()
}
