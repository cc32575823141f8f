//! Refresh tokens under a secret of auth-api's own, and under the keys of access tokens as earlier releases issued them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::{Api, Replica, Scratch, TestUser, auth_api_command, claims, keys_directory};

/// The refresh secret of the stack.
fn secret() -> Vec<u8> {
    let file = std::fs::read_to_string(keys_directory().join("refresh-secret")).unwrap();
    file.lines().next().unwrap().split(' ').next_back().unwrap().as_bytes().to_owned()
}

fn header(token: &str) -> Header {
    jsonwebtoken::decode_header(token).unwrap()
}

/// Asserts the 401 of `refresh` and `logout` for this token.
async fn assert_refused_as_refresh_token(api: &Api, token: &str, detail: &str) {
    for path in ["/api/user/refresh/", "/api/user/logout/"] {
        let response = api.post_json(path, &json!({ "refresh": token })).await;
        response.expect_unauthorized().expect(401, &json!({ "detail": detail, "code": "token_not_valid" }));
    }
}

/// Asserts the 401 of an endpoint that needs an access token.
async fn assert_refused_as_access_token(api: &Api, token: &str, message: &str) {
    let response = api.get_as("/api/user/me/", token).await;
    assert_eq!(response.expect_unauthorized().json()["messages"][0]["message"], message);
}

#[tokio::test]
async fn the_refresh_secret_is_not_published() {
    let user = TestUser::new().await;
    let header = header(&user.refresh);
    assert_eq!(header.alg, Algorithm::HS256);
    let jwks = user.api.get("/.well-known/jwks.json").await.expect_status(200).json();
    for key in jwks["keys"].as_array().unwrap() {
        assert!(key["kty"] == "EC" && key["kid"] != header.kid.as_deref().unwrap(), "{key}");
    }
    let key = jsonwebtoken::DecodingKey::from_secret(&secret());
    let read = jsonwebtoken::decode::<Value>(&user.refresh, &key, &jsonwebtoken::Validation::new(Algorithm::HS256));
    assert_eq!(read.unwrap().claims["token_type"], "refresh");
}

#[tokio::test]
async fn a_valid_token_of_the_other_type_is_401_with_its_reason() {
    let keys = Scratch::new();
    let eddsa = [("REFRESH_TOKEN_ALGORITHM", "eddsa"), ("TOKEN_KEYS_DIR", keys.text())];
    let eddsa = Replica::start(&eddsa).await;
    for user in [TestUser::new().await, TestUser::at(&eddsa.api).await] {
        assert_refused_as_refresh_token(&user.api, &user.access, "Token has wrong type").await;
        assert_refused_as_access_token(&user.api, &user.refresh, "Token has wrong type").await;
    }
}

#[tokio::test]
async fn a_forged_token_is_invalid_for_both_uses() {
    let user = TestUser::new().await;
    let signed = |header: &Header, claims: &Value, secret: &[u8]| {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(secret)).unwrap()
    };
    let (access, refresh) = (claims(&user.access), claims(&user.refresh));
    let (own, published) = (header(&user.refresh), header(&user.access));
    let hs256 = |kid: &Option<String>| Header { kid: kid.clone(), ..Header::new(Algorithm::HS256) };
    let jwks = user.api.get("/.well-known/jwks.json").await.json();
    let x = jwks["keys"][0]["x"].as_str().unwrap();
    let public_key = URL_SAFE_NO_PAD.decode(x).unwrap();
    let unsigned = json!({ "typ": "JWT", "alg": "none", "kid": own.kid });
    let unsigned =
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(unsigned.to_string()), URL_SAFE_NO_PAD.encode(refresh.to_string()));
    for token in [
        // An access token under the refresh secret.
        signed(&own, &access, &secret()),
        signed(&hs256(&published.kid), &access, &secret()),
        signed(&hs256(&published.kid), &refresh, &public_key),
        signed(&own, &refresh, &public_key),
        signed(&hs256(&None), &refresh, &secret()),
        signed(&Header { alg: Algorithm::HS512, ..own.clone() }, &refresh, &secret()),
        unsigned,
    ] {
        assert_refused_as_refresh_token(&user.api, &token, "Token is invalid").await;
        assert_refused_as_access_token(&user.api, &token, "Token is invalid").await;
    }
    user.refresh().await.expect_status(200);
}

#[tokio::test]
async fn an_upgrade_of_replicas_one_by_one_revokes_no_token() {
    let keys = Scratch::new();
    let (keys, eddsa) = (("TOKEN_KEYS_DIR", keys.text()), ("REFRESH_TOKEN_ALGORITHM", "eddsa"));
    // The previous release knew no refresh secret.
    let previous = Replica::start(&[keys, eddsa, ("REFRESH_SECRET_FILE", "")]).await;
    let reads_both = Replica::start(&[keys, eddsa]).await;
    let issues = Replica::start(&[keys]).await;
    let mut user = TestUser::at(&previous.api).await;
    for (replica, algorithm) in [
        (&reads_both, Algorithm::EdDSA),
        (&previous, Algorithm::EdDSA),
        (&issues, Algorithm::HS256),
        (&reads_both, Algorithm::EdDSA),
        (&issues, Algorithm::HS256),
        (&issues, Algorithm::HS256),
        (&reads_both, Algorithm::EdDSA),
    ] {
        user = user.via(&replica.api).refreshed().await;
        assert_eq!((header(&user.refresh).alg, header(&user.access).alg), (algorithm, Algorithm::EdDSA));
        user.me().await.expect_status(200);
    }
}

#[tokio::test]
async fn a_missing_or_short_secret_is_one_line_with_the_setting() {
    let scratch = Scratch::new();
    let media_secret = ("MEDIA_SECRET_FILE", &*scratch.write("media-secret", "0123456789abcdef"));
    let short = scratch.write("short", "too short to be a secret");
    for (path, parts) in [
        ("/nowhere/secret", ["can't read", "/nowhere/secret"]),
        (&short, ["fewer than 32 bytes", &short]),
        ("", ["is not set", "REFRESH_TOKEN_ALGORITHM=eddsa"]),
    ] {
        for verb in ["serve", "check"] {
            let output = auth_api_command(&[verb], &[media_secret, ("REFRESH_SECRET_FILE", path)]);
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
            let parts = [&["REFRESH_SECRET_FILE", "openssl rand -hex 32"][..], &parts].concat();
            assert!(parts.iter().all(|part| error.contains(part)) && !error.contains("too short to be"), "{error}");
        }
    }
    let unknown = auth_api_command(&["serve"], &[("REFRESH_TOKEN_ALGORITHM", "none")]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("eddsa or hs256"));
}
