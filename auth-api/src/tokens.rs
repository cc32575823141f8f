//! Tokens: JSON Web Tokens (RFC 7519, RFC 8725).
//!
//! Access tokens are signed with a key that is published, so that other services can verify them (`ES256`, `EdDSA`, `RS256`), or
//! with a shared secret (HS256). Refresh tokens are HS256 under a secret that only auth-api has. The algorithm is the
//! key's, never the token's.

mod claims;
mod key;
mod key_files;
pub mod key_set;
pub mod key_store;
mod refresh_secrets;

pub use claims::{Audience, Claims, TokenError, TokenType};
pub use key::{KeyError, SigningAlgorithm};
pub use key_store::{KeySource, KeyStore};

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jsonwebtoken::jwk::{JwkSet, KeyAlgorithm};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, UnitWeighter};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use shared::clock::Clock;
use shared::random::Random;
use uuid::Uuid;

use crate::store::sessions::SessionId;
use claims::AccessClaims;
use key_set::{KeyState, KeyTimes};

/// Settings of tokens and their keys.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    pub access_lifetime: Duration,
    /// Also the lifetime of a session that is not refreshed.
    pub refresh_lifetime: Duration,
    pub issuer: String,
    /// Of access tokens.
    pub audience: Option<Audience>,
    /// The keys of access tokens.
    pub keys: KeySource,
    /// The secrets of refresh tokens. `None`: none is verified.
    pub refresh_keys: Option<KeySource>,
    pub refresh_algorithm: RefreshAlgorithm,
    /// Time between the creation of a key and its first signature.
    pub key_activation: Duration,
}

impl TokenConfig {
    /// Returns where the keys of each type of token are stored.
    pub fn key_sources(&self) -> Result<impl Iterator<Item = (TokenType, &KeySource)>, KeyError> {
        let refresh = self.refresh_source()?.map(|source| (TokenType::Refresh, source));
        Ok(refresh.into_iter().chain([(TokenType::Access, &self.keys)]))
    }

    /// Fails if refresh tokens are signed with a secret, and there is none.
    fn refresh_source(&self) -> Result<Option<&KeySource>, KeyError> {
        match (&self.refresh_keys, self.refresh_algorithm) {
            (None, RefreshAlgorithm::Hs256) => Err(KeyError::NoRefreshSecret),
            (source, _) => Ok(source.as_ref()),
        }
    }

    /// Returns the periods of a key's life.
    pub fn key_times(&self) -> KeyTimes {
        KeyTimes { activation: self.key_activation, token_lifetime: self.refresh_lifetime.max(self.access_lifetime) }
    }
}

/// The algorithm of new refresh tokens. Those of both are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshAlgorithm {
    /// They are signed with the keys of access tokens, as earlier releases did. Signatures of Ed25519 are deterministic.
    EdDsa,
    /// They are signed with a secret of their own.
    Hs256,
}

/// The text is neither `eddsa` nor `hs256`.
#[derive(Debug, thiserror::Error)]
#[error("no such algorithm")]
pub struct UnknownAlgorithm;

impl FromStr for RefreshAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        match text {
            "eddsa" => Ok(Self::EdDsa),
            "hs256" => Ok(Self::Hs256),
            _ => Err(UnknownAlgorithm),
        }
    }
}

/// The `iat` of a pair of tokens, in Unix seconds by Redis's clock, because replicas' clocks may differ. The two differ when
/// a refresh token is used again within the grace period: its successor is the same, the access token lives in full.
#[derive(Clone, Copy, Debug)]
pub struct IssueTimes {
    pub refresh: u64,
    pub access: u64,
    /// No token expires later.
    pub session_ends_at: u64,
}

/// The tokens of a session until the next refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPair {
    pub refresh: String,
    pub access: String,
    /// How long the refresh token is valid, in seconds from now.
    pub refresh_seconds: u64,
}

/// Signs and verifies tokens.
#[derive(Debug)]
pub struct Tokens {
    /// Those of access tokens; they also verify the refresh tokens that earlier releases signed with them.
    keys: KeyStore,
    refresh_keys: Option<KeyStore>,
    config: TokenConfig,
    clock: Clock,
    /// Verified tokens by digest: a signature costs more than the rest of `GET me`.
    verified: Cache<[u8; 32], Arc<VerifiedToken>>,
}

/// A token with a valid signature.
#[derive(Debug)]
pub struct VerifiedToken {
    pub claims: Claims,
    /// When its key retires, in Unix seconds.
    key_retires_at: u64,
    /// Version of the key set: a removed key invalidates its tokens.
    key_version: u64,
    /// Whether this replica has recorded the use of the access token in its session.
    pub is_use_recorded: AtomicBool,
}

/// Capacity of the cache of verified tokens, about 450 bytes each.
const VERIFIED_MAX: usize = 32_768;

/// Share of the cache for tokens used more than once. The cache's default of 0.97 would evict a refresh token, which is used
/// once, long before its use.
const HOT_SHARE: f64 = 0.5;

/// Longest token, in bytes: one of a 3072 bit RSA key whose issuer and audience are as long as the settings allow.
const TOKEN_BYTES_MAX: usize = 4096;

/// Path of the published keys, below the issuer.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";

/// What libraries read that are configured by an issuer (`OpenID` Connect Discovery 1.0, section 3; RFC 8414, section 2).
#[derive(Debug, Serialize)]
pub struct DiscoveryDocument {
    pub issuer: String,
    pub jwks_uri: String,
    /// Those of the published keys.
    pub id_token_signing_alg_values_supported: Vec<KeyAlgorithm>,
    pub subject_types_supported: [&'static str; 1],
    /// Required, and empty: there is no authorization endpoint.
    pub response_types_supported: [&'static str; 0],
    /// Empty, because the default is not.
    pub grant_types_supported: [&'static str; 0],
}

/// Longest `max-age` of the public keys. It is at most half of the activation period, so that a service never meets a token
/// of a key that is missing from its cached copy.
const JWKS_MAX_AGE_MAX: Duration = Duration::from_mins(5);

impl Tokens {
    /// Opens the keys of `config`; generates a signing key of its algorithm if there is none, which may take a second.
    pub fn open(config: TokenConfig, clock: Clock, random: &Random) -> Result<Self, KeyError> {
        let open = |source: &KeySource| KeyStore::open(source, config.key_times(), &clock, random);
        let (refresh_keys, keys) = (config.refresh_source()?.map(open).transpose()?, open(&config.keys)?);
        if refresh_keys.as_ref().is_some_and(|refresh_keys| refresh_keys.shares_a_key_with(&keys)) {
            return Err(KeyError::RefreshSecretShared);
        }
        Ok(Self::new(keys, refresh_keys, config, clock))
    }

    /// Signs and verifies with these keys.
    pub fn new(keys: KeyStore, refresh_keys: Option<KeyStore>, config: TokenConfig, clock: Clock) -> Self {
        Self { keys, refresh_keys, config, clock, verified: verified_cache() }
    }

    fn stores(&self) -> impl Iterator<Item = &KeyStore> {
        self.refresh_keys.iter().chain([&self.keys])
    }

    /// Returns a number that changes with the keys. Read it before them.
    fn key_version(&self) -> u64 {
        self.stores().map(KeyStore::version).sum()
    }

    /// Returns the public keys of all tokens that may be valid.
    pub fn public_keys(&self) -> JwkSet {
        JwkSet { keys: self.keys.current().published(self.clock.unix_seconds()) }
    }

    /// Returns how long clients may cache the public keys.
    pub fn jwks_max_age(&self) -> Duration {
        (self.config.key_activation / 2).min(JWKS_MAX_AGE_MAX)
    }

    /// Returns the discovery document; `None` if the issuer is not a URL, or no key is published.
    pub fn discovery(&self) -> Option<DiscoveryDocument> {
        let issuer = self.config.issuer.clone();
        let is_url = issuer.starts_with("https://") || issuer.starts_with("http://");
        let mut algorithms = Vec::new();
        for algorithm in self.public_keys().keys.iter().filter_map(|key| key.common.key_algorithm) {
            if !algorithms.contains(&algorithm) {
                algorithms.push(algorithm);
            }
        }
        (is_url && !algorithms.is_empty()).then(|| DiscoveryDocument {
            jwks_uri: format!("{}{JWKS_PATH}", issuer.trim_end_matches('/')),
            issuer,
            id_token_signing_alg_values_supported: algorithms,
            subject_types_supported: ["public"],
            response_types_supported: [],
            grant_types_supported: [],
        })
    }

    /// Reloads the keys periodically. Never returns.
    pub async fn watch_keys(&self) {
        loop {
            tokio::time::sleep(self.keys.reload_interval()).await;
            self.reload_keys().await;
        }
    }

    async fn reload_keys(&self) {
        for store in self.stores() {
            store.reload().await;
        }
    }

    /// Returns the lifetime of a session from its last refresh.
    pub fn session_lifetime(&self) -> Duration {
        self.config.refresh_lifetime
    }

    /// Signs a pair of tokens. The same keys and arguments give the same claims, and the same bytes but for a signature of
    /// ES256, which only access tokens have.
    pub fn pair(&self, session: SessionId, refresh_jti: Uuid, issued: IssueTimes) -> Result<TokenPair, KeyError> {
        let claims = |token_type, jti, iat: u64, lifetime: Duration| Claims {
            token_type,
            user_id: session.user_id,
            sid: session.sid,
            jti,
            iat,
            exp: iat.saturating_add(lifetime.as_secs()).min(issued.session_ends_at),
            iss: self.config.issuer.clone(),
        };
        let refresh = claims(TokenType::Refresh, refresh_jti, issued.refresh, self.config.refresh_lifetime);
        let access = claims(TokenType::Access, access_jti(refresh_jti), issued.access, self.config.access_lifetime);
        let refresh_seconds = refresh.exp.saturating_sub(issued.access);
        Ok(TokenPair { refresh: self.sign(refresh)?, access: self.sign(access)?, refresh_seconds })
    }

    /// Signs with the key that was active at the token's `iat`, which is the same on every replica: a refresh token that is
    /// issued again, within the grace period, is the same although its key was replaced in between.
    fn sign(&self, claims: Claims) -> Result<String, KeyError> {
        let store = match (&self.refresh_keys, self.config.refresh_algorithm) {
            (Some(refresh_keys), RefreshAlgorithm::Hs256) if claims.token_type == TokenType::Refresh => refresh_keys,
            _ => &self.keys,
        };
        let key_version = self.key_version();
        let keys = store.current();
        let key = keys.signing(claims.iat).ok_or(KeyError::NoKey)?;
        let token = match claims.token_type {
            TokenType::Refresh => key.sign(&claims)?,
            TokenType::Access => key.sign(&AccessClaims {
                claims: &claims,
                sub: claims.user_id,
                aud: self.config.audience.as_ref(),
                roles: [],
                email_verified: false,
            })?,
        };
        let signed =
            VerifiedToken { claims, key_retires_at: u64::MAX, key_version, is_use_recorded: AtomicBool::new(false) };
        self.verified.insert(digest(&token), Arc::new(signed));
        Ok(token)
    }

    /// Verifies a token of the expected type.
    pub async fn verify(&self, token: &str, expected: TokenType) -> Result<Arc<VerifiedToken>, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        let digest = digest(token);
        let (now, version) = (self.clock.unix_seconds(), self.key_version());
        let cached =
            self.verified.get(&digest).filter(|token| token.key_version == version && now < token.key_retires_at);
        let verified = if let Some(cached) = cached {
            cached
        } else {
            let verified = Arc::new(self.verify_signature(token, now).await?);
            self.verified.insert(digest, Arc::clone(&verified));
            verified
        };
        if verified.claims.exp <= now {
            return Err(TokenError::Expired);
        }
        if verified.claims.token_type != expected {
            return Err(TokenError::WrongType);
        }
        Ok(verified)
    }

    async fn verify_signature(&self, token: &str, now: u64) -> Result<VerifiedToken, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        let kid = header.kid.filter(|kid| kid.len() <= key::KID_BYTES_MAX).ok_or(TokenError::Invalid)?;
        if !self.stores().any(|store| store.current().verifying(&kid, now).is_some()) {
            // Another replica may have signed with a key that is not loaded here yet.
            self.reload_keys().await;
        }
        // The version before the keys: if they change in between, the cached token is of an outdated version.
        let key_version = self.key_version();
        for keys in self.stores().map(KeyStore::current) {
            if let Some((key, state)) = keys.verifying(&kid, now) {
                let claims = key.verify(token, &self.config.issuer)?;
                let key_retires_at = if let KeyState::VerifyOnly { until } = state { until } else { u64::MAX };
                return Ok(VerifiedToken {
                    claims,
                    key_retires_at,
                    key_version,
                    is_use_recorded: AtomicBool::new(false),
                });
            }
        }
        Err(TokenError::Invalid)
    }
}

fn verified_cache() -> Cache<[u8; 32], Arc<VerifiedToken>> {
    let options = OptionsBuilder::new()
        .estimated_items_capacity(VERIFIED_MAX)
        .weight_capacity(VERIFIED_MAX as u64)
        .hot_allocation(HOT_SHARE)
        .build();
    match options {
        Ok(options) => {
            Cache::with_options(options, UnitWeighter, DefaultHashBuilder::default(), DefaultLifecycle::default())
        }
        // Unreachable: both capacities are set.
        Err(_) => Cache::new(VERIFIED_MAX),
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Returns the digests that a session stores: of the `jti` of a refresh token and of its successors.
pub fn refresh_digests<const COUNT: usize>(jti: Uuid) -> [String; COUNT] {
    let mut jti = jti;
    std::array::from_fn(|at| {
        if at > 0 {
            jti = successor_jti(jti);
        }
        hex::encode(Sha256::digest(jti.as_bytes()))
    })
}

/// Returns the `jti` of a refresh token's successor. It is derived, so that a token used again within the grace period gets
/// the same successor without stored state. It is predictable, which is harmless: tokens are authenticated by signature.
pub fn successor_jti(jti: Uuid) -> Uuid {
    derived_id("refresh", jti)
}

/// Returns the `jti` of the access token that is issued with a refresh token.
pub fn access_jti(refresh_jti: Uuid) -> Uuid {
    derived_id("access", refresh_jti)
}

fn derived_id(what: &str, jti: Uuid) -> Uuid {
    let digest = Sha256::new().chain_update(what).chain_update([0]).chain_update(jti.as_bytes()).finalize();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(byte, digested)| *byte = digested);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests;
