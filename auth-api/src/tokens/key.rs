//! A signing key. The algorithm and the type of its tokens are the key's, never the token's.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use shared::random::Random;
use shared::secret::SecretError;

use super::claims::{Claims, TokenError, TokenType};

/// Longest `kid`, in bytes.
pub(super) const KID_BYTES_MAX: usize = 64;

/// Shortest secret for HS256, in bytes (RFC 7518, section 3.2).
pub(super) const HMAC_SECRET_BYTES_MIN: usize = 32;

/// Sizes of RSA keys, in bytes: a longer one would sign for several milliseconds on a thread that serves sockets.
const RSA_BYTES: RangeInclusive<usize> = 256..=384;

/// An algorithm of the keys whose public key is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// RSA with PKCS #1 v1.5.
    Rs256,
}

impl From<SigningAlgorithm> for Algorithm {
    fn from(algorithm: SigningAlgorithm) -> Self {
        match algorithm {
            SigningAlgorithm::Es256 => Self::ES256,
            SigningAlgorithm::EdDsa => Self::EdDSA,
            SigningAlgorithm::Rs256 => Self::RS256,
        }
    }
}

impl SigningAlgorithm {
    /// Generates a private key, in PKCS#8. Slow for RSA: call it before serving, or in a command.
    pub(super) fn generate(self, random: &Random) -> Result<Vec<u8>, KeyError> {
        let rsa = || -> Result<Pkcs8V1Der, Unspecified> { RsaKeyPair::generate(KeySize::Rsa2048)?.as_der() };
        let generated = match self {
            Self::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .and_then(|pair| Ok(pair.to_pkcs8v1()?.as_ref().to_vec())),
            Self::EdDsa => Ok(ed25519_pkcs8(&random.bytes())),
            Self::Rs256 => rsa().map(|der| der.as_ref().to_vec()),
        };
        generated.map_err(KeyError::Generation)
    }
}

/// Why keys can't be loaded or used: one line that names the setting.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("TOKEN_KEYS_DIR: signing keys in {0}: {1}")]
    Io(PathBuf, std::io::Error),
    #[error("TOKEN_KEYS_DIR: {0} holds no P-256, Ed25519 or RSA (2048 to 3072 bits) private key in PKCS#8 PEM")]
    NotAKey(PathBuf),
    #[error("TOKEN_SECRET_FILE: {0}")]
    Secret(#[from] SecretError),
    #[error("TOKEN_SECRET_FILE: {0} holds fewer than {HMAC_SECRET_BYTES_MIN} bytes: fill it with random ones")]
    SecretTooShort(PathBuf),
    #[error("TOKEN_SECRET_FILE: tokens are signed with this secret, there are no keys to rotate")]
    NoDirectory,
    #[error(
        "REFRESH_SECRET_FILE is not set: set it to a file made by `openssl rand -hex 32`, or set REFRESH_TOKEN_ALGORITHM=eddsa"
    )]
    NoRefreshSecret,
    #[error("REFRESH_SECRET_FILE: can't read {0}: {1}; `openssl rand -hex 32` makes one")]
    RefreshSecretUnreadable(PathBuf, std::io::Error),
    #[error(
        "REFRESH_SECRET_FILE: {0} holds a secret of fewer than {HMAC_SECRET_BYTES_MIN} bytes, or none; `openssl rand -hex 32` makes one"
    )]
    RefreshSecretTooShort(PathBuf),
    #[error("REFRESH_SECRET_FILE: can't replace {0}: {1}; rotate where the file and its directory are writable")]
    RefreshSecretNotReplaced(PathBuf, std::io::Error),
    #[error("REFRESH_SECRET_FILE holds the secret of TOKEN_SECRET_FILE; `openssl rand -hex 32` makes another")]
    RefreshSecretShared,
    #[error("there is no signing key")]
    NoKey,
    #[error("TOKEN_ALGORITHM: a key can't be generated: {0}")]
    Generation(Unspecified),
    #[error("claims can't be encoded: {0}")]
    Claims(#[from] serde_json::Error),
    #[error("signing failed: {0}")]
    Signing(#[from] Unspecified),
}

/// A key that signs and verifies tokens.
pub struct Key {
    kid: String,
    created_at: u64,
    algorithm: Algorithm,
    /// The only type of its tokens. `None`: both, because earlier releases signed refresh tokens with the keys of access tokens.
    token_type: Option<TokenType>,
    /// The encoded header of its tokens.
    header: String,
    signer: Signer,
    decoding: DecodingKey,
}

/// The private key.
enum Signer {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
    Hmac(Box<hmac::Key>),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Key").field(&self.kid).finish()
    }
}

impl Key {
    /// Parses a private key in PKCS#8, which determines the algorithm.
    pub(super) fn from_pkcs8(kid: &str, pkcs8: &[u8]) -> Option<Self> {
        let kid = Some(kid).filter(|kid| kid.len() <= KID_BYTES_MAX)?;
        let (algorithm, signer, decoding) =
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8) {
                let decoding = DecodingKey::from_ec_der(pair.public_key().as_ref());
                (Algorithm::ES256, Signer::Ecdsa(pair), decoding)
            } else if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8) {
                let decoding = DecodingKey::from_ed_der(pair.public_key().as_ref());
                (Algorithm::EdDSA, Signer::Ed25519(pair), decoding)
            } else {
                let pair = RsaKeyPair::from_pkcs8(pkcs8).ok()?;
                let pair = Some(pair).filter(|pair| RSA_BYTES.contains(&pair.public_modulus_len()))?;
                let decoding = DecodingKey::from_rsa_der(pair.public_key().as_ref());
                (Algorithm::RS256, Signer::Rsa(pair), decoding)
            };
        Self::new(kid.to_owned(), created_at(kid), algorithm, signer, decoding)
    }

    fn new(kid: String, created_at: u64, algorithm: Algorithm, signer: Signer, decoding: DecodingKey) -> Option<Self> {
        let header = Header { kid: Some(kid.clone()), ..Header::new(algorithm) };
        let header = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).ok()?);
        Some(Self { kid, created_at, algorithm, token_type: None, header, signer, decoding })
    }

    /// Returns the key of a shared secret. The `kid` is derived from a digest: it distinguishes secrets and reveals none.
    pub(super) fn hmac(secret: &[u8], created_at: u64) -> Option<Self> {
        let digest = Sha256::new().chain_update("kid\0").chain_update(secret).finalize();
        let mut kid = hex::encode(digest);
        kid.truncate(16);
        let signer = Signer::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret)));
        Self::new(kid, created_at, Algorithm::HS256, signer, DecodingKey::from_secret(secret))
    }

    /// Returns the key of a refresh secret: of HS256, and of refresh tokens only.
    pub(super) fn refresh(secret: &[u8], created_at: u64) -> Option<Self> {
        Some(Self { token_type: Some(TokenType::Refresh), ..Self::hmac(secret, created_at)? })
    }

    /// Returns its id in token headers and in the JWKS.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Returns the algorithm of its tokens.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns its creation time, in Unix seconds.
    pub(super) fn created_at(&self) -> u64 {
        self.created_at
    }

    /// Signs a token. `jsonwebtoken::encode` would parse the private key each time, which takes as long as to sign, and its
    /// `JwtSigner` can't be kept across threads.
    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, KeyError> {
        let mut token = self.header.clone();
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims)?, &mut token);
        let message = token.as_bytes();
        let signature = match &self.signer {
            Signer::Ecdsa(pair) => pair.sign(&SystemRandom::new(), message)?.as_ref().to_vec(),
            Signer::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Signer::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)?;
                signature
            }
            Signer::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
        };
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// Verifies the signature, the issuer of an access token, and that the key signs tokens of this type; not the expiration.
    /// The issuer of a refresh token is not compared, so that a new one signs no user out.
    pub(super) fn verify(&self, token: &str, issuer: &str) -> Result<Claims, TokenError> {
        let mut validation = Validation::new(self.algorithm);
        // serde checks that every claim is there and has its type.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        // The audience is other services.
        validation.validate_aud = false;
        let claims: Claims =
            jsonwebtoken::decode(token, &self.decoding, &validation).map_err(|_| TokenError::Invalid)?.claims;
        let is_of_issuer = claims.token_type == TokenType::Refresh || claims.iss == issuer;
        if !is_of_issuer || self.token_type.is_some_and(|only| only != claims.token_type) {
            return Err(TokenError::Invalid);
        }
        Ok(claims)
    }

    /// Returns the public key (RFC 7518, section 6; Ed25519: RFC 8037, section 2); `None` for a shared secret.
    pub(super) fn jwk(&self) -> Option<Jwk> {
        if matches!(self.signer, Signer::Hmac(_)) {
            return None;
        }
        let mut jwk = Jwk::from_decoding_key(&self.decoding, Some(self.algorithm)).ok()?;
        jwk.common.key_id = Some(self.kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Some(jwk)
    }
}

/// Returns the creation time in a `kid`, in Unix seconds; 0 if it has none.
pub(super) fn created_at(kid: &str) -> u64 {
    kid.split('-').next().and_then(|time| time.parse().ok()).unwrap_or_default()
}

/// Encodes `PrivateKeyInfo` (RFC 8410, section 7): a fixed prefix and the seed.
pub(super) fn ed25519_pkcs8(seed: &[u8; 32]) -> Vec<u8> {
    const PREFIX: [u8; 16] =
        [0x30, 0x2e, 0x02, 0x01, 0, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    [PREFIX.as_slice(), seed].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_key_matches_the_rfc_8037_test_vector() {
        // Appendix A.1 and A.2.
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let seed: [u8; 32] = hex::decode(seed).unwrap().try_into().unwrap();
        let key = Key::from_pkcs8("7-a", &ed25519_pkcs8(&seed)).unwrap();
        let jwk = serde_json::to_value(key.jwk().unwrap()).unwrap();
        let expected = serde_json::json!({
            "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            "kid": "7-a", "use": "sig", "alg": "EdDSA",
        });
        assert_eq!((jwk, key.created_at()), (expected, 7));
    }

    #[test]
    fn shared_secret_has_no_jwk() {
        assert_eq!(Key::hmac(&[7; 32], 0).unwrap().jwk(), None);
        assert_eq!(Key::refresh(&[7; 32], 0).unwrap().jwk(), None);
        assert_ne!(Key::hmac(&[7; 32], 0).unwrap().kid(), Key::hmac(&[8; 32], 0).unwrap().kid());
    }
}
