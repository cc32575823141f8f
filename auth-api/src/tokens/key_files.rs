//! The directory of signing keys that replicas share: one Ed25519 key a file, PKCS#8 in PEM.
//!
//! A file is called `<kid>.pem`, and a `kid` `<when it was made, in Unix seconds>-<random>`. A file that an operator puts
//! there may have any name: where it begins with no time, its key counts as the oldest.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::clock::Clock;
use shared::random::Random;

use super::key::{Key, made_at, pkcs8};
use super::keys::KeyError;

/// The directory. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct KeyFiles(Arc<Path>);

/// Held by who makes or removes keys.
pub(super) struct Lock(#[expect(dead_code, reason = "held until dropped")] File);

impl KeyFiles {
    pub(super) fn at(directory: &Path) -> Self {
        Self(directory.into())
    }

    /// Every `kid` and its file, the oldest first.
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

    /// Every key; a file that holds none is an error.
    pub(super) fn read_all(&self) -> Result<Vec<Arc<Key>>, KeyError> {
        self.list()?.iter().map(|(kid, path)| read(kid, path)).collect()
    }

    /// Every key, those that are `known` already not read again. A file that holds none is logged and left out: it must
    /// not keep a replica from the others.
    pub(super) fn read_new(&self, known: &[Arc<Key>]) -> Result<Vec<Arc<Key>>, KeyError> {
        let mut keys = Vec::new();
        for (kid, path) in self.list()? {
            let key = match known.iter().find(|key| key.kid() == kid) {
                Some(key) => Ok(Arc::clone(key)),
                None => read(&kid, &path),
            };
            match key {
                Ok(key) => keys.push(key),
                Err(error) => tracing::warn!(%error, "a signing key is left out"),
            }
        }
        Ok(keys)
    }

    /// Makes a key if there is none: the first of several replicas to come here does, the others find it.
    pub(super) fn make_first(&self, clock: &Clock, random: &Random) -> Result<(), KeyError> {
        if self.list()?.is_empty() {
            let lock = self.lock()?;
            if self.list()?.is_empty() {
                self.make(&lock, clock, random)?;
            }
        }
        Ok(())
    }

    /// Waits until nobody else makes or removes keys.
    pub(super) fn lock(&self) -> Result<Lock, KeyError> {
        let lock = || {
            let path = self.0.join(".lock");
            let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
            self.give_to_owner(&file)?;
            file.lock()?;
            Ok(Lock(file))
        };
        lock().map_err(|error| self.failed(error))
    }

    /// Makes a key: written whole under another name, so that nobody reads half of it. Returns its `kid`.
    pub(super) fn make(&self, _: &Lock, clock: &Clock, random: &Random) -> Result<String, KeyError> {
        let times: Vec<u64> = self.list()?.iter().map(|(kid, _)| made_at(kid)).collect();
        let mut made_at = clock.unix_seconds();
        // Two of one second would be in no order.
        while times.contains(&made_at) {
            made_at += 1;
        }
        let make = || {
            let unique = hex::encode(random.bytes::<8>());
            let draft = self.0.join(format!(".{unique}.draft"));
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(pem::encode(&pem::Pem::new("PRIVATE KEY", pkcs8(&random.bytes()))).as_bytes())?;
            self.give_to_owner(&file)?;
            file.sync_all()?;
            let kid = format!("{made_at}-{unique}");
            fs::rename(&draft, self.0.join(format!("{kid}.pem")))?;
            File::open(&self.0)?.sync_all()?;
            Ok(kid)
        };
        make().map_err(|error| self.failed(error))
    }

    /// Removes a key.
    pub(super) fn remove(&self, _: &Lock, kid: &str) -> Result<(), KeyError> {
        fs::remove_file(self.0.join(format!("{kid}.pem"))).map_err(|error| self.failed(error))
    }

    /// The services must be able to read what an administrator makes, who may be another account.
    fn give_to_owner(&self, file: &File) -> io::Result<()> {
        let (wanted, is) = (fs::metadata(&self.0)?, file.metadata()?);
        if wanted.uid() == is.uid() { Ok(()) } else { fchown(file, Some(wanted.uid()), Some(wanted.gid())) }
    }

    fn failed(&self, error: io::Error) -> KeyError {
        KeyError::Io(self.0.to_path_buf(), error)
    }
}

fn read(kid: &str, path: &Path) -> Result<Arc<Key>, KeyError> {
    let text = fs::read(path).map_err(|error| KeyError::Io(path.to_owned(), error))?;
    let key = pem::parse(&text).ok().and_then(|pem| Key::ed25519(kid, pem.contents()));
    key.map(Arc::new).ok_or_else(|| KeyError::NotAKey(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::keys::tests::Directory;

    #[test]
    fn many_who_start_at_once_share_the_first_key() {
        let directory = Directory::new();
        let files = KeyFiles::at(directory.path());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| files.make_first(&Clock::system(), &Random::system()).unwrap());
            }
        });
        assert_eq!(files.read_all().unwrap().len(), 1);
    }

    #[test]
    fn a_file_that_holds_no_key_is_named_and_keeps_nobody_from_the_others() {
        let directory = Directory::new();
        let files = KeyFiles::at(directory.path());
        files.make_first(&Clock::system(), &Random::system()).unwrap();
        fs::write(directory.path().join("1-x.pem"), "no key").unwrap();
        let error = files.read_all().unwrap_err();
        assert!(error.to_string().ends_with("1-x.pem holds no Ed25519 private key in PKCS#8 PEM"), "{error}");
        assert_eq!(files.read_new(&[]).unwrap().len(), 1);
    }
}
