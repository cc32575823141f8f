//! Tokens: JSON Web Tokens (RFC 7519, RFC 8725) signed with Ed25519 (RFC 8037).
//!
//! The algorithm is the key's, never the token's. Every claim is required and typed when a token is read.

mod keys;

pub use keys::{KeyError, KeyRing};

use std::time::Duration;

use jsonwebtoken::{Algorithm, Header, Validation};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shared::clock::Clock;
use uuid::Uuid;

use crate::store::sessions::SessionId;

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
}

/// The tokens of a session, until the next refresh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenPair {
    /// Changed once for the next pair.
    pub refresh: String,
    /// Shown with each request.
    pub access: String,
}

/// Signs and reads tokens.
#[derive(Debug)]
pub struct Tokens {
    keys: KeyRing,
    config: TokenConfig,
    clock: Clock,
    validation: Validation,
    /// Tokens whose signature was found good, by digest: a signature costs more than all the rest of `me`.
    verified: Cache<[u8; 32], Claims>,
}

/// Verified tokens remembered, about 250 bytes each.
const VERIFIED_MAX: usize = 16_384;

/// A longer text is no token of ours, in bytes.
const TOKEN_BYTES_MAX: usize = 2048;

impl Tokens {
    /// Signs with the newest of `keys`, and reads with any.
    pub fn new(keys: KeyRing, config: TokenConfig, clock: Clock) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        // Time is checked against `clock`; serde requires and types every claim.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        validation.set_issuer(&[&config.issuer]);
        Self { keys, config, clock, validation, verified: Cache::new(VERIFIED_MAX) }
    }

    /// How long a session lives from its last refresh.
    pub fn session_lifetime(&self) -> Duration {
        self.config.refresh_lifetime
    }

    /// Makes the pair whose refresh token has this `jti`, as of `iat` in Unix seconds: with one key, the same bytes for the
    /// same arguments.
    pub fn pair(&self, session: SessionId, refresh_jti: Uuid, iat: u64) -> Result<TokenPair, KeyError> {
        let claims = |token_type, jti, lifetime: Duration| Claims {
            token_type,
            user_id: session.user_id,
            sid: session.sid,
            jti,
            iat,
            exp: iat.saturating_add(lifetime.as_secs()),
            iss: self.config.issuer.clone(),
        };
        Ok(TokenPair {
            refresh: self.sign(&claims(TokenType::Refresh, refresh_jti, self.config.refresh_lifetime))?,
            access: self.sign(&claims(
                TokenType::Access,
                derived_id("access", refresh_jti),
                self.config.access_lifetime,
            ))?,
        })
    }

    fn sign(&self, claims: &Claims) -> Result<String, KeyError> {
        let (kid, key) = self.keys.signing();
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
        Ok(jsonwebtoken::encode(&header, claims, key)?)
    }

    /// Reads a token that must be of this type.
    pub fn read(&self, token: &str, expected: TokenType) -> Result<Claims, TokenFault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::Invalid);
        }
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let claims = if let Some(claims) = self.verified.get(&digest) {
            claims
        } else {
            let claims = self.verify(token)?;
            self.verified.insert(digest, claims.clone());
            claims
        };
        if claims.exp <= self.clock.unix_seconds() {
            return Err(TokenFault::Expired);
        }
        if claims.token_type != expected {
            return Err(TokenFault::WrongType);
        }
        Ok(claims)
    }

    fn verify(&self, token: &str) -> Result<Claims, TokenFault> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenFault::Invalid)?;
        let key = header.kid.as_deref().and_then(|kid| self.keys.verifying(kid)).ok_or(TokenFault::Invalid)?;
        let data = jsonwebtoken::decode::<Claims>(token, key, &self.validation).map_err(|_| TokenFault::Invalid)?;
        Ok(data.claims)
    }
}

/// What a session keeps of a refresh token.
pub fn refresh_digest(jti: Uuid) -> String {
    hex::encode(Sha256::digest(jti.as_bytes()))
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
mod tests {
    use super::*;

    fn tokens(clock: &Clock) -> Tokens {
        let config = TokenConfig {
            access_lifetime: Duration::from_mins(5),
            refresh_lifetime: Duration::from_hours(1),
            issuer: "users".to_owned(),
        };
        Tokens::new(KeyRing::of_seed([7; 32]).unwrap(), config, clock.clone())
    }

    fn session() -> SessionId {
        SessionId { user_id: Uuid::from_u128(1), sid: Uuid::from_u128(2) }
    }

    #[test]
    fn a_token_lives_until_its_time_is_over_and_the_cache_does_not_prolong_it() {
        let clock = Clock::manual(1_000_000_000_000);
        let tokens = tokens(&clock);
        let access = pair(&tokens, &clock).access;
        assert_eq!(tokens.read(&access, TokenType::Access).unwrap().session(), session());
        clock.advance(Duration::from_secs(299));
        assert!(tokens.read(&access, TokenType::Access).is_ok());
        clock.advance(Duration::from_secs(1));
        assert_eq!(tokens.read(&access, TokenType::Access).unwrap_err(), TokenFault::Expired);
    }

    fn pair(tokens: &Tokens, clock: &Clock) -> TokenPair {
        tokens.pair(session(), Uuid::from_u128(3), clock.unix_seconds()).unwrap()
    }

    #[test]
    fn a_token_of_the_other_type_is_refused() {
        let clock = Clock::system();
        let tokens = tokens(&clock);
        let pair = pair(&tokens, &clock);
        assert_eq!(tokens.read(&pair.refresh, TokenType::Access).unwrap_err(), TokenFault::WrongType);
        assert_eq!(tokens.read(&pair.access, TokenType::Refresh).unwrap_err(), TokenFault::WrongType);
    }

    #[test]
    fn a_changed_token_is_refused_wherever_it_is_changed() {
        let clock = Clock::system();
        let tokens = tokens(&clock);
        let access = pair(&tokens, &clock).access;
        for at in 0..access.len() {
            let mut changed = access.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // The last character of a part holds bits that no byte has: base64 without them is refused too.
            assert_eq!(tokens.read(&changed, TokenType::Access).unwrap_err(), TokenFault::Invalid, "at {at}");
        }
    }
}
