//! Signing keys: Ed25519, one PKCS#8 PEM file each (`<unix seconds>-<random>.pem`) in a directory that replicas share.
//!
//! The file's name without its ending is the `kid`. The newest key signs, all of them verify. The first replica that
//! finds none makes one; whoever loses that race takes the winner's.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use jsonwebtoken::{DecodingKey, EncodingKey};
use shared::clock::Clock;
use shared::random::Random;

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The directory or a file in it can't be used.
    #[error("signing keys in {0}: {1}")]
    Io(PathBuf, io::Error),
    /// A file that holds no Ed25519 key.
    #[error("{0} holds no Ed25519 private key in PKCS#8 PEM")]
    NotAKey(PathBuf),
    /// Signing failed.
    #[error("signing failed: {0}")]
    Signing(#[from] jsonwebtoken::errors::Error),
}

/// The keys that tokens are signed and read with. Never empty.
pub struct KeyRing {
    signing_kid: String,
    signing_key: EncodingKey,
    verifying: BTreeMap<String, DecodingKey>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeyRing").field(&self.verifying.keys()).finish()
    }
}

/// A `kid` is no longer than this, in bytes.
const KID_BYTES_MAX: usize = 64;

impl KeyRing {
    /// Reads the keys in `directory`, and makes the first one if there is none.
    pub fn open(directory: &Path, clock: &Clock, random: &Random) -> Result<Self, KeyError> {
        let failed = |error| KeyError::Io(directory.to_owned(), error);
        let mut files = key_files(directory).map_err(failed)?;
        if files.is_empty() {
            make(directory, clock, random).map_err(failed)?;
            files = key_files(directory).map_err(failed)?;
        }
        let mut keys = BTreeMap::new();
        for (kid, path) in files {
            keys.insert(kid, read(&path)?);
        }
        Self::of(keys).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
    }

    /// One key, of a seed that is known: for tests.
    pub fn of_seed(seed: [u8; 32]) -> Result<Self, KeyError> {
        let path = PathBuf::from("seed");
        let pair = pair_of(&pkcs8(&seed)).ok_or(KeyError::NotAKey(path.clone()))?;
        Self::of(BTreeMap::from([("seed".to_owned(), pair)])).ok_or(KeyError::NotAKey(path))
    }

    fn of(mut keys: BTreeMap<String, (EncodingKey, DecodingKey)>) -> Option<Self> {
        let (newest, (signing_key, newest_verifying)) = keys.pop_last()?;
        let mut verifying: BTreeMap<_, _> = keys.into_iter().map(|(kid, (_, key))| (kid, key)).collect();
        verifying.insert(newest.clone(), newest_verifying);
        Some(Self { signing_kid: newest, signing_key, verifying })
    }

    /// The key that signs, and its `kid`.
    pub fn signing(&self) -> (&str, &EncodingKey) {
        (&self.signing_kid, &self.signing_key)
    }

    /// The key of this `kid`, if it is one of ours.
    pub fn verifying(&self, kid: &str) -> Option<&DecodingKey> {
        if kid.len() > KID_BYTES_MAX {
            return None;
        }
        self.verifying.get(kid)
    }
}

fn key_files(directory: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let kid = path.file_stem().and_then(|stem| stem.to_str()).map(ToOwned::to_owned);
        if path.extension().is_some_and(|extension| extension == "pem")
            && let Some(kid) = kid
        {
            files.push((kid, path));
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<(EncodingKey, DecodingKey), KeyError> {
    let text = fs::read(path).map_err(|error| KeyError::Io(path.to_owned(), error))?;
    let not_a_key = || KeyError::NotAKey(path.to_owned());
    let pem = pem::parse(&text).map_err(|_| not_a_key())?;
    pair_of(pem.contents()).ok_or_else(not_a_key)
}

fn pair_of(pkcs8: &[u8]) -> Option<(EncodingKey, DecodingKey)> {
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).ok()?;
    let public = pair.public_key().as_ref();
    Some((EncodingKey::from_ed_der(pkcs8), DecodingKey::from_ed_der(public)))
}

/// `PrivateKeyInfo` of RFC 8410, section 7: a fixed head and the seed.
fn pkcs8(seed: &[u8; 32]) -> Vec<u8> {
    let mut der = hex_literal(b"302e020100300506032b657004220420");
    der.extend_from_slice(seed);
    der
}

fn hex_literal(digits: &[u8]) -> Vec<u8> {
    hex::decode(digits).unwrap_or_default()
}

/// Makes the first key: written whole under another name, then linked to a name that can be taken only once.
fn make(directory: &Path, clock: &Clock, random: &Random) -> io::Result<()> {
    let pem = pem::encode(&pem::Pem::new("PRIVATE KEY", pkcs8(&random.bytes())));
    let unique = hex::encode(random.bytes::<8>());
    let draft = directory.join(format!(".{unique}.draft"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    // The lock decides which of several replicas makes the first key.
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(directory.join(".lock"))?;
    lock.lock()?;
    if key_files(directory)?.is_empty() {
        let kid = format!("{}-{unique}", clock.unix_seconds());
        fs::rename(&draft, directory.join(format!("{kid}.pem")))?;
        fs::File::open(directory)?.sync_all()?;
    } else {
        fs::remove_file(&draft)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_who_start_at_once_share_the_first_key() {
        let directory = std::env::temp_dir().join(format!("keys-{}", hex::encode(Random::system().bytes::<8>())));
        fs::create_dir(&directory).unwrap();
        let kids: Vec<String> = std::thread::scope(|scope| {
            let openers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let ring = KeyRing::open(&directory, &Clock::system(), &Random::system()).unwrap();
                        ring.signing().0.to_owned()
                    })
                })
                .collect();
            openers.into_iter().map(|opener| opener.join().unwrap()).collect()
        });
        assert!(kids.iter().all(|kid| *kid == kids[0]), "{kids:?}");
        assert_eq!(key_files(&directory).unwrap().len(), 1);
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_file_that_holds_no_key_is_named() {
        let directory = std::env::temp_dir().join(format!("keys-{}", hex::encode(Random::system().bytes::<8>())));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("1-x.pem"), "no key").unwrap();
        let error = KeyRing::open(&directory, &Clock::system(), &Random::system()).unwrap_err();
        assert!(error.to_string().ends_with("1-x.pem holds no Ed25519 private key in PKCS#8 PEM"), "{error}");
        fs::remove_dir_all(&directory).unwrap();
    }
}
