//! Errors of the storage, without paths: knowing a picture's id is being allowed to see it.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use object_store::client::{HttpError, HttpErrorKind};

use super::StorageUrl;

/// Why a storage operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("{0}")]
    Io(io::Error),
    #[error("the operation timed out")]
    Timeout,
    #[error("a picture was truncated")]
    Truncated,
    #[error("{0}")]
    Other(&'static str),
}

/// Why the storage can't be opened: one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0} is not a directory: create it, owned by the user that media-server runs as")]
    NoDirectory(PathBuf),
    #[error(
        "can't write to {0} ({1}): check that the user media-server runs as owns it, and that the disk is not full"
    )]
    NotWritable(PathBuf, StorageError),
    #[error(
        "can't write to the bucket {0} ({1}): check S3_ENDPOINT and S3_REGION, that the bucket exists, and that the keys may get, \
         put, delete and list its objects"
    )]
    BucketNotWritable(String, StorageError),
    #[error("{name}: can't use {path}: {error}")]
    File { name: &'static str, path: PathBuf, error: io::Error },
    #[error("can't create a client for the bucket {0}: {1}")]
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
    /// Keeps the operating system's error and why a connection failed; drops the rest, which may hold a path.
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
                    // Name resolution or TLS: nothing has been sent yet, so it holds no path.
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
            _ => "the operation failed",
        })
    }
}
