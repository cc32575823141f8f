//! Secrets of the deployment, read from files and never printed.

use std::fmt;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

/// A secret with a redacted `Debug` and a constant-time comparison.
#[derive(Clone)]
pub struct Secret(String);

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("can't read {0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    #[error("{0} holds fewer than {SECRET_BYTES_MIN} bytes: fill it with random ones")]
    TooShort(PathBuf),
}

/// Minimum length of a secret, in bytes.
pub const SECRET_BYTES_MIN: usize = 16;

impl Secret {
    /// Reads the secret from the file at `path`, without surrounding white space.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let text = std::fs::read_to_string(path).map_err(|error| SecretError::Unreadable(path.to_owned(), error))?;
        let text = text.trim();
        if text.len() < SECRET_BYTES_MIN {
            return Err(SecretError::TooShort(path.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether `candidate` is this secret, compared in constant time.
    #[must_use]
    pub fn matches(&self, candidate: &str) -> bool {
        self.0.as_bytes().ct_eq(candidate.as_bytes()).into()
    }

    /// The secret in the clear, for the call that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
