//! The stack's secrets: made on its first start, kept in `DIR/secrets`, readable by its account only.

use std::fs;
use std::path::PathBuf;

use shared::random::Random;

use crate::account::Account;
use crate::data_dir::{DataDir, write_private};
use crate::error::Error;

/// A file that holds a secret, and the secret.
#[derive(Debug)]
pub(crate) struct SecretFile {
    pub(crate) path: PathBuf,
    pub(crate) value: String,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Secrets {
    /// Postgres's superuser.
    pub(crate) postgres: SecretFile,
    /// Postgres's role `users`.
    pub(crate) users: SecretFile,
    /// Redis.
    pub(crate) redis: SecretFile,
    /// What auth-api shows to media-server.
    pub(crate) media: SecretFile,
}

impl Secrets {
    /// Reads them, and makes those that are missing.
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
