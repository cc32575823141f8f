//! Secrets of the stack: missing ones are generated at each start, readable by its account only.

use std::fs;
use std::path::PathBuf;

use shared::random::Random;

use crate::account::Account;
use crate::data_dir::{DataDir, write_private};
use crate::error::Error;

/// A secret and its file.
#[derive(Debug)]
pub(crate) struct SecretFile {
    pub(crate) path: PathBuf,
    pub(crate) value: String,
}

/// All secrets of the stack.
#[derive(Debug)]
pub(crate) struct Secrets {
    /// Password of the Postgres superuser.
    pub(crate) postgres: SecretFile,
    /// Password of the Postgres role `users`.
    pub(crate) users: SecretFile,
    /// Password of Redis.
    pub(crate) redis: SecretFile,
    /// Token with which auth-api authenticates to media-server.
    pub(crate) media: SecretFile,
    /// Signs refresh tokens. In the directory of keys, where auth-api rotates it.
    pub(crate) refresh: SecretFile,
}

impl Secrets {
    /// Reads the secrets, generating missing ones.
    pub(crate) fn open(data: &DataDir, account: &Account) -> Result<Self, Error> {
        let random = Random::system();
        let secret = |name: &str| {
            let path = data.join(name);
            if !path.exists() {
                write_private(&path, &hex::encode(random.bytes::<32>()), Some(account))?;
            }
            let value = fs::read_to_string(&path).map_err(Error::file(&path))?;
            Ok(SecretFile { path, value })
        };
        Ok(Self {
            postgres: secret("secrets/postgres-password")?,
            users: secret("secrets/users-password")?,
            redis: secret("secrets/redis-password")?,
            media: secret("secrets/media-secret")?,
            refresh: secret("keys/refresh-secret")?,
        })
    }
}
