//! The keys of tokens: published, rotated, retired.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Answer, Api, PASSWORD, Person, Replica, Scratch, auth_api_command, claims, send};

const JWKS: &str = "/.well-known/jwks.json";

async fn published(api: &Api) -> BTreeSet<String> {
    let keys = api.get(JWKS).await.expect_status(200).json()["keys"].as_array().unwrap().clone();
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

/// Asks until it is so.
async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let since = Instant::now();
    while !is_so().await {
        assert!(since.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Writes a key, made at a time in Unix seconds, and returns its `kid`.
fn write_key(keys: &Scratch, made_at: u64, seed: u8) -> (String, EncodingKey) {
    let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
    der.extend_from_slice(&[seed; 32]);
    let base64 = base64::engine::general_purpose::STANDARD.encode(&der);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n");
    let kid = format!("{made_at}-{seed}");
    std::fs::write(keys.path().join(format!("{kid}.pem")), &pem).unwrap();
    (kid, EncodingKey::from_ed_pem(pem.as_bytes()).unwrap())
}

fn signed(kid: &str, key: &EncodingKey, claims: &Value) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

#[tokio::test]
async fn a_service_verifies_tokens_by_the_published_keys_alone() {
    let person = Person::new().await;
    let answer = person.api.get(JWKS).await;
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let keys = answer.expect_status(200).json()["keys"].as_array().unwrap().clone();
    let key = keys.iter().find(|key| key["kid"] == kid(&person.access).as_str()).unwrap();
    let x = key["x"].as_str().unwrap();
    let expected = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": key["kid"], "use": "sig", "alg": "EdDSA" });
    assert_eq!(*key, expected);
    let read = jsonwebtoken::decode::<Value>(
        &person.access,
        &DecodingKey::from_ed_components(x).unwrap(),
        &Validation::new(Algorithm::EdDSA),
    );
    assert_eq!(read.unwrap().claims["user_id"], person.id.as_str());
}

#[tokio::test]
async fn the_published_keys_are_read_and_nothing_else() {
    let api = Api::new();
    let get = api.get(&format!("{JWKS}/")).await;
    let head = send(api.request("HEAD", JWKS)).await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    assert_eq!(head.header("content-type"), get.header("content-type"));
    let post = api.post_json(JWKS, &json!({})).await;
    post.expect(405, &json!({ "detail": "Method \"POST\" not allowed." }));
    assert_eq!(post.header("allow"), "GET, HEAD, OPTIONS");
}

#[tokio::test]
async fn a_rotation_signs_nobody_out_on_any_replica() {
    let keys = Scratch::new();
    let settings = [("TOKEN_KEYS_DIR", keys.text()), ("TOKEN_KEY_ACTIVATION_SECONDS", "4")];
    let (one, other) = (Replica::start(&settings).await, Replica::start(&settings).await);
    let mut person = Person::at(&one.api).await;
    let first = kid(&person.access);
    assert_eq!(published(&other.api).await, BTreeSet::from([first.clone()]));

    let rotated = auth_api_command(&["keys", "rotate"], &settings);
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    for replica in [&one, &other] {
        eventually("both keys are published", async || published(&replica.api).await.len() == 2).await;
    }
    let both = published(&one.api).await;
    let second = both.iter().find(|kid| **kid != first).unwrap();
    assert!(published(&other.api).await == both);
    assert!(String::from_utf8_lossy(&rotated.stdout).contains(&format!("{second}  signs in ")));

    eventually("new tokens bear the new key", async || {
        for api in [&one.api, &other.api] {
            api.get_as("/api/user/me/", &person.access).await.expect_status(200);
        }
        let answer = person.refresh().await;
        let tokens = answer.expect_status(200).json();
        person.access = tokens["access"].as_str().unwrap().to_owned();
        person.refresh = tokens["refresh"].as_str().unwrap().to_owned();
        kid(&person.access) == *second
    })
    .await;
    other.api.get_as("/api/user/me/", &person.access).await.expect_status(200);
    let list = auth_api_command(&["keys", "list"], &settings);
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(
        list.contains(&format!("{first}  verifies, for ")) && list.contains(&format!("{second}  signs\n")),
        "{list}"
    );
}

#[tokio::test]
async fn a_token_from_before_its_key_was_retired_is_refused_and_logged() {
    let keys = Scratch::new();
    let (retired, retired_key) = write_key(&keys, 1_000_000_000, 1);
    let (present, present_key) = write_key(&keys, 1_000_000_001, 2);
    let replica = Replica::start(&[("TOKEN_KEYS_DIR", keys.text())]).await;
    let person = Person::at(&replica.api).await;
    assert_eq!(published(&replica.api).await, BTreeSet::from([present.clone()]));
    let (access, refresh) = (claims(&person.access), claims(&person.refresh));
    let me = async |token: &str| -> Answer { replica.api.get_as("/api/user/me/", token).await };
    me(&signed(&present, &present_key, &access)).await.expect_status(200);
    me(&signed(&retired, &retired_key, &access)).await.expect_unauthorized();
    let old = json!({ "refresh": signed(&retired, &retired_key, &refresh) });
    replica.api.post_json("/api/user/refresh/", &old).await.expect_unauthorized();
    person.refresh().await.expect_status(200);
    // The lines of answers are written together, a few times a second.
    let refused = || replica.log().lines().filter(|line| line.contains("\"status\":401")).count();
    eventually("both are logged", async || refused() == 2).await;
    assert!(!replica.log().contains("panicked"), "{}", replica.log());
}

#[tokio::test]
async fn with_a_secret_tokens_are_hs256_and_no_key_is_published() {
    let scratch = Scratch::new();
    let path = scratch.path().join("secret");
    std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
    let settings = [("TOKEN_SECRET_FILE", path.to_str().unwrap())];
    let replica = Replica::start(&settings).await;
    let person = Person::at(&replica.api).await;
    let header = jsonwebtoken::decode_header(&person.access).unwrap();
    assert!(header.alg == Algorithm::HS256 && header.kid.is_some(), "{header:?}");
    person.me().await.expect_status(200);
    person.refresh().await.expect_status(200);
    replica.api.get(JWKS).await.expect(200, &json!({ "keys": [] }));
    // And each refuses what the other has signed.
    Api::new().get_as("/api/user/me/", &person.access).await.expect_unauthorized();
    let other = Person::sign_in(&Api::new(), &person.email).await;
    replica.api.get_as("/api/user/me/", &other.access).await.expect_unauthorized();
    let rotated = auth_api_command(&["keys", "rotate"], &settings);
    assert!(!rotated.status.success() && String::from_utf8_lossy(&rotated.stderr).contains("no keys"));
    std::fs::write(&path, "too short to be a secret").unwrap();
    let media_secret = ("MEDIA_SECRET_FILE", path.to_str().unwrap());
    let refused = auth_api_command(&["serve"], &[settings[0], media_secret]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("TOKEN_SECRET_FILE"));
    Person::login(&replica.api, &person.email, PASSWORD).await.expect_status(200);
}
