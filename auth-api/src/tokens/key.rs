//! One key, and what it may be used for: the algorithm is the key's, never the token's.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Claims, TokenFault};

/// A `kid` is no longer than this, in bytes.
pub(super) const KID_BYTES_MAX: usize = 64;

/// A key that signs and reads tokens.
pub struct Key {
    kid: String,
    made_at: u64,
    algorithm: Algorithm,
    /// The header of its tokens, encoded.
    header: String,
    signing: Signing,
    decoding: DecodingKey,
}

/// The half that signs.
enum Signing {
    Ed25519(Ed25519KeyPair),
    Hmac(EncodingKey),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Key").field(&self.kid).finish()
    }
}

impl Key {
    /// An Ed25519 key in PKCS#8; `None` if it is none.
    pub(super) fn ed25519(kid: &str, pkcs8: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).ok()?;
        let decoding = DecodingKey::from_ed_der(pair.public_key().as_ref());
        let kid = Some(kid).filter(|kid| kid.len() <= KID_BYTES_MAX)?;
        Self::new(kid.to_owned(), Algorithm::EdDSA, Signing::Ed25519(pair), decoding)
    }

    fn new(kid: String, algorithm: Algorithm, signing: Signing, decoding: DecodingKey) -> Option<Self> {
        let header = Header { kid: Some(kid.clone()), ..Header::new(algorithm) };
        let header = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).ok()?);
        Some(Self { made_at: made_at(&kid), kid, algorithm, header, signing, decoding })
    }

    /// A secret that all who read tokens must know. Its `kid` tells two secrets apart and tells nothing of either.
    pub(super) fn hmac(secret: &[u8]) -> Option<Self> {
        let digest = Sha256::new().chain_update("kid\0").chain_update(secret).finalize();
        let mut kid = hex::encode(digest);
        kid.truncate(16);
        let signing = Signing::Hmac(EncodingKey::from_secret(secret));
        Self::new(kid, Algorithm::HS256, signing, DecodingKey::from_secret(secret))
    }

    /// Its name, in tokens' headers and in the JWKS.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// When it was made, in Unix seconds.
    pub(super) fn made_at(&self) -> u64 {
        self.made_at
    }

    /// A token that says `claims`. (`jsonwebtoken::encode` would parse the key for each one, which takes as long as to sign.)
    pub(super) fn sign(&self, claims: &Claims) -> jsonwebtoken::errors::Result<String> {
        let mut token = self.header.clone();
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims)?, &mut token);
        let signature = match &self.signing {
            Signing::Ed25519(pair) => URL_SAFE_NO_PAD.encode(pair.sign(token.as_bytes())),
            Signing::Hmac(key) => jsonwebtoken::crypto::sign(token.as_bytes(), key, self.algorithm)?,
        };
        token.push('.');
        token.push_str(&signature);
        Ok(token)
    }

    /// What a token of this issuer says, if this key has signed it. Time is the caller's to check.
    pub(super) fn verify(&self, token: &str, issuer: &str) -> Result<Claims, TokenFault> {
        let mut validation = Validation::new(self.algorithm);
        // serde requires and types every claim.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        validation.set_issuer(&[issuer]);
        let data = jsonwebtoken::decode(token, &self.decoding, &validation).map_err(|_| TokenFault::Invalid)?;
        Ok(data.claims)
    }

    /// What others need to verify with it; `None` if nobody else may.
    pub(super) fn jwk(&self) -> Option<Jwk> {
        let Signing::Ed25519(pair) = &self.signing else { return None };
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        Some(Jwk { kty: "OKP", crv: "Ed25519", x, kid: self.kid.clone(), r#use: "sig", alg: "EdDSA" })
    }
}

/// When the key of this `kid` was made, in Unix seconds.
pub(super) fn made_at(kid: &str) -> u64 {
    kid.split('-').next().and_then(|time| time.parse().ok()).unwrap_or_default()
}

/// A public key (RFC 7517; Ed25519: RFC 8037, section 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Jwk {
    kty: &'static str,
    crv: &'static str,
    x: String,
    kid: String,
    r#use: &'static str,
    alg: &'static str,
}

/// `PrivateKeyInfo` of RFC 8410, section 7: a fixed head and the seed.
pub(super) fn pkcs8(seed: &[u8; 32]) -> Vec<u8> {
    const HEAD: [u8; 16] =
        [0x30, 0x2e, 0x02, 0x01, 0, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    [HEAD.as_slice(), seed].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_key_is_that_of_rfc_8037() {
        // Appendix A.1 and A.2.
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let seed: [u8; 32] = hex::decode(seed).unwrap().try_into().unwrap();
        let key = Key::ed25519("7-a", &pkcs8(&seed)).unwrap();
        let jwk = serde_json::to_value(key.jwk().unwrap()).unwrap();
        let expected = serde_json::json!({
            "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            "kid": "7-a", "use": "sig", "alg": "EdDSA",
        });
        assert_eq!((jwk, key.made_at()), (expected, 7));
    }

    #[test]
    fn a_secret_is_not_published() {
        assert_eq!(Key::hmac(&[7; 32]).unwrap().jwk(), None);
        assert_ne!(Key::hmac(&[7; 32]).unwrap().kid(), Key::hmac(&[8; 32]).unwrap().kid());
    }
}
