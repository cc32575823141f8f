//! Tokens: JSON Web Tokens (RFC 7519, RFC 8725) signed with Ed25519 (RFC 8037), or with a secret for those who need it.
//!
//! The algorithm is the key's, never the token's. Every claim is required and typed when a token is read.

mod key;
mod key_files;
pub mod keys;
pub mod ring;

pub use key::Jwk;
pub use keys::{KeyError, KeyRing, KeySource};

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, UnitWeighter};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shared::clock::Clock;
use shared::random::Random;
use uuid::Uuid;

use crate::store::sessions::SessionId;
use ring::{KeyState, KeyTimes};

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// Shown with each request.
    Access,
    /// Changed once for the next pair.
    Refresh,
}

/// What a token says. Nothing may be missing, and nothing of another type.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// What it is for.
    pub token_type: TokenType,
    /// Whose it is.
    pub user_id: Uuid,
    /// Its session.
    pub sid: Uuid,
    /// Its own id.
    pub jti: Uuid,
    /// When it was made, in Unix seconds.
    pub iat: u64,
    /// When it is over, in Unix seconds.
    pub exp: u64,
    /// Who made it.
    pub iss: String,
}

impl Claims {
    /// The session that the token belongs to.
    pub fn session(&self) -> SessionId {
        SessionId { user_id: self.user_id, sid: self.sid }
    }
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Malformed, forged, of another issuer, revoked, or its user is gone.
    #[error("Token is invalid")]
    Invalid,
    /// Its time is over.
    #[error("Token is expired")]
    Expired,
    /// An access token where a refresh token belongs, or the other way round.
    #[error("Token has wrong type")]
    WrongType,
}

/// How long tokens live, and who they say made them.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// Of an access token.
    pub access_lifetime: Duration,
    /// Of a refresh token, and so of a session that is not used.
    pub refresh_lifetime: Duration,
    /// The `iss` claim.
    pub issuer: String,
    /// What they are signed with.
    pub keys: KeySource,
    /// How long a new key is known before it signs.
    pub key_activation: Duration,
}

impl TokenConfig {
    /// How long a key does what.
    pub fn key_times(&self) -> KeyTimes {
        KeyTimes { activation: self.key_activation, token_lifetime: self.refresh_lifetime.max(self.access_lifetime) }
    }
}

/// When the tokens of a pair are issued, in Unix seconds by Redis's clock: replicas' clocks may differ. They differ where a
/// refresh token is presented again within the grace: its successor is the same, and the access token has its full life.
#[derive(Clone, Copy, Debug)]
pub struct IssueTimes {
    /// Of the refresh token.
    pub refresh: u64,
    /// Of the access token.
    pub access: u64,
}

/// The tokens of a session, until the next refresh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenPair {
    /// Changed once for the next pair.
    pub refresh: String,
    /// Shown with each request.
    pub access: String,
}

/// Signs and reads tokens. `B` is what callers keep beside a verified one.
#[derive(Debug)]
pub struct Tokens<B = ()> {
    keys: KeyRing,
    config: TokenConfig,
    clock: Clock,
    /// Tokens whose signature is good, by digest: a signature costs more than all the rest of `me`.
    verified: Cache<[u8; 32], Arc<Verified<B>>>,
}

/// A token whose signature is good.
#[derive(Debug)]
pub struct Verified<B> {
    /// What it says.
    pub claims: Claims,
    /// What whoever read it keeps for the next time.
    pub beside: B,
    /// When its key is over, in Unix seconds.
    until: u64,
    /// Of the keys. A key that has gone takes what it has signed with it.
    version: u64,
}

/// Verified tokens remembered, about 450 bytes each.
const VERIFIED_MAX: usize = 32_768;

/// The share of those that were shown more than once. A refresh token is shown once, and long after it was signed: with the
/// cache's own 0.97 it would be forgotten by then.
const SHOWN_AGAIN: f64 = 0.5;

/// A longer text is no token of ours, in bytes.
const TOKEN_BYTES_MAX: usize = 2048;

/// How long others may keep the public keys, at most. An activation is twice as long or longer, so that nobody meets a
/// token of a key that is not in their copy.
const JWKS_MAX_AGE_MAX: Duration = Duration::from_mins(5);

impl<B: Default> Tokens<B> {
    /// Reads the keys that `config` names, and makes the first one if there is none.
    pub fn open(config: TokenConfig, clock: Clock, random: &Random) -> Result<Self, KeyError> {
        let keys = KeyRing::open(&config.keys, config.key_times(), &clock, random)?;
        Ok(Self::new(keys, config, clock))
    }

    /// Signs and reads with `keys`.
    pub fn new(keys: KeyRing, config: TokenConfig, clock: Clock) -> Self {
        Self { keys, config, clock, verified: verified_cache() }
    }

    /// The public keys of all tokens that may be good, and how long they may be kept.
    pub fn public_keys(&self) -> (Vec<Jwk>, Duration) {
        let max_age = (self.config.key_activation / 2).min(JWKS_MAX_AGE_MAX);
        (self.keys.ring().published(self.clock.unix_seconds()), max_age)
    }

    /// Takes up keys that are made, and lets go of keys that are removed, for ever.
    pub async fn watch_keys(&self) {
        loop {
            tokio::time::sleep(self.keys.look_interval()).await;
            self.keys.look().await;
        }
    }

    /// How long a session lives from its last refresh.
    pub fn session_lifetime(&self) -> Duration {
        self.config.refresh_lifetime
    }

    /// Makes the pair whose refresh token has this `jti`: with one key, the same bytes for the same arguments.
    pub fn pair(&self, session: SessionId, refresh_jti: Uuid, issued: IssueTimes) -> Result<TokenPair, KeyError> {
        let claims = |token_type, jti, iat: u64, lifetime: Duration| Claims {
            token_type,
            user_id: session.user_id,
            sid: session.sid,
            jti,
            iat,
            exp: iat.saturating_add(lifetime.as_secs()),
            iss: self.config.issuer.clone(),
        };
        let access_jti = derived_id("access", refresh_jti);
        Ok(TokenPair {
            refresh: self.sign(claims(
                TokenType::Refresh,
                refresh_jti,
                issued.refresh,
                self.config.refresh_lifetime,
            ))?,
            access: self.sign(claims(TokenType::Access, access_jti, issued.access, self.config.access_lifetime))?,
        })
    }

    /// What we sign we need not verify.
    fn sign(&self, claims: Claims) -> Result<String, KeyError> {
        let version = self.keys.version();
        let ring = self.keys.ring();
        let token = ring.signing(self.clock.unix_seconds()).ok_or(KeyError::NoKey)?.sign(&claims)?;
        let signed = Verified { claims, beside: B::default(), until: u64::MAX, version };
        self.verified.insert(digest(&token), Arc::new(signed));
        Ok(token)
    }

    /// Reads a token that must be of this type.
    pub async fn read(&self, token: &str, expected: TokenType) -> Result<Arc<Verified<B>>, TokenFault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::Invalid);
        }
        let digest = digest(token);
        let (now, version) = (self.clock.unix_seconds(), self.keys.version());
        let remembered = self.verified.get(&digest).filter(|known| known.version == version && now < known.until);
        let verified = if let Some(known) = remembered {
            known
        } else {
            let verified = Arc::new(self.verify(token, now).await?);
            self.verified.insert(digest, Arc::clone(&verified));
            verified
        };
        if verified.claims.exp <= now {
            return Err(TokenFault::Expired);
        }
        if verified.claims.token_type != expected {
            return Err(TokenFault::WrongType);
        }
        Ok(verified)
    }

    async fn verify(&self, token: &str, now: u64) -> Result<Verified<B>, TokenFault> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenFault::Invalid)?;
        let kid = header.kid.filter(|kid| kid.len() <= key::KID_BYTES_MAX).ok_or(TokenFault::Invalid)?;
        if self.keys.ring().verifying(&kid, now).is_none() {
            // Another replica may know more than we do.
            self.keys.look().await;
        }
        // Before the ring: if it changes in between, what we remember is of the version before.
        let version = self.keys.version();
        let ring = self.keys.ring();
        let (key, state) = ring.verifying(&kid, now).ok_or(TokenFault::Invalid)?;
        let claims = key.verify(token, &self.config.issuer)?;
        let until = if let KeyState::Verifies(until) = state { until } else { u64::MAX };
        Ok(Verified { claims, beside: B::default(), until, version })
    }
}

fn verified_cache<V: Clone>() -> Cache<[u8; 32], V> {
    let options = OptionsBuilder::new()
        .estimated_items_capacity(VERIFIED_MAX)
        .weight_capacity(VERIFIED_MAX as u64)
        .hot_allocation(SHOWN_AGAIN)
        .build();
    match options {
        Ok(options) => {
            Cache::with_options(options, UnitWeighter, DefaultHashBuilder::default(), DefaultLifecycle::default())
        }
        // Only for a capacity that is not given.
        Err(_) => Cache::new(VERIFIED_MAX),
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// What a session keeps of a refresh token and of those that follow it in its chain: digests of their `jti`.
pub fn refresh_digests<const COUNT: usize>(jti: Uuid) -> [String; COUNT] {
    let mut jti = jti;
    std::array::from_fn(|at| {
        if at > 0 {
            jti = successor_jti(jti);
        }
        hex::encode(Sha256::digest(jti.as_bytes()))
    })
}

/// The `jti` of a refresh token's one successor. It is derived, so that whoever shows the token again within the grace
/// gets the same successor, and nothing of it has to be kept. That it can be foretold tells nobody anything: a token is
/// good by its signature.
pub fn successor_jti(jti: Uuid) -> Uuid {
    derived_id("refresh", jti)
}

fn derived_id(what: &str, jti: Uuid) -> Uuid {
    let digest = Sha256::new().chain_update(what).chain_update([0]).chain_update(jti.as_bytes()).finalize();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(byte, digested)| *byte = digested);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests;
