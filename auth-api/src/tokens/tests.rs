use super::keys::tests::Directory;
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
    Tokens::new(KeyRing::of_seed([7; 32]).unwrap(), config(nowhere), clock.clone())
}

fn session() -> SessionId {
    SessionId { user_id: Uuid::from_u128(1), sid: Uuid::from_u128(2) }
}

#[tokio::test]
async fn a_token_lives_until_its_time_is_over_and_the_cache_does_not_prolong_it() {
    let clock = Clock::manual(1_000_000_000_000);
    // One remembers what it has signed, the other must verify it first.
    let (signer, reader) = (tokens(&clock), tokens(&clock));
    let access = pair(&signer, &clock).access;
    for tokens in [&signer, &reader] {
        assert_eq!(tokens.read(&access, TokenType::Access).await.unwrap().claims.session(), session());
    }
    clock.advance(Duration::from_secs(299));
    for tokens in [&signer, &reader] {
        assert!(tokens.read(&access, TokenType::Access).await.is_ok());
    }
    clock.advance(Duration::from_secs(1));
    for tokens in [&signer, &reader] {
        assert_eq!(tokens.read(&access, TokenType::Access).await.unwrap_err(), TokenFault::Expired);
    }
}

fn pair(tokens: &Tokens, clock: &Clock) -> TokenPair {
    let now = clock.unix_seconds();
    tokens.pair(session(), Uuid::from_u128(3), IssueTimes { refresh: now, access: now }).unwrap()
}

#[tokio::test]
async fn a_token_of_the_other_type_is_refused() {
    let clock = Clock::system();
    let (signer, reader) = (tokens(&clock), tokens(&clock));
    let pair = pair(&signer, &clock);
    for tokens in [&signer, &reader] {
        assert_eq!(tokens.read(&pair.refresh, TokenType::Access).await.unwrap_err(), TokenFault::WrongType);
        assert_eq!(tokens.read(&pair.access, TokenType::Refresh).await.unwrap_err(), TokenFault::WrongType);
    }
}

#[tokio::test]
async fn a_changed_token_is_refused_wherever_it_is_changed() {
    let clock = Clock::system();
    let tokens = tokens(&clock);
    let access = pair(&tokens, &clock).access;
    for at in 0..access.len() {
        let mut changed = access.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        // The last character of a part holds bits that no byte has: base64 without them is refused too.
        assert_eq!(tokens.read(&changed, TokenType::Access).await.unwrap_err(), TokenFault::Invalid, "at {at}");
    }
}

/// Redis's clock is that of the issuer here.
#[tokio::test]
async fn a_replica_whose_clock_is_a_minute_off_accepts_fresh_tokens() {
    const NOW: u64 = 1_000_000_000_000;
    let issuer = Clock::manual(NOW);
    let pair = pair(&tokens(&issuer), &issuer);
    for skewed in [NOW - 60_000, NOW + 60_000] {
        let replica = tokens(&Clock::manual(skewed));
        assert!(replica.read(&pair.refresh, TokenType::Refresh).await.is_ok());
        assert!(replica.read(&pair.access, TokenType::Access).await.is_ok());
    }
}

#[tokio::test]
async fn a_repeated_refresh_has_the_same_refresh_token_and_an_access_token_with_its_full_life() {
    let clock = Clock::manual(1_000_000_000_000);
    let tokens = tokens(&clock);
    let first = pair(&tokens, &clock);
    let issued = clock.unix_seconds();
    let repeated =
        tokens.pair(session(), Uuid::from_u128(3), IssueTimes { refresh: issued, access: issued + 9 }).unwrap();
    assert_eq!(repeated.refresh, first.refresh);
    clock.advance(Duration::from_secs(9));
    let [first, repeated] = [&first.access, &repeated.access]
        .map(async |token| tokens.read(token, TokenType::Access).await.unwrap().claims.clone());
    let (first, repeated) = (first.await, repeated.await);
    assert_eq!((repeated.jti, repeated.exp), (first.jti, first.exp + 9));
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

/// Lets more time pass than there is between two looks.
async fn look(tokens: &Tokens, clock: &Clock) {
    clock.advance(Duration::from_secs(10));
    tokens.keys.look().await;
}

#[tokio::test]
async fn a_rotation_signs_nobody_out_and_no_replica_signs_with_a_key_that_another_does_not_know() {
    let (directory, clock, random) = (Directory::new(), Clock::manual(1_000_000_000_000), Random::system());
    let replica = || Tokens::open(config(directory.source()), clock.clone(), &random).unwrap();
    let (one, other) = (replica(), replica());
    let before = pair(&one, &clock);
    clock.advance(Duration::from_secs(1));
    let settings = config(directory.source());
    let rotated = keys::rotate(&settings.keys, settings.key_times(), &clock, &random).unwrap();
    look(&one, &clock).await;
    clock.advance(Duration::from_secs(589));
    assert_eq!(kid(&pair(&one, &clock).access), kid(&before.access), "it is not active yet");
    assert_eq!((one.public_keys().0.len(), one.public_keys().1), (2, Duration::from_mins(5)));
    clock.advance(Duration::from_secs(1));
    let after = pair(&one, &clock);
    assert_eq!(kid(&after.access), rotated.kid);
    // It has not looked since the rotation, and looks when it is shown the new key.
    assert_eq!(other.read(&after.access, TokenType::Access).await.unwrap().claims.session(), session());
    for tokens in [&one, &other] {
        assert!(tokens.read(&before.refresh, TokenType::Refresh).await.is_ok());
    }
}

#[tokio::test]
async fn a_removed_key_takes_with_it_what_was_verified_before() {
    let (directory, clock, random) = (Directory::new(), Clock::manual(1_000_000_000_000), Random::system());
    let settings = config(directory.source());
    let open = || -> Tokens { Tokens::open(settings.clone(), clock.clone(), &random).unwrap() };
    let (tokens, reader) = (open(), open());
    let access = pair(&tokens, &clock).access;
    assert!(reader.read(&access, TokenType::Access).await.is_ok());
    let rotated = keys::rotate(&settings.keys, settings.key_times(), &clock, &random).unwrap();
    std::fs::remove_file(directory.path().join(format!("{}.pem", kid(&access)))).unwrap();
    look(&tokens, &clock).await;
    reader.keys.look().await;
    for tokens in [&tokens, &reader] {
        assert_eq!(tokens.read(&access, TokenType::Access).await.unwrap_err(), TokenFault::Invalid);
    }
    assert_eq!(kid(&pair(&tokens, &clock).access), rotated.kid, "the only one signs");
}

#[tokio::test]
async fn keys_that_vanish_all_at_once_stay_in_use() {
    let (directory, clock, random) = (Directory::new(), Clock::manual(1_000_000_000_000), Random::system());
    let tokens = Tokens::open(config(directory.source()), clock.clone(), &random).unwrap();
    let access = pair(&tokens, &clock).access;
    std::fs::remove_dir_all(directory.path()).unwrap();
    look(&tokens, &clock).await;
    assert!(tokens.read(&access, TokenType::Access).await.is_ok());
}

#[tokio::test]
async fn with_a_secret_nothing_is_published_and_the_public_key_is_no_secret() {
    let (directory, clock, random) = (Directory::new(), Clock::system(), Random::system());
    let path = directory.path().join("secret");
    std::fs::write(&path, "x".repeat(32)).unwrap();
    let hmac = Tokens::open(config(KeySource::Secret(path)), clock.clone(), &random).unwrap();
    let access = pair(&hmac, &clock).access;
    assert_eq!(hmac.read(&access, TokenType::Access).await.unwrap().claims.session(), session());
    assert_eq!(jsonwebtoken::decode_header(&access).unwrap().alg, jsonwebtoken::Algorithm::HS256);
    assert_eq!(hmac.public_keys().0, []);
    assert_eq!(tokens(&clock).read(&access, TokenType::Access).await.unwrap_err(), TokenFault::Invalid);
    let asymmetric = pair(&tokens(&clock), &clock).access;
    assert_eq!(hmac.read(&asymmetric, TokenType::Access).await.unwrap_err(), TokenFault::Invalid);
}
