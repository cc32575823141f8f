//! Access tokens of each algorithm: verified by libraries, moved from one to another, and discovered by an issuer.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::json;

use crate::support::{Api, Replica, Scratch, TestUser, auth_api_command, claims, wait_until};

const ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "RS256"];

const JWKS: &str = "/.well-known/jwks.json";

/// Of a reload of keys and an activation.
const ACTIVE_WITHIN: Duration = Duration::from_secs(30);

/// Returns a line for each library: its name, its version and whether it verifies the token.
fn verify_by_libraries(algorithm: &str, jwks_url: &str, token: &str) -> Vec<Vec<String>> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/verify_tokens");
    let test = std::env::current_exe().unwrap();
    let mut venvs = test.ancestors().map(|directory| directory.join("jwt-libraries/bin/python"));
    let python = venvs.find(|program| program.exists()).expect("deploy/test installs the libraries");
    let claims = claims(token);
    let rest = [algorithm, jwks_url, claims["iss"].as_str().unwrap(), "shop", token];
    let mut commands = [Command::new(python), Command::new("node")];
    commands[0].arg(scripts.join("verify.py"));
    commands[1].arg(scripts.join("verify.mjs")).arg("/usr/share/nodejs/jose");
    let mut lines = Vec::new();
    for command in &mut commands {
        let output = command.args(rest).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        println!("{}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout).unwrap();
        lines.extend(printed.lines().map(|line| line.split('\t').map(ToOwned::to_owned).collect::<Vec<_>>()));
    }
    lines
}

#[tokio::test]
async fn jwt_libraries_verify_access_tokens_as_the_guide_lists() {
    let keys = Scratch::new();
    let mut results = Vec::new();
    for algorithm in ALGORITHMS {
        // With keys of the earlier algorithms in the directory, as after a move; the new one is active at once.
        let settings = [
            ("TOKEN_KEYS_DIR", keys.text()),
            ("TOKEN_ALGORITHM", algorithm),
            ("TOKEN_KEY_ACTIVATION_SECONDS", "1"),
            ("TOKEN_AUDIENCE", "shop, warehouse"),
        ];
        let replica = Replica::start(&settings).await;
        let mut user = TestUser::at(&replica.api).await;
        wait_until("the key of this algorithm signs", ACTIVE_WITHIN, async || {
            user = user.refreshed().await;
            format!("{:?}", jsonwebtoken::decode_header(&user.access).unwrap().alg) == algorithm
        })
        .await;
        results.push(verify_by_libraries(algorithm, &format!("{}{JWKS}", replica.api.base), &user.access));
    }
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guides/verify-tokens.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    for (at, library) in results[0].iter().enumerate() {
        let [first, second, third] = [0, 1, 2].map(|algorithm: usize| &results[algorithm][at][2]);
        let row = format!("| {} | {} | {first} | {second} | {third} |", library[0], library[1]);
        assert!(guide.contains(&row), "not in the guide: {row}");
    }
    assert_eq!(guide.lines().filter(|line| line.starts_with("| ") && line.contains(" verified |")).count(), 5);
}

#[tokio::test]
async fn a_move_from_eddsa_to_es256_signs_no_user_out() {
    let keys = Scratch::new();
    let (directory, activation) = (("TOKEN_KEYS_DIR", keys.text()), ("TOKEN_KEY_ACTIVATION_SECONDS", "4"));
    let refresh_secret = keys.write("refresh-secret", "0123456789abcdef0123456789abcdef");
    let refresh_secret = ("REFRESH_SECRET_FILE", &*refresh_secret);
    let eddsa = Replica::start(&[directory, activation, refresh_secret, ("TOKEN_ALGORITHM", "EdDSA")]).await;
    let mut user = TestUser::at(&eddsa.api).await;
    let before = user.clone();
    let es256 = [directory, activation, refresh_secret];
    let es256 = [Replica::start(&es256).await, Replica::start(&es256).await];
    let all = || es256.iter().chain([&eddsa]);
    wait_until("every replica signs with ES256", ACTIVE_WITHIN, async || {
        let mut are_moved = true;
        for replica in all() {
            user = user.via(&replica.api).refreshed().await;
            for reader in all() {
                user.via(&reader.api).me().await.expect_status(200);
                before.via(&reader.api).me().await.expect_status(200);
            }
            are_moved &= jsonwebtoken::decode_header(&user.access).unwrap().alg == Algorithm::ES256;
        }
        are_moved
    })
    .await;
    for replica in all() {
        let keys = replica.api.get(JWKS).await.json()["keys"].as_array().unwrap().clone();
        assert_eq!(keys.iter().map(|key| key["alg"].as_str().unwrap()).collect::<Vec<_>>(), ["EdDSA", "ES256"]);
    }
}

#[tokio::test]
async fn discovery_documents_lead_to_the_keys_although_their_directory_is_lost() {
    let keys = Scratch::new();
    let moved = keys.path().join("moved");
    let directory = keys.path().join("keys");
    std::fs::create_dir(&directory).unwrap();
    let issuer = "https://users.example.com";
    let settings = [("TOKEN_KEYS_DIR", directory.to_str().unwrap()), ("PUBLIC_URL", issuer)];
    let replica = Replica::start(&settings).await;
    std::fs::rename(&directory, moved).unwrap();
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        let document = replica.api.get(path).await;
        assert_eq!(document.expect_status(200).header("cache-control"), "public, max-age=300");
        let document = document.json();
        assert_eq!((&document["issuer"], &document["jwks_uri"]), (&json!(issuer), &json!(format!("{issuer}{JWKS}"))));
        assert_eq!(document["id_token_signing_alg_values_supported"], json!(["ES256"]));
        // The shared stack has no PUBLIC_URL.
        Api::new().get(path).await.expect(404, &json!({ "detail": "Not found." }));
    }
    // An unknown key makes the replica reload.
    let user = TestUser::at(&Api::new()).await;
    replica.api.get_as("/api/user/me/", &user.access).await.expect_unauthorized();
    assert_eq!(replica.api.get(JWKS).await.expect_status(200).json()["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_contradictory_algorithm_is_one_line_that_names_both_settings() {
    let scratch = Scratch::new();
    let secret = scratch.write("secret", "0123456789abcdef0123456789abcdef");
    for verb in ["serve", "check", "check-settings"] {
        for settings in [("HS256", ""), ("RS256", &*secret)]
            .map(|(name, path)| [("TOKEN_ALGORITHM", name), ("TOKEN_SECRET_FILE", path)])
        {
            let output = auth_api_command(&[verb], &settings);
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{error}");
            assert!(["TOKEN_ALGORITHM", "TOKEN_SECRET_FILE"].iter().all(|name| error.contains(name)), "{error}");
        }
    }
}
