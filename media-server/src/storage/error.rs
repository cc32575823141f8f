//! What can go wrong with the storage, without a path: a picture's id is as good as the picture.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use object_store::client::{HttpError, HttpErrorKind};

use super::StorageUrl;

/// What can go wrong with the storage.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system's word for it: full, read-only, broken, refused.
    #[error("{0}")]
    Io(io::Error),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// A picture ended before its end.
    #[error("a picture was cut short")]
    CutShort,
    /// Something else, by the name that `object_store` has for it.
    #[error("{0}")]
    Other(&'static str),
}

/// Why the storage can't be opened: one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such directory.
    #[error("{0} is no directory: make it, and give it to the user that media-server runs as")]
    NoDirectory(PathBuf),
    /// Nothing can be made there.
    #[error("can't write to {0} ({1}): give it to the user that media-server runs as, and see that it is not full")]
    NotWritable(PathBuf, StorageError),
    /// Nothing can be put into the bucket.
    #[error(
        "can't write to the bucket {0} ({1}): see that S3_ENDPOINT and S3_REGION are right, that the bucket is there, and that \
         the keys may get, put, delete and list what is in it"
    )]
    BucketNotWritable(String, StorageError),
    /// A file that a setting names.
    #[error("{name}: can't use {path}: {error}")]
    File {
        /// The setting.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The client of the bucket can't be made.
    #[error("no client for the bucket {0}: {1}")]
    Client(String, object_store::Error),
}

impl OpenError {
    pub(super) fn not_writable(url: &StorageUrl, error: StorageError) -> Self {
        match url {
            StorageUrl::Directory(root) => Self::NotWritable(root.clone(), error),
            StorageUrl::Bucket { name, .. } => Self::BucketNotWritable(name.clone(), error),
        }
    }
}

impl From<object_store::Error> for StorageError {
    /// Keeps the operating system's word, and why there is no connection, and drops all that may hold a path.
    fn from(error: object_store::Error) -> Self {
        let mut source = error.source();
        let mut is_connecting = false;
        while let Some(inner) = source {
            if let Some(http) = inner.downcast_ref::<HttpError>() {
                match http.kind() {
                    HttpErrorKind::Timeout => return Self::Timeout,
                    kind => is_connecting = kind == HttpErrorKind::Connect,
                }
            }
            if let Some(io) = inner.downcast_ref::<io::Error>() {
                return Self::Io(match io.raw_os_error() {
                    Some(code) => io::Error::from_raw_os_error(code),
                    // No such name, no certificate that is trusted: before anything is asked for.
                    None if is_connecting => io::Error::new(io.kind(), io.to_string()),
                    None => io.kind().into(),
                });
            }
            source = inner.source();
        }
        Self::Other(match error {
            object_store::Error::NotFound { .. } => "not found",
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                "no permission"
            }
            _ => "it failed",
        })
    }
}
