//! The keys that tokens are signed and read with, as this replica knows them, and how they are rotated.
//!
//! Replicas share a directory of keys and look into it time and again: see [`super::ring`] for why no replica signs with
//! a key that another does not know.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use shared::clock::Clock;
use shared::random::Random;
use shared::secret::{Secret, SecretError};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::key::{Key, pkcs8};
use super::key_files::KeyFiles;
use super::ring::{KeyState, KeyTimes, Ring};

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The directory or a file in it can't be used.
    #[error("signing keys in {0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// A file that holds no Ed25519 key.
    #[error("{0} holds no Ed25519 private key in PKCS#8 PEM")]
    NotAKey(PathBuf),
    /// The secret can't be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The secret could be guessed (RFC 7518, section 3.2).
    #[error("{0} holds fewer than {HMAC_SECRET_BYTES_MIN} bytes: fill it with random ones")]
    SecretTooShort(PathBuf),
    /// A secret has no file to be rotated in.
    #[error("tokens are signed with a secret: there are no keys to list or to rotate")]
    NoDirectory,
    /// There is no key.
    #[error("there is no signing key")]
    NoKey,
    /// Signing failed.
    #[error("signing failed: {0}")]
    Signing(#[from] jsonwebtoken::errors::Error),
}

/// The least for HS256, in bytes.
const HMAC_SECRET_BYTES_MIN: usize = 32;

/// Where keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// Ed25519 keys in a directory.
    Directory(PathBuf),
    /// One secret in a file, for HS256.
    Secret(PathBuf),
}

/// The keys. They change while they are used.
#[derive(Debug)]
pub struct KeyRing {
    ring: RwLock<Arc<Ring>>,
    /// How often they have changed.
    version: AtomicU64,
    files: Option<KeyFiles>,
    looking: Mutex<Looking>,
    clock: Clock,
}

/// A look into the directory: one at a time.
#[derive(Debug, Default)]
struct Looking {
    task: Option<JoinHandle<Result<Vec<Arc<Key>>, KeyError>>>,
    /// The last one, in Unix milliseconds.
    begun: Option<u64>,
}

/// A look is not begun sooner after the last, whatever tokens are shown.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// How long a look is waited for; it takes less than a millisecond unless the directory is on a disk that hangs.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// The longest time between two looks.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(10);

impl KeyRing {
    /// Reads the keys, and makes the first one if there is none.
    pub fn open(source: &KeySource, times: KeyTimes, clock: &Clock, random: &Random) -> Result<Self, KeyError> {
        match source {
            KeySource::Directory(directory) => {
                let files = KeyFiles::at(directory);
                files.make_first(clock, random)?;
                Ok(Self::of(Ring::of(files.read_all()?, times), Some(files), clock))
            }
            KeySource::Secret(path) => {
                let secret = Secret::read(path)?;
                if secret.expose().len() < HMAC_SECRET_BYTES_MIN {
                    return Err(KeyError::SecretTooShort(path.clone()));
                }
                let key = Key::hmac(secret.expose().as_bytes()).ok_or(KeyError::NoKey)?;
                Ok(Self::of(Ring::of(vec![Arc::new(key)], times), None, clock))
            }
        }
    }

    /// One key, of a seed that is known: for tests.
    pub fn of_seed(seed: [u8; 32]) -> Result<Self, KeyError> {
        let times = KeyTimes { activation: Duration::from_mins(10), token_lifetime: Duration::from_hours(1) };
        let key = Key::ed25519("seed", &pkcs8(&seed)).ok_or(KeyError::NoKey)?;
        Ok(Self::of(Ring::of(vec![Arc::new(key)], times), None, &Clock::system()))
    }

    fn of(ring: Ring, files: Option<KeyFiles>, clock: &Clock) -> Self {
        Self {
            ring: RwLock::new(Arc::new(ring)),
            version: AtomicU64::new(0),
            files,
            looking: Mutex::default(),
            clock: clock.clone(),
        }
    }

    /// The keys of now.
    pub(super) fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes with the keys: what was verified under another version must be verified again. Ask it before the ring.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// How long there is between two looks into the directory: several fit into an activation.
    pub(super) fn look_interval(&self) -> Duration {
        (self.ring().times().activation / 4).min(LOOK_INTERVAL_MAX)
    }

    /// Takes up what has changed in the directory, unless somebody has just looked. Keys that can't be read, or a directory
    /// in which there are none, change nothing: what was good is better than nothing.
    pub(super) async fn look(&self) {
        let Some(files) = &self.files else { return };
        let mut looking = self.looking.lock().await;
        if looking.task.is_none() {
            let (now, pause) = (self.clock.unix_millis(), LOOK_PAUSE.min(self.look_interval()));
            // A clock that was set back is no reason to wait.
            if looking.begun.is_some_and(|begun| u128::from(now.wrapping_sub(begun)) < pause.as_millis()) {
                return;
            }
            let (files, known) = (files.clone(), self.ring());
            looking.begun = Some(now);
            looking.task = Some(tokio::task::spawn_blocking(move || files.read_new(known.keys())));
        }
        let Some(task) = &mut looking.task else { return };
        // Past the limit it goes on, and the next who looks waits for it, so that a disk that hangs has one of us.
        let Ok(done) = timeout(LOOK_WITHIN, task).await else { return };
        looking.task = None;
        match done {
            Ok(Ok(keys)) => self.replace(keys),
            Ok(Err(error)) => tracing::warn!(%error, "signing keys can't be read again"),
            Err(error) => tracing::error!(%error, "looking for signing keys panicked"),
        }
    }

    fn replace(&self, keys: Vec<Arc<Key>>) {
        let known = self.ring();
        let ring = Ring::of(keys, known.times());
        if ring.keys().is_empty() {
            tracing::warn!("the signing keys are gone; those that were read before stay in use");
        } else if !ring.keys().iter().map(|key| key.kid()).eq(known.keys().iter().map(|key| key.kid())) {
            tracing::info!(keys = ?ring.keys(), "the signing keys have changed");
            *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
            self.version.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// What a rotation has done.
#[derive(Debug)]
pub struct Rotated {
    /// The new key.
    pub kid: String,
    /// Those that are gone, as no token of theirs was good any more.
    pub removed: Vec<String>,
    /// The keys as they are now.
    pub ring: Ring,
}

/// Makes a new key, and removes those of which no token is good any more.
pub fn rotate(source: &KeySource, times: KeyTimes, clock: &Clock, random: &Random) -> Result<Rotated, KeyError> {
    let files = KeyFiles::at(directory(source)?);
    let lock = files.lock()?;
    let kid = files.make(&lock, clock, random)?;
    let ring = Ring::of(files.read_all()?, times);
    let mut removed = Vec::new();
    for (key, state) in ring.states(clock.unix_seconds()) {
        if state == KeyState::Over {
            files.remove(&lock, key.kid())?;
            removed.push(key.kid().to_owned());
        }
    }
    Ok(Rotated { kid, removed, ring: Ring::of(files.read_all()?, times) })
}

/// The keys as they are.
pub fn list(source: &KeySource, times: KeyTimes) -> Result<Ring, KeyError> {
    Ok(Ring::of(KeyFiles::at(directory(source)?).read_all()?, times))
}

fn directory(source: &KeySource) -> Result<&Path, KeyError> {
    match source {
        KeySource::Directory(directory) => Ok(directory),
        KeySource::Secret(_) => Err(KeyError::NoDirectory),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A directory that goes with its test.
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
            KeySource::Directory(self.0.clone())
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_rotation_removes_the_keys_of_which_no_token_is_good() {
        let times = KeyTimes { activation: Duration::from_secs(100), token_lifetime: Duration::from_secs(1000) };
        let (directory, clock, random) = (Directory::new(), Clock::manual(1_000_000_000), Random::system());
        let rotate = || rotate(&directory.source(), times, &clock, &random).unwrap();
        let first = rotate();
        for _ in 0..8 {
            let at_once = rotate();
            assert_eq!(at_once.ring.signing(clock.unix_seconds()).unwrap().kid(), first.kid, "in the same second");
            std::fs::remove_file(directory.path().join(format!("{}.pem", at_once.kid))).unwrap();
        }
        clock.advance(Duration::from_secs(5000));
        let second = rotate();
        assert_eq!((second.removed.len(), second.ring.keys().len()), (0, 2));
        clock.advance(Duration::from_secs(1199));
        assert_eq!(rotate().removed.len(), 0);
        clock.advance(Duration::from_secs(1));
        let last = rotate();
        assert_eq!((last.removed, last.ring.keys().len()), (vec![first.kid], 3));
    }

    #[test]
    fn a_secret_is_long_enough_or_refused_and_is_not_rotated() {
        let times = KeyTimes { activation: Duration::ZERO, token_lifetime: Duration::ZERO };
        let (directory, clock, random) = (Directory::new(), Clock::system(), Random::system());
        let path = directory.path().join("secret");
        let source = KeySource::Secret(path.clone());
        for (secret, is_enough) in [("x".repeat(31), false), ("x".repeat(32), true)] {
            std::fs::write(&path, secret).unwrap();
            assert_eq!(KeyRing::open(&source, times, &clock, &random).is_ok(), is_enough);
        }
        assert!(matches!(rotate(&source, times, &clock, &random), Err(KeyError::NoDirectory)));
    }
}
