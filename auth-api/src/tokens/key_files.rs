//! The directory of signing keys that replicas share: one key per file, in PKCS#8 PEM, of any supported algorithm.
//!
//! Files are named `<kid>.pem`, keys `<creation time in Unix seconds>-<random>`. An operator's own file may have any name:
//! without a time its key counts as the oldest.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::clock::Clock;
use shared::random::Random;

use super::key::{Key, KeyError, SigningAlgorithm, created_at};
use super::key_set::{KeySet, KeyTimes};

/// The directory. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct KeyFiles(Arc<Path>);

/// An exclusive lock for creating and removing keys.
pub(super) struct Lock(#[expect(dead_code, reason = "held until dropped")] File);

impl KeyFiles {
    pub(super) fn new(directory: &Path) -> Self {
        Self(directory.into())
    }

    /// Returns each `kid` with its file.
    pub(super) fn list(&self) -> Result<Vec<(String, PathBuf)>, KeyError> {
        let list = || {
            let mut files = Vec::new();
            for entry in fs::read_dir(&self.0)? {
                let path = entry?.path();
                let kid = path.file_stem().and_then(|stem| stem.to_str()).map(ToOwned::to_owned);
                if path.extension().is_some_and(|extension| extension == "pem")
                    && let Some(kid) = kid
                {
                    files.push((kid, path));
                }
            }
            Ok(files)
        };
        list().map_err(|error| self.failed(error))
    }

    /// Reads every key that is not in `known`, and returns all. Logs and skips a file without a key, which must not hide the
    /// other keys; fails if no other is left.
    pub(super) fn read(&self, known: &[Arc<Key>]) -> Result<Vec<Arc<Key>>, KeyError> {
        let (mut keys, mut failed) = (Vec::new(), None);
        for (kid, path) in self.list()? {
            let key = match known.iter().find(|key| key.kid() == kid) {
                Some(key) => Ok(Arc::clone(key)),
                None => read(&kid, &path),
            };
            match key {
                Ok(key) => keys.push(key),
                Err(error) => {
                    tracing::warn!(%error, "a signing key can't be read; continuing without it");
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) if keys.is_empty() => Err(error),
            _ => Ok(keys),
        }
    }

    /// Creates a key of `algorithm` unless one is active or pending; of several replicas at once only the first does. The
    /// existing key signs until the new one is active.
    pub(super) fn create_missing(
        &self,
        algorithm: SigningAlgorithm,
        times: KeyTimes,
        clock: &Clock,
        random: &Random,
    ) -> Result<(), KeyError> {
        let is_missing = || {
            let keys = self.read(&[]).map(|keys| KeySet::new(keys, times));
            keys.map(|keys| !keys.signs_with(algorithm.into(), clock.unix_seconds()))
        };
        if is_missing()? {
            let lock = self.lock()?;
            if is_missing()? {
                self.create(&lock, algorithm, clock, random)?;
            }
        }
        Ok(())
    }

    /// Waits for the exclusive lock.
    pub(super) fn lock(&self) -> Result<Lock, KeyError> {
        lock(&self.0).map_err(|error| self.failed(error))
    }

    /// Creates a key and returns its `kid`.
    pub(super) fn create(
        &self,
        _: &Lock,
        algorithm: SigningAlgorithm,
        clock: &Clock,
        random: &Random,
    ) -> Result<String, KeyError> {
        let times: Vec<u64> = self.list()?.iter().map(|(kid, _)| created_at(kid)).collect();
        let kid = format!("{}-{}", creation_time(clock, &times), hex::encode(random.bytes::<8>()));
        let pem = pem::encode(&pem::Pem::new("PRIVATE KEY", algorithm.generate(random)?));
        let create = || {
            // An operator may create keys as another account than the service's.
            let directory = fs::metadata(&self.0)?;
            replace(&self.0.join(format!("{kid}.pem")), pem.as_bytes(), &directory, 0o600, random)
        };
        create().map_err(|error| self.failed(error))?;
        Ok(kid)
    }

    pub(super) fn remove(&self, _: &Lock, kid: &str) -> Result<(), KeyError> {
        fs::remove_file(self.0.join(format!("{kid}.pem"))).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> KeyError {
        KeyError::Io(self.0.to_path_buf(), error)
    }
}

/// Waits for the exclusive lock of a directory.
pub(super) fn lock(directory: &Path) -> io::Result<Lock> {
    let path = directory.join(".lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    give_to(&file, &fs::metadata(directory)?)?;
    file.lock()?;
    Ok(Lock(file))
}

/// Writes a file under a temporary name and renames it, so that it is never read in part; gives it to the account of `owner`.
pub(super) fn replace(path: &Path, content: &[u8], owner: &Metadata, mode: u32, random: &Random) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidFilename)?;
    let draft = directory.join(format!(".{}.draft", hex::encode(random.bytes::<8>())));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(content)?;
    give_to(&file, owner)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(directory)?.sync_all()
}

fn give_to(file: &File, owner: &Metadata) -> io::Result<()> {
    let is = file.metadata()?;
    if owner.uid() != is.uid() {
        return fchown(file, Some(owner.uid()), Some(owner.gid()));
    }
    if owner.gid() != is.gid() {
        // An account that is not in the group may not set it; it still owns the file.
        let _ = fchown(file, None, Some(owner.gid()));
    }
    Ok(())
}

/// Returns the creation time of a new key, now or later: two keys of the same second would have no order.
pub(super) fn creation_time(clock: &Clock, existing: &[u64]) -> u64 {
    let mut time = clock.unix_seconds();
    while existing.contains(&time) {
        time += 1;
    }
    time
}

fn read(kid: &str, path: &Path) -> Result<Arc<Key>, KeyError> {
    let text = fs::read(path).map_err(|error| KeyError::Io(path.to_owned(), error))?;
    let key = pem::parse(&text).ok().and_then(|pem| Key::from_pkcs8(kid, pem.contents()));
    key.map(Arc::new).ok_or_else(|| KeyError::NotAKey(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jsonwebtoken::Algorithm;

    use super::*;
    use crate::tokens::key_store::tests::Directory;

    const TIMES: KeyTimes =
        KeyTimes { activation: Duration::from_secs(100), token_lifetime: Duration::from_secs(1000) };

    #[test]
    fn concurrent_starts_share_the_first_key_of_each_algorithm() {
        let (directory, clock) = (Directory::new(), Clock::system());
        let files = KeyFiles::new(directory.path());
        for (count, algorithm) in (1..).zip([SigningAlgorithm::EdDsa, SigningAlgorithm::Es256, SigningAlgorithm::Rs256])
        {
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| files.create_missing(algorithm, TIMES, &clock, &Random::system()).unwrap());
                }
            });
            let keys = KeySet::new(files.read(&[]).unwrap(), TIMES);
            assert_eq!((keys.keys().len(), keys.keys()[count - 1].algorithm()), (count, algorithm.into()));
            let signing = keys.signing(clock.unix_seconds()).unwrap();
            assert_eq!(signing.algorithm(), Algorithm::EdDSA, "the first signs until another is active");
        }
    }

    #[test]
    fn a_start_creates_a_key_again_once_that_of_its_algorithm_is_replaced() {
        let (directory, clock, random) = (Directory::new(), Clock::manual(1_000_000_000_000), Random::system());
        let files = KeyFiles::new(directory.path());
        let mut counts = Vec::new();
        for algorithm in [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
            for seconds in [0, 101] {
                clock.advance(Duration::from_secs(seconds));
                files.create_missing(algorithm, TIMES, &clock, &random).unwrap();
                counts.push(files.list().unwrap().len());
            }
        }
        assert_eq!(counts, [1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn file_without_a_key_is_named_and_does_not_hide_the_others() {
        let directory = Directory::new();
        let files = KeyFiles::new(directory.path());
        fs::write(directory.path().join("1-x.pem"), "no key").unwrap();
        let create = |algorithm| files.create_missing(algorithm, TIMES, &Clock::system(), &Random::system());
        let error = create(SigningAlgorithm::Es256).unwrap_err().to_string();
        assert!(error.contains("1-x.pem holds no P-256, Ed25519 or RSA"), "{error}");
        assert_eq!(files.list().unwrap().len(), 1, "tokens of keys that can't be read are not replaced");
        let keys = [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa, SigningAlgorithm::Rs256];
        for (time, algorithm) in (2..).zip(keys) {
            let pem = pem::encode(&pem::Pem::new("PRIVATE KEY", algorithm.generate(&Random::system()).unwrap()));
            fs::write(directory.path().join(format!("{time}-x.pem")), pem).unwrap();
        }
        assert_eq!(files.read(&[]).unwrap().len(), 3);
        create(SigningAlgorithm::Rs256).unwrap();
        assert_eq!(files.list().unwrap().len(), 4);
    }
}
