//! Secrets of the stack: generated on the first start, in `DIR/secrets`, readable by its account only.

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
}

impl Secrets {
    /// Reads the secrets, generating missing ones.
    pub(crate) fn open(data: &DataDir, account: &Account) -> Result<Self, Error> {
        let random = Random::system();
        let secret = |name: &str| {
            let path = data.join("secrets").join(name);
            if !path.exists() {
                write_private(&path, &hex::encode(random.bytes::<32>()), Some(account))?;
            }
            let value = fs::read_to_string(&path).map_err(Error::file(&path))?;
            Ok(SecretFile { path, value })
        };
        Ok(Self {
            postgres: secret("postgres-password")?,
            users: secret("users-password")?,
            redis: secret("redis-password")?,
            media: secret("media-secret")?,
        })
    }
}
