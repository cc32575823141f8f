//! An immutable set of keys, and the state of each.
//!
//! A key is published when it is created (a refresh secret: loaded by every replica), signs after the activation period, and
//! verifies until every token that it signed has expired. So no service meets a token of a key that it could not know:
//!
//! ```text
//! pending ── activation ──▶ active ── activation of the next key ──▶ verify-only ── token lifetime + skew margin ──▶ retired
//! ```
//!
//! If no key has passed its activation, the oldest is active: the very first key signs at once.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::Jwk;

use super::key::Key;

/// The periods of a key's life.
#[derive(Clone, Copy, Debug)]
pub struct KeyTimes {
    /// From creation to the first signature. Also the margin for clock skew at the end.
    pub activation: Duration,
    /// The longest lifetime of a token.
    pub token_lifetime: Duration,
}

/// The state of a key. Times are Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Published, not signing yet.
    Pending { active_at: u64 },
    /// Signing.
    Active,
    /// Replaced; its tokens are still valid.
    VerifyOnly { until: u64 },
    /// All its tokens have expired.
    Retired,
}

/// The keys, oldest first.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Arc<Key>>,
    times: KeyTimes,
}

impl KeySet {
    pub(super) fn new(mut keys: Vec<Arc<Key>>, times: KeyTimes) -> Self {
        keys.sort_by(|a, b| (a.created_at(), a.kid()).cmp(&(b.created_at(), b.kid())));
        Self { keys, times }
    }

    pub(super) fn keys(&self) -> &[Arc<Key>] {
        &self.keys
    }

    pub(super) fn times(&self) -> KeyTimes {
        self.times
    }

    /// Returns what identifies each key.
    pub(super) fn ids(&self) -> impl Iterator<Item = (&str, u64)> {
        self.keys.iter().map(|key| (key.kid(), key.created_at()))
    }

    /// Returns the key that was active at this time.
    pub(super) fn signing(&self, at: u64) -> Option<&Key> {
        self.keys.get(self.signing_at(at)).map(Arc::as_ref)
    }

    /// Returns the key of this `kid` unless it is retired.
    pub(super) fn verifying(&self, kid: &str, now: u64) -> Option<(&Key, KeyState)> {
        self.states(now).find(|(key, state)| key.kid() == kid && *state != KeyState::Retired)
    }

    /// Returns each key with its state.
    pub fn states(&self, now: u64) -> impl Iterator<Item = (&Key, KeyState)> {
        self.keys.iter().enumerate().map(move |(at, key)| (key.as_ref(), self.state(at, now)))
    }

    /// Returns whether a key of this algorithm is active or pending.
    pub(super) fn signs_with(&self, algorithm: Algorithm, now: u64) -> bool {
        let signs = |state| matches!(state, KeyState::Active | KeyState::Pending { .. });
        self.states(now).any(|(key, state)| key.algorithm() == algorithm && signs(state))
    }

    /// Returns the public keys that are not retired; pending ones too, because clients cache the list.
    pub(super) fn published(&self, now: u64) -> Vec<Jwk> {
        self.states(now).filter(|(_, state)| *state != KeyState::Retired).filter_map(|(key, _)| key.jwk()).collect()
    }

    fn signing_at(&self, now: u64) -> usize {
        self.keys.iter().rposition(|key| self.active_at(key) <= now).unwrap_or_default()
    }

    fn active_at(&self, key: &Key) -> u64 {
        key.created_at().saturating_add(self.times.activation.as_secs())
    }

    fn state(&self, at: usize, now: u64) -> KeyState {
        let signing_at = self.signing_at(now);
        let (Some(key), next) = (self.keys.get(at), self.keys.get(at + 1)) else { return KeyState::Retired };
        match (at.cmp(&signing_at), next) {
            (std::cmp::Ordering::Equal, _) => KeyState::Active,
            (std::cmp::Ordering::Less, Some(next)) => {
                let skew_margin = self.times.activation;
                let until = self.active_at(next).saturating_add((self.times.token_lifetime + skew_margin).as_secs());
                if now < until { KeyState::VerifyOnly { until } } else { KeyState::Retired }
            }
            _ => KeyState::Pending { active_at: self.active_at(key) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::key::ed25519_pkcs8;

    fn key_set(kids: &[&str]) -> KeySet {
        let times = KeyTimes { activation: Duration::from_secs(100), token_lifetime: Duration::from_secs(1000) };
        KeySet::new(
            kids.iter().map(|kid| Arc::new(Key::from_pkcs8(kid, &ed25519_pkcs8(&[7; 32])).unwrap())).collect(),
            times,
        )
    }

    #[test]
    fn first_key_is_active_at_once_and_later_ones_after_activation() {
        let (only, keys) = (key_set(&["2000-a"]), key_set(&["5000-b", "2000-a", "manual"]));
        let signing = |now| keys.signing(now).unwrap().kid();
        assert_eq!(only.signing(2000).unwrap().kid(), "2000-a");
        assert_eq!([signing(0), signing(2099), signing(2100)], ["manual", "manual", "2000-a"]);
        assert_eq!([signing(5000), signing(5099), signing(5100)], ["2000-a", "2000-a", "5000-b"]);
    }

    #[test]
    fn key_verifies_from_creation_until_its_last_token_expires() {
        let keys = key_set(&["2000-a", "5000-b"]);
        let states = |now| keys.states(now).map(|(_, state)| state).collect::<Vec<_>>();
        assert_eq!(states(5099), [KeyState::Active, KeyState::Pending { active_at: 5100 }]);
        assert_eq!(states(5100), [KeyState::VerifyOnly { until: 6200 }, KeyState::Active]);
        assert_eq!(states(6199), [KeyState::VerifyOnly { until: 6200 }, KeyState::Active]);
        assert_eq!(states(6200), [KeyState::Retired, KeyState::Active]);
        assert!(keys.verifying("2000-a", 6199).is_some() && keys.verifying("2000-a", 6200).is_none());
        assert!(keys.verifying("5000-b", 5000).is_some() && keys.verifying("../5000-b", 5000).is_none());
        assert_eq!([keys.published(5000).len(), keys.published(6199).len(), keys.published(6200).len()], [2, 2, 1]);
    }
}
