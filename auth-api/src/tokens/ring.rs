//! Keys in the order of their lives.
//!
//! A key is published when it is made, signs when its activation has passed, and verifies until every token that it has
//! signed is over. So nobody ever meets a token of a key that they could not know:
//!
//! ```text
//! made ── activation ──▶ signs ── the next one's activation ──▶ verifies ── a refresh token's life, some air ──▶ over
//! ```
//!
//! Where none has been active for long enough the oldest signs: the first key of all does so at once.

use std::sync::Arc;
use std::time::Duration;

use super::key::{Jwk, Key};

/// How long a key does what.
#[derive(Clone, Copy, Debug)]
pub struct KeyTimes {
    /// From when it is made to when it signs. Also the air at a key's end: no two clocks differ by more.
    pub activation: Duration,
    /// The longest life of a token.
    pub token_lifetime: Duration,
}

/// What a key does, and until when, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It is published, and signs from then on.
    Waits(u64),
    /// It signs.
    Signs,
    /// It has been replaced; tokens of it are good until then.
    Verifies(u64),
    /// No token of it is good.
    Over,
}

/// The keys.
#[derive(Debug)]
pub struct Ring {
    keys: Vec<Arc<Key>>,
    times: KeyTimes,
}

impl Ring {
    /// Puts them in order.
    pub(super) fn of(mut keys: Vec<Arc<Key>>, times: KeyTimes) -> Self {
        keys.sort_by(|a, b| (a.made_at(), a.kid()).cmp(&(b.made_at(), b.kid())));
        Self { keys, times }
    }

    /// All of them, the oldest first.
    pub(super) fn keys(&self) -> &[Arc<Key>] {
        &self.keys
    }

    /// How long each does what.
    pub(super) fn times(&self) -> KeyTimes {
        self.times
    }

    /// The one that signs.
    pub(super) fn signing(&self, now: u64) -> Option<&Key> {
        self.keys.get(self.signing_at(now)).map(Arc::as_ref)
    }

    /// The key of this `kid`, if tokens of it may be good.
    pub(super) fn verifying(&self, kid: &str, now: u64) -> Option<(&Key, KeyState)> {
        let at = self.keys.iter().position(|key| key.kid() == kid)?;
        let state = self.state(at, now);
        self.keys.get(at).filter(|_| state != KeyState::Over).map(|key| (key.as_ref(), state))
    }

    /// Each key and what it does.
    pub fn states(&self, now: u64) -> impl Iterator<Item = (&Key, KeyState)> {
        self.keys.iter().enumerate().map(move |(at, key)| (key.as_ref(), self.state(at, now)))
    }

    /// The public keys of tokens that may be good now, or by when a copy of this list is read.
    pub(super) fn published(&self, now: u64) -> Vec<Jwk> {
        self.states(now).filter(|(_, state)| *state != KeyState::Over).filter_map(|(key, _)| key.jwk()).collect()
    }

    fn signing_at(&self, now: u64) -> usize {
        self.keys.iter().rposition(|key| self.active_at(key) <= now).unwrap_or_default()
    }

    fn active_at(&self, key: &Key) -> u64 {
        key.made_at().saturating_add(self.times.activation.as_secs())
    }

    fn state(&self, at: usize, now: u64) -> KeyState {
        let signing_at = self.signing_at(now);
        let (Some(key), next) = (self.keys.get(at), self.keys.get(at + 1)) else { return KeyState::Over };
        match (at.cmp(&signing_at), next) {
            (std::cmp::Ordering::Equal, _) => KeyState::Signs,
            (std::cmp::Ordering::Less, Some(next)) => {
                let air = self.times.activation + self.times.token_lifetime;
                let over_at = self.active_at(next).saturating_add(air.as_secs());
                if now < over_at { KeyState::Verifies(over_at) } else { KeyState::Over }
            }
            _ => KeyState::Waits(self.active_at(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::key::pkcs8;

    fn ring(kids: &[&str]) -> Ring {
        let times = KeyTimes { activation: Duration::from_secs(100), token_lifetime: Duration::from_secs(1000) };
        Ring::of(kids.iter().map(|kid| Arc::new(Key::ed25519(kid, &pkcs8(&[7; 32])).unwrap())).collect(), times)
    }

    #[test]
    fn the_first_key_signs_at_once_and_a_later_one_when_its_activation_has_passed() {
        let (only, ring) = (ring(&["2000-a"]), ring(&["5000-b", "2000-a", "by-hand"]));
        let signing = |now| ring.signing(now).unwrap().kid();
        assert_eq!(only.signing(2000).unwrap().kid(), "2000-a");
        assert_eq!([signing(0), signing(2099), signing(2100)], ["by-hand", "by-hand", "2000-a"]);
        assert_eq!([signing(5000), signing(5099), signing(5100)], ["2000-a", "2000-a", "5000-b"]);
    }

    #[test]
    fn a_key_verifies_from_when_it_is_made_until_no_token_of_it_can_be_alive() {
        let ring = ring(&["2000-a", "5000-b"]);
        let states = |now| ring.states(now).map(|(_, state)| state).collect::<Vec<_>>();
        assert_eq!(states(5099), [KeyState::Signs, KeyState::Waits(5100)]);
        assert_eq!(states(5100), [KeyState::Verifies(6200), KeyState::Signs]);
        assert_eq!(states(6199), [KeyState::Verifies(6200), KeyState::Signs]);
        assert_eq!(states(6200), [KeyState::Over, KeyState::Signs]);
        assert!(ring.verifying("2000-a", 6199).is_some() && ring.verifying("2000-a", 6200).is_none());
        assert!(ring.verifying("5000-b", 5000).is_some() && ring.verifying("../5000-b", 5000).is_none());
        assert_eq!([ring.published(5000).len(), ring.published(6199).len(), ring.published(6200).len()], [2, 2, 1]);
    }
}
