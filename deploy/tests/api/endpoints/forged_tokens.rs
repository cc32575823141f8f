//! Access tokens that auth-api has not issued, or not in this form.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::{TestUser, claims, keys_directory};

/// The signing key of the stack and its `kid`.
fn stack_key() -> (String, EncodingKey) {
    let path = std::fs::read_dir(keys_directory()).unwrap().map(|entry| entry.unwrap().path());
    let path = path.filter(|path| path.extension().is_some_and(|extension| extension == "pem")).max().unwrap();
    let kid = path.file_stem().unwrap().to_str().unwrap().to_owned();
    (kid, EncodingKey::from_ec_pem(&std::fs::read(path).unwrap()).unwrap())
}

fn signed(claims: &Value) -> String {
    let (kid, key) = stack_key();
    let header = Header { kid: Some(kid), ..Header::new(Algorithm::ES256) };
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}

fn unsigned(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode(signature))
}

/// Asserts a 401, and returns its message.
async fn assert_refused(user: &TestUser, token: &str) -> String {
    let response = user.api.get_as("/api/user/me/", token).await;
    response.expect_unauthorized();
    response.json()["messages"][0]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_claim_is_required_and_typed_even_with_a_valid_signature() {
    let user = TestUser::new().await;
    let good = claims(&user.access);
    user.api.get_as("/api/user/me/", &signed(&good)).await.expect_status(200);
    for (name, values) in [
        (
            "exp",
            &[json!("9999999999"), json!(1e308), json!(-1), json!(null), json!(true), json!([9_999_999_999_u64])][..],
        ),
        ("iat", &[json!("x"), json!(null)]),
        ("user_id", &[json!(1), json!("x"), json!(null), json!("00000000-0000-0000-0000-000000000000")]),
        ("sid", &[json!(1), json!(""), json!("*"), json!("00000000-0000-0000-0000-000000000000")]),
        ("jti", &[json!(1), json!("")]),
        ("iss", &[json!("another issuer"), json!(["users"]), json!(null)]),
        ("token_type", &[json!("Access"), json!("root"), json!(1), json!(null)]),
    ] {
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove(name);
        assert_eq!(assert_refused(&user, &signed(&without)).await, "Token is invalid", "without {name}");
        for value in values {
            let mut changed = good.clone();
            changed[name] = value.clone();
            assert_eq!(assert_refused(&user, &signed(&changed)).await, "Token is invalid", "{name}: {value}");
        }
    }
}

#[tokio::test]
async fn an_expired_token_is_401_with_its_reason() {
    let user = TestUser::new().await;
    let mut past = claims(&user.access);
    past["exp"] = json!(1_000_000_000);
    assert_eq!(assert_refused(&user, &signed(&past)).await, "Token is expired");
    let mut past = claims(&user.refresh);
    past["exp"] = json!(1_000_000_000);
    let response = user.api.post_json("/api/user/refresh/", &json!({ "refresh": signed(&past) })).await;
    response.expect_unauthorized().expect(401, &json!({ "detail": "Token is expired", "code": "token_not_valid" }));
}

#[tokio::test]
async fn a_token_with_the_session_of_another_user_is_refused() {
    let (user, other) = (TestUser::new().await, TestUser::new().await);
    let mut mixed = claims(&user.access);
    mixed["sid"] = claims(&other.access)["sid"].clone();
    assert_refused(&user, &signed(&mixed)).await;
}

#[tokio::test]
async fn the_algorithm_is_determined_by_the_key_not_by_the_token() {
    let user = TestUser::new().await;
    let good = claims(&user.access);
    let (kid, _) = stack_key();
    for algorithm in ["none", "None", "", "HS256", "RS256", "ES256", "EdDSA"] {
        let header = json!({ "typ": "JWT", "alg": algorithm, "kid": kid });
        assert_refused(&user, &unsigned(&header, &good, b"")).await;
        assert_refused(&user, &unsigned(&header, &good, &[0; 64])).await;
    }
    let jwks = user.api.get("/.well-known/jwks.json").await.expect_status(200).json();
    let published = jwks["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid.as_str()).unwrap().clone();
    let x = published["x"].as_str().unwrap();
    let coordinates = ["x", "y"].map(|name| URL_SAFE_NO_PAD.decode(published[name].as_str().unwrap()).unwrap());
    let bytes = [vec![4], coordinates.concat()].concat();
    let prefix = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
    let spki = [prefix, bytes.clone()].concat();
    let base64 = base64::engine::general_purpose::STANDARD.encode(&spki);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n");
    let public = [
        bytes,
        spki,
        x.into(),
        pem.trim().into(),
        pem.clone().into(),
        published.to_string().into(),
        kid.clone().into(),
    ];
    for secret in public {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let header = Header { kid: Some(kid.clone()), ..Header::new(algorithm) };
            let token = jsonwebtoken::encode(&header, &good, &EncodingKey::from_secret(&secret)).unwrap();
            assert_refused(&user, &token).await;
        }
    }
}

#[tokio::test]
async fn an_unknown_key_and_a_wrong_kid_are_refused() {
    let user = TestUser::new().await;
    let good = claims(&user.access);
    let mut seed = hex::decode("302e020100300506032b657004220420").unwrap();
    seed.extend_from_slice(&[9; 32]);
    let unknown_key = EncodingKey::from_ed_der(&seed);
    // As a token of EdDSA; the stack's key is of ES256.
    for kid in [stack_key().0, "../../etc/passwd".to_owned(), "x".repeat(10_000), String::new()] {
        let header = Header { kid: Some(kid), ..Header::new(Algorithm::EdDSA) };
        assert_refused(&user, &jsonwebtoken::encode(&header, &good, &unknown_key).unwrap()).await;
    }
    let (_, own) = stack_key();
    for kid in [None, Some("1-ffff".to_owned())] {
        let header = Header { kid, ..Header::new(Algorithm::ES256) };
        assert_refused(&user, &jsonwebtoken::encode(&header, &good, &own).unwrap()).await;
    }
}

#[tokio::test]
async fn an_oversized_authorization_header_is_4xx_in_json() {
    let user = TestUser::new().await;
    assert_refused(&user, &"x".repeat(10_000)).await;
    let response = user.api.get_as("/api/user/me/", &"x".repeat(1 << 20)).await;
    assert!((400..500).contains(&response.status));
    response.expect_status(response.status);
}
