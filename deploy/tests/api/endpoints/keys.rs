//! Signing keys: publication (JWKS), rotation, retirement.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};

use crate::support::{Api, PASSWORD, Replica, Response, Scratch, TestUser, auth_api_command, claims, wait_until};

const JWKS: &str = "/.well-known/jwks.json";

async fn published(api: &Api) -> BTreeSet<String> {
    let keys = api.get(JWKS).await.expect_status(200).json()["keys"].as_array().unwrap().clone();
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

/// Of a key and of a log line.
const VISIBLE_WITHIN: Duration = Duration::from_secs(20);

/// Writes a key created at a time in Unix seconds, and returns its `kid`.
fn write_key(keys: &Scratch, created_at: u64, seed: u8) -> (String, EncodingKey) {
    let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
    der.extend_from_slice(&[seed; 32]);
    let base64 = base64::engine::general_purpose::STANDARD.encode(&der);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n");
    let kid = format!("{created_at}-{seed}");
    std::fs::write(keys.path().join(format!("{kid}.pem")), &pem).unwrap();
    (kid, EncodingKey::from_ed_pem(pem.as_bytes()).unwrap())
}

fn signed(kid: &str, key: &EncodingKey, claims: &Value) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

#[tokio::test]
async fn the_published_keys_verify_tokens() {
    let user = TestUser::new().await;
    let response = user.api.get(JWKS).await;
    assert_eq!(response.header("cache-control"), "public, max-age=300");
    let keys = response.expect_status(200).json()["keys"].as_array().unwrap().clone();
    let key = keys.iter().find(|key| key["kid"] == kid(&user.access).as_str()).unwrap();
    let [x, y] = ["x", "y"].map(|name| key[name].as_str().unwrap());
    let expected =
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": key["kid"], "use": "sig", "alg": "ES256" });
    assert_eq!(*key, expected);
    let read = jsonwebtoken::decode::<Value>(
        &user.access,
        &DecodingKey::from_ec_components(x, y).unwrap(),
        &Validation::new(Algorithm::ES256),
    );
    assert_eq!(read.unwrap().claims["user_id"], user.id.as_str());
}

#[tokio::test]
async fn jwks_supports_get_and_head_only() {
    let api = Api::new();
    let get = api.get(&format!("{JWKS}/")).await;
    let head = api.head(JWKS).await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    assert_eq!(head.header("content-type"), get.header("content-type"));
    let post = api.post_json(JWKS, &json!({})).await;
    post.expect(405, &json!({ "detail": "Method \"POST\" not allowed." }));
    assert_eq!(post.header("allow"), "GET, HEAD, OPTIONS");
}

#[tokio::test]
async fn a_key_rotation_revokes_no_token_on_any_replica() {
    let keys = Scratch::new();
    let refresh_secret = keys.write("refresh-secret", "0123456789abcdef0123456789abcdef");
    let settings = [
        ("TOKEN_KEYS_DIR", keys.text()),
        ("REFRESH_SECRET_FILE", &refresh_secret),
        ("TOKEN_KEY_ACTIVATION_SECONDS", "4"),
        ("REFRESH_GRACE_SECONDS", "300"),
    ];
    let (one, other) = (Replica::start(&settings).await, Replica::start(&settings).await);
    let mut user = TestUser::at(&one.api).await;
    let (first, first_secret) = (kid(&user.access), kid(&user.refresh));
    // The response to this refresh is lost; the client repeats it after the rotation.
    let repeating = user.sign_in_again().await;
    let successor = repeating.refreshed().await.refresh;
    assert_eq!(published(&other.api).await, BTreeSet::from([first.clone()]));

    let rotated = auth_api_command(&["keys", "rotate"], &settings);
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    for replica in [&one, &other] {
        wait_until("both keys are published", VISIBLE_WITHIN, async || published(&replica.api).await.len() == 2).await;
    }
    let both = published(&one.api).await;
    let second = both.iter().find(|kid| **kid != first).unwrap();
    assert!(published(&other.api).await == both);
    assert!(String::from_utf8_lossy(&rotated.stdout).contains(&format!("{second}  ES256  signs in ")));

    wait_until("new tokens bear the new key", VISIBLE_WITHIN, async || {
        for api in [&one.api, &other.api] {
            api.get_as("/api/user/me/", &user.access).await.expect_status(200);
            user = user.via(api).refreshed().await;
        }
        kid(&user.access) == *second && kid(&user.refresh) != first_secret
    })
    .await;
    other.api.get_as("/api/user/me/", &user.access).await.expect_status(200);
    let list = auth_api_command(&["keys", "list"], &settings);
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    for line in [
        format!("access  {first}  ES256  verifies, for "),
        format!("access  {second}  ES256  signs\n"),
        format!("refresh  {first_secret}  HS256  verifies, for "),
        format!("refresh  {}  HS256  signs\n", kid(&user.refresh)),
    ] {
        assert!(list.contains(&line), "{line} {list}");
    }
    for replica in [&one, &other] {
        assert_eq!(repeating.via(&replica.api).refreshed().await.refresh, successor);
    }
}

#[tokio::test]
async fn a_token_of_a_retired_key_is_refused_and_logged() {
    let keys = Scratch::new();
    let (retired, retired_key) = write_key(&keys, 1_000_000_000, 1);
    let (present, present_key) = write_key(&keys, 1_000_000_001, 2);
    let replica = Replica::start(&[("TOKEN_KEYS_DIR", keys.text()), ("TOKEN_ALGORITHM", "EdDSA")]).await;
    let user = TestUser::at(&replica.api).await;
    assert_eq!(published(&replica.api).await, BTreeSet::from([present.clone()]));
    let (access, refresh) = (claims(&user.access), claims(&user.refresh));
    let me = async |token: &str| -> Response { replica.api.get_as("/api/user/me/", token).await };
    me(&signed(&present, &present_key, &access)).await.expect_status(200);
    me(&signed(&retired, &retired_key, &access)).await.expect_unauthorized();
    let old = json!({ "refresh": signed(&retired, &retired_key, &refresh) });
    replica.api.post_json("/api/user/refresh/", &old).await.expect_unauthorized();
    user.refresh().await.expect_status(200);
    // The access log is flushed a few times a second.
    let refusals = || replica.log().lines().filter(|line| line.contains("\"status\":401")).count();
    wait_until("both are logged", VISIBLE_WITHIN, async || refusals() == 2).await;
    assert!(!replica.log().contains("panicked"), "{}", replica.log());
}

#[tokio::test]
async fn with_a_shared_secret_tokens_are_hs256_and_jwks_is_empty() {
    let scratch = Scratch::new();
    let path = scratch.path().join("secret");
    std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
    let refresh_secret = scratch.write("refresh-secret", "fedcba9876543210fedcba9876543210");
    let settings = [("TOKEN_SECRET_FILE", path.to_str().unwrap()), ("REFRESH_SECRET_FILE", &refresh_secret)];
    let replica = Replica::start(&settings).await;
    let user = TestUser::at(&replica.api).await;
    let header = jsonwebtoken::decode_header(&user.access).unwrap();
    assert!(header.alg == Algorithm::HS256 && header.kid.is_some(), "{header:?}");
    user.me().await.expect_status(200);
    user.refresh().await.expect_status(200);
    replica.api.get(JWKS).await.expect(200, &json!({ "keys": [] }));
    replica.api.get("/.well-known/openid-configuration").await.expect_status(404);
    // Each configuration refuses tokens of the other.
    Api::new().get_as("/api/user/me/", &user.access).await.expect_unauthorized();
    let other = TestUser::sign_in(&Api::new(), &user.email).await;
    replica.api.get_as("/api/user/me/", &other.access).await.expect_unauthorized();
    assert_ne!(kid(&user.refresh), kid(&user.access));
    let rotated = auth_api_command(&["keys", "rotate"], &settings);
    assert!(rotated.status.success() && String::from_utf8_lossy(&rotated.stdout).contains("  signs in "));
    assert_eq!(std::fs::read_to_string(&refresh_secret).unwrap().lines().count(), 2);
    let without_refresh_secret = [settings[0], ("REFRESH_SECRET_FILE", ""), ("REFRESH_TOKEN_ALGORITHM", "eddsa")];
    let rotated = auth_api_command(&["keys", "rotate"], &without_refresh_secret);
    assert!(!rotated.status.success() && String::from_utf8_lossy(&rotated.stderr).contains("no keys"));
    std::fs::write(&path, "too short to be a secret").unwrap();
    let media_secret = ("MEDIA_SECRET_FILE", path.to_str().unwrap());
    let refused = auth_api_command(&["serve"], &[settings[0], media_secret]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("TOKEN_SECRET_FILE"));
    TestUser::login(&replica.api, &user.email, PASSWORD).await.expect_status(200);
}
