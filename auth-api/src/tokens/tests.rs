use jsonwebtoken::Algorithm;

use super::key::Key;
use super::key_store::tests::Directory;
use super::*;

fn config(keys: KeySource) -> TokenConfig {
    TokenConfig {
        access_lifetime: Duration::from_mins(5),
        refresh_lifetime: Duration::from_hours(1),
        issuer: "users".to_owned(),
        audience: None,
        keys,
        refresh_keys: None,
        refresh_algorithm: RefreshAlgorithm::EdDsa,
        key_activation: Duration::from_mins(10),
    }
}

const SIGNING_ALGORITHMS: [SigningAlgorithm; 3] =
    [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa, SigningAlgorithm::Rs256];

const REFRESH_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Signing keys and a refresh secret in a directory.
fn config_with_secret(directory: &Directory, refresh_algorithm: RefreshAlgorithm) -> TokenConfig {
    let path = directory.path().join("refresh-secret");
    if !path.exists() {
        std::fs::write(&path, REFRESH_SECRET).unwrap();
    }
    let refresh_keys = Some(KeySource::RefreshSecrets(path));
    TokenConfig { refresh_keys, refresh_algorithm, ..config(directory.source()) }
}

fn rotate(config: &TokenConfig, clock: &Clock) -> Vec<key_store::Rotated> {
    let sources = config.key_sources().unwrap();
    sources.map(|(_, s)| key_store::rotate(s, config.key_times(), clock, &Random::system()).unwrap()).collect()
}

fn tokens(clock: &Clock) -> Tokens {
    let nowhere = KeySource::Directory("nowhere".into(), SigningAlgorithm::EdDsa);
    Tokens::new(KeyStore::from_seed([7; 32]).unwrap(), None, config(nowhere), clock.clone())
}

fn session() -> SessionId {
    SessionId { user_id: Uuid::from_u128(1), sid: Uuid::from_u128(2) }
}

#[tokio::test]
async fn token_expires_also_when_cached() {
    let clock = Clock::manual(1_000_000_000_000);
    // The signer has it in its cache; the verifier must verify it first.
    let (signer, reader) = (tokens(&clock), tokens(&clock));
    let access = pair(&signer, &clock).access;
    for tokens in [&signer, &reader] {
        assert_eq!(tokens.verify(&access, TokenType::Access).await.unwrap().claims.session(), session());
    }
    clock.advance(Duration::from_secs(299));
    for tokens in [&signer, &reader] {
        assert!(tokens.verify(&access, TokenType::Access).await.is_ok());
    }
    clock.advance(Duration::from_secs(1));
    for tokens in [&signer, &reader] {
        assert_eq!(tokens.verify(&access, TokenType::Access).await.unwrap_err(), TokenError::Expired);
    }
}

fn pair(tokens: &Tokens, clock: &Clock) -> TokenPair {
    let now = clock.unix_seconds();
    tokens
        .pair(session(), Uuid::from_u128(3), IssueTimes { refresh: now, access: now, session_ends_at: u64::MAX })
        .unwrap()
}

#[tokio::test]
async fn token_of_the_other_type_is_rejected_in_every_combination_of_algorithms() {
    let (directory, clock) = (Directory::new(), Clock::system());
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "x".repeat(32)).unwrap();
    for keys in [directory.source(), KeySource::Secret(secret)] {
        for refresh_algorithm in [RefreshAlgorithm::EdDsa, RefreshAlgorithm::Hs256] {
            let config = TokenConfig { keys: keys.clone(), ..config_with_secret(&directory, refresh_algorithm) };
            let open = || Tokens::open(config.clone(), clock.clone(), &Random::system()).unwrap();
            let (signer, reader) = (open(), open());
            let pair = pair(&signer, &clock);
            for tokens in [&signer, &reader] {
                assert_eq!(tokens.verify(&pair.refresh, TokenType::Access).await.unwrap_err(), TokenError::WrongType);
                assert_eq!(tokens.verify(&pair.access, TokenType::Refresh).await.unwrap_err(), TokenError::WrongType);
                assert!(tokens.verify(&pair.refresh, TokenType::Refresh).await.is_ok());
                assert!(tokens.verify(&pair.access, TokenType::Access).await.is_ok());
            }
        }
    }
}

#[tokio::test]
async fn refresh_secret_is_not_published_and_signs_refresh_tokens_only() {
    let (directory, clock) = (Directory::new(), Clock::system());
    let config = config_with_secret(&directory, RefreshAlgorithm::Hs256);
    let tokens = Tokens::open(config, clock.clone(), &Random::system()).unwrap();
    let pair = pair(&tokens, &clock);
    let algorithm = |token| jsonwebtoken::decode_header(token).unwrap().alg;
    assert_eq!((algorithm(&pair.refresh), algorithm(&pair.access)), (Algorithm::HS256, Algorithm::EdDSA));
    let published = tokens.public_keys().keys;
    assert_eq!((published.len(), published[0].common.key_id.clone()), (1, Some(kid(&pair.access))));
    let mut claims = tokens.verify(&pair.refresh, TokenType::Refresh).await.unwrap().claims.clone();
    claims.token_type = TokenType::Access;
    let forged = Key::refresh(REFRESH_SECRET.as_bytes(), 0).unwrap().sign(&claims).unwrap();
    assert_eq!(kid(&forged), kid(&pair.refresh));
    for expected in [TokenType::Access, TokenType::Refresh] {
        assert_eq!(tokens.verify(&forged, expected).await.unwrap_err(), TokenError::Invalid);
    }
}

#[tokio::test]
async fn algorithm_of_a_token_is_not_trusted() {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    for algorithm in SIGNING_ALGORITHMS {
        let (directory, clock) = (Directory::new(), Clock::system());
        let keys = KeySource::Directory(directory.path().to_owned(), algorithm);
        let config = TokenConfig { keys, ..config_with_secret(&directory, RefreshAlgorithm::Hs256) };
        let tokens = Tokens::open(config, clock.clone(), &Random::system()).unwrap();
        let pair = pair(&tokens, &clock);
        let jwk = serde_json::to_value(&tokens.public_keys().keys[0]).unwrap();
        let public_key = ["x", "n"].into_iter().find_map(|name| jwk[name].as_str()).unwrap();
        for token in [&pair.refresh, &pair.access] {
            let claims = token.split('.').nth(1).unwrap();
            for alg in ["none", "HS256", "HS384", "EdDSA", "ES256", "ES384", "RS256", "PS256"] {
                let header = serde_json::json!({ "typ": "JWT", "alg": alg, "kid": kid(token) });
                let message = format!("{}.{claims}", base64.encode(header.to_string()));
                let own = token.rsplit('.').next().unwrap().to_owned();
                let mut signatures = vec![String::new(), base64.encode([0; 64]), own];
                for secret in [base64.decode(public_key).unwrap(), public_key.into(), kid(token).into()] {
                    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
                    signatures.push(base64.encode(aws_lc_rs::hmac::sign(&key, message.as_bytes())));
                }
                for signature in signatures {
                    let forged = format!("{message}.{signature}");
                    for expected in [TokenType::Access, TokenType::Refresh] {
                        let error = tokens.verify(&forged, expected).await.unwrap_err();
                        assert_eq!(error, TokenError::Invalid, "{header} {signature}");
                    }
                }
            }
        }
    }
}

/// A verifier that knows the published keys only.
fn verified_by_jwks(tokens: &Tokens, token: &str) -> serde_json::Value {
    let jwks = serde_json::from_value::<JwkSet>(serde_json::to_value(tokens.public_keys()).unwrap()).unwrap();
    let jwk = jwks.find(&kid(token)).unwrap();
    let algorithm = jsonwebtoken::decode_header(token).unwrap().alg;
    assert_eq!(jwk.common.key_algorithm, Some(algorithm.into()));
    let mut validation = jsonwebtoken::Validation::new(algorithm);
    (validation.validate_exp, validation.validate_aud) = (false, false);
    let key = jsonwebtoken::DecodingKey::from_jwk(jwk).unwrap();
    jsonwebtoken::decode(token, &key, &validation).unwrap().claims
}

#[tokio::test]
async fn access_tokens_of_each_algorithm_verify_by_the_published_keys() {
    for algorithm in SIGNING_ALGORITHMS {
        let (directory, clock) = (Directory::new(), Clock::manual(1_000_000_000_000));
        let keys = KeySource::Directory(directory.path().to_owned(), algorithm);
        let config = TokenConfig { keys, audience: Audience::parse("shop"), ..config(directory.source()) };
        let open = || Tokens::open(config.clone(), clock.clone(), &Random::system()).unwrap();
        let (signer, reader) = (open(), open());
        let access = pair(&signer, &clock).access;
        assert_eq!(jsonwebtoken::decode_header(&access).unwrap().alg, algorithm.into());
        assert_eq!(reader.verify(&access, TokenType::Access).await.unwrap().claims.session(), session());
        let mut claims = verified_by_jwks(&reader, &access);
        assert!(claims.as_object_mut().unwrap().remove("jti").is_some());
        let SessionId { user_id, sid } = session();
        let expected = serde_json::json!({
            "token_type": "access", "user_id": user_id, "sub": user_id, "sid": sid, "iss": "users", "aud": "shop",
            "iat": 1_000_000_000, "exp": 1_000_000_300, "roles": [], "email_verified": false,
        });
        assert_eq!(claims, expected);
    }
}

#[test]
fn audience_is_a_string_or_an_array() {
    let json = |text| serde_json::to_value(Audience::parse(text)).unwrap();
    assert_eq!(
        [json(""), json(" , "), json(" a, ")],
        [serde_json::json!(null), serde_json::json!(null), serde_json::json!("a")]
    );
    assert_eq!(json("a, https://b.example ,c"), serde_json::json!(["a", "https://b.example", "c"]));
}

#[tokio::test]
async fn move_from_eddsa_to_es256_keeps_tokens_valid_and_publishes_the_new_key_first() {
    let (directory, clock) = (Directory::new(), Clock::manual(1_000_000_000_000));
    let eddsa = config_with_secret(&directory, RefreshAlgorithm::Hs256);
    let keys = KeySource::Directory(directory.path().to_owned(), SigningAlgorithm::Es256);
    let es256 = TokenConfig { keys, ..eddsa.clone() };
    let open = |config: &TokenConfig| Tokens::open(config.clone(), clock.clone(), &Random::system()).unwrap();
    let algorithm = |token: &str| jsonwebtoken::decode_header(token).unwrap().alg;
    let old = open(&eddsa);
    let before = pair(&old, &clock);
    clock.advance(Duration::from_secs(1));
    let replicas = [open(&es256), open(&es256)];
    reload(&old, &clock).await;
    clock.advance(Duration::from_secs(589));
    for tokens in replicas.iter().chain([&old]) {
        assert_eq!((tokens.public_keys().keys.len(), algorithm(&pair(tokens, &clock).access)), (2, Algorithm::EdDSA));
    }
    clock.advance(Duration::from_secs(1));
    for tokens in replicas.iter().chain([&old]) {
        let after = pair(tokens, &clock).access;
        assert_eq!(algorithm(&after), Algorithm::ES256);
        for reader in replicas.iter().chain([&old]) {
            assert!(reader.verify(&after, TokenType::Access).await.is_ok());
            assert!(reader.verify(&before.refresh, TokenType::Refresh).await.is_ok());
            verified_by_jwks(reader, &before.access);
        }
    }
}

#[tokio::test]
async fn issuer_of_access_tokens_is_compared_and_that_of_refresh_tokens_is_not() {
    let (directory, clock) = (Directory::new(), Clock::system());
    let before = config_with_secret(&directory, RefreshAlgorithm::Hs256);
    let after = TokenConfig { issuer: "https://users.example.com".to_owned(), ..before.clone() };
    let [before, after] = [before, after].map(|config| Tokens::open(config, clock.clone(), &Random::system()).unwrap());
    let tokens = pair(&before, &clock);
    assert_eq!(after.verify(&tokens.access, TokenType::Access).await.unwrap_err(), TokenError::Invalid);
    assert!(after.verify(&tokens.refresh, TokenType::Refresh).await.is_ok());
}

/// As the previous release issued them: the claims of every token, and no others.
#[tokio::test]
async fn access_token_without_the_claims_for_other_services_is_valid() {
    let clock = Clock::system();
    let tokens = tokens(&clock);
    let access = pair(&tokens, &clock).access;
    let claims = tokens.verify(&access, TokenType::Access).await.unwrap().claims.clone();
    let older = tokens.keys.current().signing(claims.iat).unwrap().sign(&claims).unwrap();
    assert!(older.len() < access.len());
    assert!(tokens.verify(&older, TokenType::Access).await.is_ok());
}

#[test]
fn discovery_document_names_the_published_keys_and_their_algorithms() {
    let (directory, clock) = (Directory::new(), Clock::system());
    let open = |config| Tokens::open(config, clock.clone(), &Random::system()).unwrap();
    let at = |issuer: &str, algorithm| {
        let keys = KeySource::Directory(directory.path().to_owned(), algorithm);
        TokenConfig { issuer: issuer.to_owned(), ..config(keys) }
    };
    assert!(open(at("users", SigningAlgorithm::EdDsa)).discovery().is_none());
    for issuer in ["https://users.example.com", "https://users.example.com/"] {
        let document = open(at(issuer, SigningAlgorithm::Es256)).discovery().unwrap();
        let document = serde_json::to_value(document).unwrap();
        assert_eq!(document["issuer"], issuer);
        assert_eq!(document["jwks_uri"], "https://users.example.com/.well-known/jwks.json");
        assert_eq!(document["id_token_signing_alg_values_supported"], serde_json::json!(["EdDSA", "ES256"]));
    }
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "x".repeat(32)).unwrap();
    let hs256 = TokenConfig { keys: KeySource::Secret(secret), ..at("https://a", SigningAlgorithm::Es256) };
    assert!(open(hs256).discovery().is_none(), "no key is published");
}

#[tokio::test]
async fn replicas_of_both_refresh_algorithms_verify_each_others_tokens() {
    let (directory, clock) = (Directory::new(), Clock::system());
    let open = |config| Tokens::open(config, clock.clone(), &Random::system()).unwrap();
    let before = open(config(directory.source()));
    let [eddsa, hs256] = [RefreshAlgorithm::EdDsa, RefreshAlgorithm::Hs256]
        .map(|algorithm| open(config_with_secret(&directory, algorithm)));
    for (signer, algorithm) in [(&before, Algorithm::EdDSA), (&eddsa, Algorithm::EdDSA), (&hs256, Algorithm::HS256)] {
        let refresh = pair(signer, &clock).refresh;
        assert_eq!(jsonwebtoken::decode_header(&refresh).unwrap().alg, algorithm);
        for reader in [&eddsa, &hs256] {
            assert!(reader.verify(&refresh, TokenType::Refresh).await.is_ok());
        }
    }
}

#[tokio::test]
async fn older_refresh_tokens_under_the_secret_of_access_tokens_stay_valid() {
    let (directory, clock) = (Directory::new(), Clock::system());
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "x".repeat(32)).unwrap();
    let keys = KeySource::Secret(secret);
    let open = |config| Tokens::open(config, clock.clone(), &Random::system()).unwrap();
    let older = pair(&open(config(keys.clone())), &clock).refresh;
    let tokens = open(TokenConfig { keys, ..config_with_secret(&directory, RefreshAlgorithm::Hs256) });
    assert!(tokens.verify(&older, TokenType::Refresh).await.is_ok());
    let newer = pair(&tokens, &clock);
    assert!(kid(&newer.refresh) != kid(&older) && kid(&newer.access) == kid(&older));
}

#[tokio::test]
async fn replaced_refresh_secret_verifies_until_its_last_token_expires() {
    let (directory, clock) = (Directory::new(), Clock::manual(1_000_000_000_000));
    let config = config_with_secret(&directory, RefreshAlgorithm::Hs256);
    let replica = || Tokens::open(config.clone(), clock.clone(), &Random::system()).unwrap();
    let (one, other) = (replica(), replica());
    let before = kid(&pair(&one, &clock).refresh);
    let rotated = rotate(&config, &clock).remove(0);
    reload(&one, &clock).await;
    clock.advance(Duration::from_secs(589));
    let last = pair(&one, &clock).refresh;
    assert_eq!(kid(&last), before, "the new one is not active yet");
    clock.advance(Duration::from_secs(1));
    let after = pair(&one, &clock).refresh;
    assert_eq!(kid(&after), rotated.kid);
    // Not reloaded since the rotation: the unknown key id makes it reload.
    assert!(other.verify(&after, TokenType::Refresh).await.is_ok());
    assert!(other.verify(&last, TokenType::Refresh).await.is_ok());
    clock.advance(Duration::from_secs(3598));
    assert!(one.verify(&last, TokenType::Refresh).await.is_ok());
    clock.advance(Duration::from_secs(1));
    assert_eq!(one.verify(&last, TokenType::Refresh).await.unwrap_err(), TokenError::Expired);
    clock.advance(Duration::from_secs(601));
    assert_eq!(replica().verify(&last, TokenType::Refresh).await.unwrap_err(), TokenError::Invalid, "it is retired");
    assert_eq!(rotate(&config, &clock)[0].removed, [before]);
}

/// The hard case of a repeated refresh: a rotation, or the activation of a new key, between the two.
#[tokio::test]
async fn repeated_refresh_returns_the_same_refresh_token_although_its_key_was_replaced() {
    for algorithm in [RefreshAlgorithm::EdDsa, RefreshAlgorithm::Hs256] {
        let (directory, clock) = (Directory::new(), Clock::manual(1_000_000_000_000));
        let config = config_with_secret(&directory, algorithm);
        let replica = || Tokens::open(config.clone(), clock.clone(), &Random::system()).unwrap();
        let one = replica();
        clock.advance(Duration::from_secs(1));
        rotate(&config, &clock);
        reload(&one, &clock).await;
        clock.advance(Duration::from_secs(589));
        let issued = clock.unix_seconds();
        let first = pair(&one, &clock);
        clock.advance(Duration::from_secs(9));
        let repeated_at = IssueTimes { refresh: issued, access: clock.unix_seconds(), session_ends_at: u64::MAX };
        for tokens in [&one, &replica()] {
            let repeated = tokens.pair(session(), Uuid::from_u128(3), repeated_at).unwrap();
            assert_eq!(repeated.refresh, first.refresh);
            assert_ne!(kid(&repeated.access), kid(&first.access), "the new key is active");
            assert_ne!(kid(&pair(tokens, &clock).refresh), kid(&first.refresh));
            assert!(tokens.verify(&repeated.refresh, TokenType::Refresh).await.is_ok());
        }
    }
}

#[tokio::test]
async fn removed_refresh_secret_invalidates_its_tokens() {
    let (directory, clock) = (Directory::new(), Clock::manual(1_000_000_000_000));
    let config = config_with_secret(&directory, RefreshAlgorithm::Hs256);
    let tokens = Tokens::open(config.clone(), clock.clone(), &Random::system()).unwrap();
    let leaked = pair(&tokens, &clock).refresh;
    let rotated = rotate(&config, &clock).remove(0);
    let path = directory.path().join("refresh-secret");
    let secrets = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, secrets.lines().last().unwrap()).unwrap();
    reload(&tokens, &clock).await;
    assert_eq!(tokens.verify(&leaked, TokenType::Refresh).await.unwrap_err(), TokenError::Invalid);
    assert_eq!(kid(&pair(&tokens, &clock).refresh), rotated.kid, "the only one signs");
    std::fs::write(&path, "").unwrap();
    reload(&tokens, &clock).await;
    assert_eq!(kid(&pair(&tokens, &clock).refresh), rotated.kid, "without a secret the loaded ones stay in use");
}

#[test]
fn missing_or_short_refresh_secret_is_an_error_that_names_the_setting() {
    let directory = Directory::new();
    let config = config_with_secret(&directory, RefreshAlgorithm::Hs256);
    let path = directory.path().join("refresh-secret");
    let error = |config: &TokenConfig| {
        let error = Tokens::open(config.clone(), Clock::system(), &Random::system()).unwrap_err().to_string();
        assert!(error.contains("REFRESH_SECRET_FILE") && error.contains("openssl rand -hex 32"), "{error}");
        assert!(!error.contains("xxx"), "{error}");
        error
    };
    for content in ["", "\n\n", &"x".repeat(31), &format!("{REFRESH_SECRET}\n1000000000 {}", "x".repeat(31))] {
        std::fs::write(&path, content).unwrap();
        assert!(error(&config).contains("fewer than 32 bytes"), "{content}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(error(&config).contains(&*path.to_string_lossy()));
    let eddsa = TokenConfig { refresh_algorithm: RefreshAlgorithm::EdDsa, ..config.clone() };
    assert!(error(&eddsa).contains("can't read"), "it is set, so that other replicas may sign with it");
    assert!(error(&TokenConfig { refresh_keys: None, ..config.clone() }).contains("not set"));
    std::fs::write(&path, REFRESH_SECRET).unwrap();
    let shared = TokenConfig { keys: KeySource::Secret(path), ..config };
    assert!(error(&shared).contains("TOKEN_SECRET_FILE"));
}

#[tokio::test]
async fn changed_token_is_rejected() {
    let clock = Clock::system();
    let tokens = tokens(&clock);
    let access = pair(&tokens, &clock).access;
    for at in 0..access.len() {
        let mut changed = access.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        // The last character of a part has unused bits: base64 with those set is rejected, too.
        assert_eq!(tokens.verify(&changed, TokenType::Access).await.unwrap_err(), TokenError::Invalid, "at {at}");
    }
}

/// The issuer's clock stands for Redis's.
#[tokio::test]
async fn replica_with_a_skewed_clock_accepts_new_tokens() {
    const NOW: u64 = 1_000_000_000_000;
    let issuer = Clock::manual(NOW);
    let pair = pair(&tokens(&issuer), &issuer);
    for skewed in [NOW - 60_000, NOW + 60_000] {
        let replica = tokens(&Clock::manual(skewed));
        assert!(replica.verify(&pair.refresh, TokenType::Refresh).await.is_ok());
        assert!(replica.verify(&pair.access, TokenType::Access).await.is_ok());
    }
}

#[tokio::test]
async fn repeated_refresh_returns_the_same_refresh_token_and_a_full_lifetime_access_token() {
    let clock = Clock::manual(1_000_000_000_000);
    let tokens = tokens(&clock);
    let first = pair(&tokens, &clock);
    let issued = clock.unix_seconds();
    let repeated = tokens
        .pair(
            session(),
            Uuid::from_u128(3),
            IssueTimes { refresh: issued, access: issued + 9, session_ends_at: u64::MAX },
        )
        .unwrap();
    assert_eq!(repeated.refresh, first.refresh);
    clock.advance(Duration::from_secs(9));
    let [first, repeated] = [&first.access, &repeated.access]
        .map(async |token| tokens.verify(token, TokenType::Access).await.unwrap().claims.clone());
    let (first, repeated) = (first.await, repeated.await);
    assert_eq!((repeated.jti, repeated.exp), (first.jti, first.exp + 9));
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

/// Advances the clock by a reload interval and reloads.
async fn reload(tokens: &Tokens, clock: &Clock) {
    clock.advance(Duration::from_secs(10));
    tokens.reload_keys().await;
}

#[tokio::test]
async fn rotation_keeps_tokens_valid_and_no_replica_signs_with_an_unpublished_key() {
    let (directory, clock, random) = (Directory::new(), Clock::manual(1_000_000_000_000), Random::system());
    let replica = || Tokens::open(config(directory.source()), clock.clone(), &random).unwrap();
    let (one, other) = (replica(), replica());
    let before = pair(&one, &clock);
    clock.advance(Duration::from_secs(1));
    let settings = config(directory.source());
    let rotated = key_store::rotate(&settings.keys, settings.key_times(), &clock, &random).unwrap();
    reload(&one, &clock).await;
    clock.advance(Duration::from_secs(589));
    assert_eq!(kid(&pair(&one, &clock).access), kid(&before.access), "it is not active yet");
    assert_eq!((one.public_keys().keys.len(), one.jwks_max_age()), (2, Duration::from_mins(5)));
    clock.advance(Duration::from_secs(1));
    let after = pair(&one, &clock);
    assert_eq!(kid(&after.access), rotated.kid);
    // Not reloaded since the rotation: the unknown key id makes it reload.
    assert_eq!(other.verify(&after.access, TokenType::Access).await.unwrap().claims.session(), session());
    for tokens in [&one, &other] {
        assert!(tokens.verify(&before.refresh, TokenType::Refresh).await.is_ok());
    }
}

#[tokio::test]
async fn removed_key_invalidates_cached_tokens() {
    let (directory, clock, random) = (Directory::new(), Clock::manual(1_000_000_000_000), Random::system());
    let settings = config(directory.source());
    let open = || Tokens::open(settings.clone(), clock.clone(), &random).unwrap();
    let (tokens, reader) = (open(), open());
    let access = pair(&tokens, &clock).access;
    assert!(reader.verify(&access, TokenType::Access).await.is_ok());
    let rotated = key_store::rotate(&settings.keys, settings.key_times(), &clock, &random).unwrap();
    std::fs::remove_file(directory.path().join(format!("{}.pem", kid(&access)))).unwrap();
    reload(&tokens, &clock).await;
    reader.keys.reload().await;
    for tokens in [&tokens, &reader] {
        assert_eq!(tokens.verify(&access, TokenType::Access).await.unwrap_err(), TokenError::Invalid);
    }
    assert_eq!(kid(&pair(&tokens, &clock).access), rotated.kid, "the only one signs");
}

#[tokio::test]
async fn keys_stay_in_use_when_the_directory_is_removed() {
    let (directory, clock, random) = (Directory::new(), Clock::manual(1_000_000_000_000), Random::system());
    let tokens = Tokens::open(config(directory.source()), clock.clone(), &random).unwrap();
    let access = pair(&tokens, &clock).access;
    std::fs::remove_dir_all(directory.path()).unwrap();
    reload(&tokens, &clock).await;
    assert!(tokens.verify(&access, TokenType::Access).await.is_ok());
    assert_eq!(tokens.public_keys().keys.len(), 1);
}

#[tokio::test]
async fn shared_secret_is_not_published_and_the_public_key_is_not_accepted_as_a_secret() {
    let (directory, clock, random) = (Directory::new(), Clock::system(), Random::system());
    let path = directory.path().join("secret");
    std::fs::write(&path, "x".repeat(32)).unwrap();
    let hmac = Tokens::open(config(KeySource::Secret(path)), clock.clone(), &random).unwrap();
    let access = pair(&hmac, &clock).access;
    assert_eq!(hmac.verify(&access, TokenType::Access).await.unwrap().claims.session(), session());
    assert_eq!(jsonwebtoken::decode_header(&access).unwrap().alg, Algorithm::HS256);
    assert_eq!(hmac.public_keys().keys, []);
    assert_eq!(tokens(&clock).verify(&access, TokenType::Access).await.unwrap_err(), TokenError::Invalid);
    let asymmetric = pair(&tokens(&clock), &clock).access;
    assert_eq!(hmac.verify(&asymmetric, TokenType::Access).await.unwrap_err(), TokenError::Invalid);
}
