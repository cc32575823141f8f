use super::key_store::tests::Directory;
use super::*;

fn config(keys: KeySource) -> TokenConfig {
    TokenConfig {
        access_lifetime: Duration::from_mins(5),
        refresh_lifetime: Duration::from_hours(1),
        issuer: "users".to_owned(),
        keys,
        key_activation: Duration::from_mins(10),
    }
}

fn tokens(clock: &Clock) -> Tokens {
    let nowhere = KeySource::Directory("nowhere".into());
    Tokens::new(KeyStore::from_seed([7; 32]).unwrap(), config(nowhere), clock.clone())
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
    tokens.pair(session(), Uuid::from_u128(3), IssueTimes { refresh: now, access: now }).unwrap()
}

#[tokio::test]
async fn token_of_the_other_type_is_rejected() {
    let clock = Clock::system();
    let (signer, reader) = (tokens(&clock), tokens(&clock));
    let pair = pair(&signer, &clock);
    for tokens in [&signer, &reader] {
        assert_eq!(tokens.verify(&pair.refresh, TokenType::Access).await.unwrap_err(), TokenError::WrongType);
        assert_eq!(tokens.verify(&pair.access, TokenType::Refresh).await.unwrap_err(), TokenError::WrongType);
    }
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
    let repeated =
        tokens.pair(session(), Uuid::from_u128(3), IssueTimes { refresh: issued, access: issued + 9 }).unwrap();
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
    tokens.keys.reload().await;
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
    assert_eq!((one.public_keys().0.keys.len(), one.public_keys().1), (2, Duration::from_mins(5)));
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
}

#[tokio::test]
async fn shared_secret_is_not_published_and_the_public_key_is_not_accepted_as_a_secret() {
    let (directory, clock, random) = (Directory::new(), Clock::system(), Random::system());
    let path = directory.path().join("secret");
    std::fs::write(&path, "x".repeat(32)).unwrap();
    let hmac = Tokens::open(config(KeySource::Secret(path)), clock.clone(), &random).unwrap();
    let access = pair(&hmac, &clock).access;
    assert_eq!(hmac.verify(&access, TokenType::Access).await.unwrap().claims.session(), session());
    assert_eq!(jsonwebtoken::decode_header(&access).unwrap().alg, jsonwebtoken::Algorithm::HS256);
    assert_eq!(hmac.public_keys().0.keys, []);
    assert_eq!(tokens(&clock).verify(&access, TokenType::Access).await.unwrap_err(), TokenError::Invalid);
    let asymmetric = pair(&tokens(&clock), &clock).access;
    assert_eq!(hmac.verify(&asymmetric, TokenType::Access).await.unwrap_err(), TokenError::Invalid);
}
