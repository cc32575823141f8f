//! Tokens that we did not make, or not so.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::{Person, claims, keys_directory, send};

/// The stack's own signing key and its `kid`.
fn own_key() -> (String, EncodingKey) {
    let path = std::fs::read_dir(keys_directory()).unwrap().map(|entry| entry.unwrap().path());
    let path = path.filter(|path| path.extension().is_some_and(|extension| extension == "pem")).max().unwrap();
    let kid = path.file_stem().unwrap().to_str().unwrap().to_owned();
    (kid, EncodingKey::from_ed_pem(&std::fs::read(path).unwrap()).unwrap())
}

fn signed(claims: &Value) -> String {
    let (kid, key) = own_key();
    let header = Header { kid: Some(kid), ..Header::new(Algorithm::EdDSA) };
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}

fn unsigned(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode(signature))
}

async fn refused(person: &Person, token: &str) -> String {
    let answer = person.api.get_as("/api/user/me/", token).await;
    answer.expect_unauthorized();
    answer.json()["messages"][0]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_claim_is_required_and_typed_though_the_signature_is_good() {
    let person = Person::new().await;
    let good = claims(&person.access);
    person.api.get_as("/api/user/me/", &signed(&good)).await.expect_status(200);
    for (name, values) in [
        (
            "exp",
            &[json!("9999999999"), json!(1e308), json!(-1), json!(null), json!(true), json!([9_999_999_999_u64])][..],
        ),
        ("iat", &[json!("x"), json!(null)]),
        ("user_id", &[json!(1), json!("x"), json!(null), json!("00000000-0000-0000-0000-000000000000")]),
        ("sid", &[json!(1), json!(""), json!("*"), json!("00000000-0000-0000-0000-000000000000")]),
        ("jti", &[json!(1), json!("")]),
        ("iss", &[json!("somebody else"), json!(["users"]), json!(null)]),
        ("token_type", &[json!("Access"), json!("root"), json!(1), json!(null)]),
    ] {
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove(name);
        assert_eq!(refused(&person, &signed(&without)).await, "Token is invalid", "without {name}");
        for value in values {
            let mut changed = good.clone();
            changed[name] = value.clone();
            assert_eq!(refused(&person, &signed(&changed)).await, "Token is invalid", "{name}: {value}");
        }
    }
}

#[tokio::test]
async fn a_token_whose_time_is_over_is_told_so() {
    let person = Person::new().await;
    let mut past = claims(&person.access);
    past["exp"] = json!(1_000_000_000);
    assert_eq!(refused(&person, &signed(&past)).await, "Token is expired");
    let mut past = claims(&person.refresh);
    past["exp"] = json!(1_000_000_000);
    let answer = person.api.post_json("/api/user/refresh/", &json!({ "refresh": signed(&past) })).await;
    answer.expect_unauthorized().expect(401, &json!({ "detail": "Token is expired", "code": "token_not_valid" }));
}

#[tokio::test]
async fn a_session_of_another_user_is_not_the_tokens() {
    let (person, other) = (Person::new().await, Person::new().await);
    let mut mixed = claims(&person.access);
    mixed["sid"] = claims(&other.access)["sid"].clone();
    refused(&person, &signed(&mixed)).await;
}

#[tokio::test]
async fn the_algorithm_is_the_keys_and_never_the_tokens() {
    let person = Person::new().await;
    let good = claims(&person.access);
    let (kid, _) = own_key();
    for algorithm in ["none", "None", "", "HS256", "RS256", "ES256", "EDDSA"] {
        let header = json!({ "typ": "JWT", "alg": algorithm, "kid": kid });
        refused(&person, &unsigned(&header, &good, b"")).await;
        refused(&person, &unsigned(&header, &good, &[0; 64])).await;
    }
    let jwks = person.api.get("/.well-known/jwks.json").await.expect_status(200).json();
    let published = jwks["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid.as_str()).unwrap().clone();
    let x = published["x"].as_str().unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(x).unwrap();
    let spki = [hex::decode("302a300506032b6570032100").unwrap(), bytes.clone()].concat();
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
            refused(&person, &token).await;
        }
    }
}

#[tokio::test]
async fn another_key_and_another_kid_are_refused() {
    let person = Person::new().await;
    let good = claims(&person.access);
    let mut seed = hex::decode("302e020100300506032b657004220420").unwrap();
    seed.extend_from_slice(&[9; 32]);
    let stranger = EncodingKey::from_ed_der(&seed);
    for kid in [own_key().0, "../../etc/passwd".to_owned(), "x".repeat(10_000), String::new()] {
        let header = Header { kid: Some(kid), ..Header::new(Algorithm::EdDSA) };
        refused(&person, &jsonwebtoken::encode(&header, &good, &stranger).unwrap()).await;
    }
    let (_, own) = own_key();
    for kid in [None, Some("1-ffff".to_owned())] {
        let header = Header { kid, ..Header::new(Algorithm::EdDSA) };
        refused(&person, &jsonwebtoken::encode(&header, &good, &own).unwrap()).await;
    }
}

#[tokio::test]
async fn an_enormous_header_is_refused_in_json() {
    let person = Person::new().await;
    refused(&person, &"x".repeat(10_000)).await;
    let request = person.api.request("GET", "/api/user/me/");
    let answer = send(request.header("authorization", format!("JWT {}", "x".repeat(1 << 20)))).await;
    assert!((400..500).contains(&answer.status));
    answer.expect_status(answer.status);
}
