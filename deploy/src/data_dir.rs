//! The data directory `DIR`: all state of a stack, locked by one runner at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::error::Error;

/// Directories created on the first start.
const DIRECTORIES: [&str; 6] = ["keys", "logs", "nginx", "pictures", "redis", "secrets"];

/// The open, locked data directory.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Locked until dropped or the process ends.
    _lock: File,
}

impl DataDir {
    /// Creates what is missing and takes the lock.
    pub(crate) fn open(path: &Path, account: &Account) -> Result<Self, Error> {
        if !path.exists() {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(Error::file(parent))?;
            }
            make_dir(path, account)?;
        }
        let path = path.canonicalize().map_err(Error::file(path))?;
        if is_empty(&path)? {
            // An empty directory was made for this stack, perhaps by root.
            account.own(&path)?;
        }
        let lock = lock(&path)?;
        account.own(&path.join("lock"))?;
        for directory in DIRECTORIES.map(|name| path.join(name)) {
            if !directory.exists() {
                make_dir(&directory, account)?;
            }
        }
        let data = Self { path, _lock: lock };
        // Left behind by a killed runner.
        data.remove_env();
        Ok(data)
    }

    /// Returns the path of `name` in the directory.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the absolute path of the directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of `DIR/env`, which exists while the stack is ready.
    pub(crate) fn env(&self) -> PathBuf {
        self.join("env")
    }

    /// Removes `DIR/env`: the stack is no longer ready.
    pub(crate) fn remove_env(&self) {
        // It does not exist unless the stack was ready.
        let _ = fs::remove_file(self.env());
    }
}

/// Atomically writes a file that only its owner may read.
pub(crate) fn write_private(path: &Path, content: &str, owner: Option<&Account>) -> Result<(), Error> {
    let unfinished = path.with_extension("new");
    // Left behind by a killed runner.
    let _ = fs::remove_file(&unfinished);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()
    };
    write().map_err(Error::file(&unfinished))?;
    if let Some(account) = owner {
        account.own(&unfinished)?;
    }
    fs::rename(&unfinished, path).map_err(Error::file(path))
}

/// Creates a directory that only its owner, `account`, may enter.
pub(crate) fn make_dir(path: &Path, account: &Account) -> Result<(), Error> {
    DirBuilder::new().mode(0o700).create(path).map_err(Error::file(path))?;
    // Independent of the umask.
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(Error::file(path))?;
    account.own(path)
}

fn is_empty(path: &Path) -> Result<bool, Error> {
    Ok(fs::read_dir(path).map_err(Error::file(path))?.next().is_none())
}

fn lock(data: &Path) -> Result<File, Error> {
    let path = data.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(Error::file(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::DataDirInUse(data.to_owned())),
        Err(TryLockError::Error(error)) => Err(Error::File { path, error }),
    }
}
