//! The loaded keys of this replica, their reload and their rotation.
//!
//! Replicas share a directory of signing keys and a file of refresh secrets, and reload them periodically; [`super::key_set`]
//! explains why no replica signs with a key that another has not loaded.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use shared::clock::Clock;
use shared::random::Random;
use shared::secret::Secret;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::key::{HMAC_SECRET_BYTES_MIN, Key, KeyError, SigningAlgorithm, ed25519_pkcs8};
use super::key_files::KeyFiles;
use super::key_set::{KeySet, KeyState, KeyTimes};
use super::refresh_secrets;

/// Where keys are stored.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A directory of keys, and the algorithm of new ones.
    Directory(PathBuf, SigningAlgorithm),
    /// A file with a secret for HS256. It is read once.
    Secret(PathBuf),
    /// A file with the secrets of refresh tokens.
    RefreshSecrets(PathBuf),
}

impl KeySource {
    /// Reads the keys of a directory that are not in `known`, or all of a file; returns all.
    fn read(&self, known: &[Arc<Key>]) -> Result<Vec<Arc<Key>>, KeyError> {
        match self {
            Self::Directory(directory, _) => KeyFiles::new(directory).read(known),
            Self::Secret(path) => {
                let secret = Secret::read(path)?;
                if secret.expose().len() < HMAC_SECRET_BYTES_MIN {
                    return Err(KeyError::SecretTooShort(path.clone()));
                }
                Ok(vec![Arc::new(Key::hmac(secret.expose().as_bytes(), 0).ok_or(KeyError::NoKey)?)])
            }
            Self::RefreshSecrets(path) => refresh_secrets::read(path),
        }
    }
}

/// The live, reloadable key set.
#[derive(Debug)]
pub struct KeyStore {
    keys: RwLock<Arc<KeySet>>,
    /// Incremented with each change.
    version: AtomicU64,
    /// `None`: they never change.
    source: Option<KeySource>,
    reload: Mutex<Reload>,
    clock: Clock,
}

/// The reload of the source; single-flight.
#[derive(Debug, Default)]
struct Reload {
    task: Option<JoinHandle<Result<Vec<Arc<Key>>, KeyError>>>,
    /// Start of the last one, in Unix milliseconds.
    started_at: Option<u64>,
}

/// Shortest time between two reloads, which tokens with unknown keys request.
const RELOAD_PAUSE: Duration = Duration::from_secs(1);

/// Timeout of waiting for a reload, which takes less than a millisecond unless the disk hangs.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest time between two reloads.
const RELOAD_INTERVAL_MAX: Duration = Duration::from_secs(10);

impl KeyStore {
    /// Opens the keys; generates one of the configured algorithm if there is none.
    pub fn open(source: &KeySource, times: KeyTimes, clock: &Clock, random: &Random) -> Result<Self, KeyError> {
        if let KeySource::Directory(directory, algorithm) = source {
            KeyFiles::new(directory).create_missing(*algorithm, times, clock, random)?;
        }
        let reloaded = Some(source).filter(|source| !matches!(source, KeySource::Secret(_)));
        Ok(Self::new(KeySet::new(source.read(&[])?, times), reloaded.cloned(), clock))
    }

    /// Returns a store with one key of a fixed seed, for tests.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, KeyError> {
        let times = KeyTimes { activation: Duration::from_mins(10), token_lifetime: Duration::from_hours(1) };
        let key = Key::from_pkcs8("seed", &ed25519_pkcs8(&seed)).ok_or(KeyError::NoKey)?;
        Ok(Self::new(KeySet::new(vec![Arc::new(key)], times), None, &Clock::system()))
    }

    fn new(keys: KeySet, source: Option<KeySource>, clock: &Clock) -> Self {
        Self {
            keys: RwLock::new(Arc::new(keys)),
            version: AtomicU64::new(0),
            source,
            reload: Mutex::default(),
            clock: clock.clone(),
        }
    }

    /// Returns the current keys.
    pub(super) fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the version of the keys: a token verified under another one must be verified again. Read it before the keys.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    pub(super) fn shares_a_key_with(&self, other: &Self) -> bool {
        self.current().ids().any(|(kid, _)| other.current().ids().any(|(other, _)| other == kid))
    }

    /// Returns the time between two reloads, a fraction of the activation period.
    pub(super) fn reload_interval(&self) -> Duration {
        (self.current().times().activation / 4).min(RELOAD_INTERVAL_MAX)
    }

    /// Reloads the keys unless the last reload has just started. An unreadable or empty source changes nothing: the loaded
    /// keys stay in use.
    pub(super) async fn reload(&self) {
        let Some(source) = &self.source else { return };
        let mut reload = self.reload.lock().await;
        if reload.task.is_none() {
            let (now, pause) = (self.clock.unix_millis(), RELOAD_PAUSE.min(self.reload_interval()));
            // Wrapping: a clock that was set back does not delay the reload.
            if reload.started_at.is_some_and(|started| u128::from(now.wrapping_sub(started)) < pause.as_millis()) {
                return;
            }
            let (source, known) = (source.clone(), self.current());
            reload.started_at = Some(now);
            reload.task = Some(tokio::task::spawn_blocking(move || source.read(known.keys())));
        }
        let Some(task) = &mut reload.task else { return };
        // On timeout the blocking read continues and the next caller awaits the same task: a hung disk ties up one thread.
        let Ok(done) = timeout(RELOAD_TIMEOUT, task).await else { return };
        reload.task = None;
        match done {
            Ok(Ok(keys)) => self.replace(keys),
            Ok(Err(error)) => tracing::warn!(%error, "reload of the signing keys failed; the loaded keys stay in use"),
            Err(error) => tracing::error!(%error, "reload of the signing keys panicked; the loaded keys stay in use"),
        }
    }

    fn replace(&self, keys: Vec<Arc<Key>>) {
        let loaded = self.current();
        let keys = KeySet::new(keys, loaded.times());
        if keys.keys().is_empty() {
            tracing::warn!("no signing keys in the directory; the loaded keys stay in use");
        } else if !keys.ids().eq(loaded.ids()) {
            tracing::info!(keys = ?keys.keys(), "reloaded the signing keys");
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
            self.version.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Result of a rotation.
#[derive(Debug)]
pub struct Rotated {
    /// The new key.
    pub kid: String,
    /// The removed retired keys.
    pub removed: Vec<String>,
    pub keys: KeySet,
}

/// Generates a new key and removes the retired ones.
pub fn rotate(source: &KeySource, times: KeyTimes, clock: &Clock, random: &Random) -> Result<Rotated, KeyError> {
    match source {
        KeySource::Directory(directory, algorithm) => rotate_directory(directory, *algorithm, times, clock, random),
        KeySource::Secret(_) => Err(KeyError::NoDirectory),
        KeySource::RefreshSecrets(path) => refresh_secrets::rotate(path, times, clock, random),
    }
}

fn rotate_directory(
    directory: &Path,
    algorithm: SigningAlgorithm,
    times: KeyTimes,
    clock: &Clock,
    random: &Random,
) -> Result<Rotated, KeyError> {
    let files = KeyFiles::new(directory);
    let lock = files.lock()?;
    let kid = files.create(&lock, algorithm, clock, random)?;
    let keys = KeySet::new(files.read(&[])?, times);
    let mut removed = Vec::new();
    for (key, state) in keys.states(clock.unix_seconds()) {
        if state == KeyState::Retired {
            files.remove(&lock, key.kid())?;
            removed.push(key.kid().to_owned());
        }
    }
    Ok(Rotated { kid, removed, keys: KeySet::new(files.read(&[])?, times) })
}

/// Reads the keys.
pub fn list(source: &KeySource, times: KeyTimes) -> Result<KeySet, KeyError> {
    Ok(KeySet::new(source.read(&[])?, times))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A directory that is removed after the test.
    pub(in crate::tokens) struct Directory(PathBuf);

    impl Directory {
        pub(in crate::tokens) fn new() -> Self {
            let path = std::env::temp_dir().join(format!("keys-{}", hex::encode(Random::system().bytes::<8>())));
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }

        pub(in crate::tokens) fn path(&self) -> &Path {
            &self.0
        }

        pub(in crate::tokens) fn source(&self) -> KeySource {
            KeySource::Directory(self.0.clone(), SigningAlgorithm::EdDsa)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn rotation_removes_retired_keys() {
        let times = KeyTimes { activation: Duration::from_secs(100), token_lifetime: Duration::from_secs(1000) };
        let (directory, clock, random) = (Directory::new(), Clock::manual(1_000_000_000), Random::system());
        let rotate = || rotate(&directory.source(), times, &clock, &random).unwrap();
        let first = rotate();
        for _ in 0..8 {
            let at_once = rotate();
            assert_eq!(at_once.keys.signing(clock.unix_seconds()).unwrap().kid(), first.kid, "in the same second");
            std::fs::remove_file(directory.path().join(format!("{}.pem", at_once.kid))).unwrap();
        }
        clock.advance(Duration::from_secs(5000));
        let second = rotate();
        assert_eq!((second.removed.len(), second.keys.keys().len()), (0, 2));
        clock.advance(Duration::from_secs(1199));
        assert_eq!(rotate().removed.len(), 0);
        clock.advance(Duration::from_secs(1));
        let last = rotate();
        assert_eq!((last.removed, last.keys.keys().len()), (vec![first.kid], 3));
    }

    #[test]
    fn short_secret_is_rejected_and_a_secret_is_not_rotated() {
        let times = KeyTimes { activation: Duration::ZERO, token_lifetime: Duration::ZERO };
        let (directory, clock, random) = (Directory::new(), Clock::system(), Random::system());
        let path = directory.path().join("secret");
        let source = KeySource::Secret(path.clone());
        for (secret, is_enough) in [("x".repeat(31), false), ("x".repeat(32), true)] {
            std::fs::write(&path, secret).unwrap();
            assert_eq!(KeyStore::open(&source, times, &clock, &random).is_ok(), is_enough);
        }
        assert!(matches!(rotate(&source, times, &clock, &random), Err(KeyError::NoDirectory)));
    }
}
