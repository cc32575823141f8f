//! Secrets of the deployment: made on the machine that uses them, kept in files, never shown.

use std::fmt;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

/// A secret that neither prints nor compares in a time that depends on its content.
#[derive(Clone)]
pub struct Secret(String);

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file can't be read.
    #[error("can't read {0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// The file holds too little to be a secret.
    #[error("{0} holds fewer than {SECRET_BYTES_MIN} bytes: fill it with random ones")]
    TooShort(PathBuf),
}

/// The least that counts as a secret, in bytes.
pub const SECRET_BYTES_MIN: usize = 16;

impl Secret {
    /// Reads the secret in the file at `path`; white space around it goes.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let text = std::fs::read_to_string(path).map_err(|error| SecretError::Unreadable(path.to_owned(), error))?;
        let text = text.trim();
        if text.len() < SECRET_BYTES_MIN {
            return Err(SecretError::TooShort(path.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether `candidate` is this secret; takes the same time wherever they differ.
    #[must_use]
    pub fn matches(&self, candidate: &str) -> bool {
        self.0.as_bytes().ct_eq(candidate.as_bytes()).into()
    }

    /// The secret itself, for the one call that must send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
