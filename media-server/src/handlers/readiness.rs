//! Readiness: the storage works, and has room for a picture.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use shared::http::Problem;

use crate::app::App;
use crate::error::Error;
use crate::storage::StorageError;

/// `GET /readyz`: probes the storage. Degraded where pictures are delivered and none can be stored.
pub async fn check(app: Arc<App>) -> Result<Vec<&'static str>, Problem> {
    match app.storage.probe(app.picture_bytes_max).await {
        Ok(()) => Ok(Vec::new()),
        Err(StorageError::Io(error)) if is_full(&error) => Ok(vec!["storage_full"]),
        Err(StorageError::Io(error)) if error.kind() == ErrorKind::ReadOnlyFilesystem => Ok(vec!["storage_read_only"]),
        Err(error) => Err(Error::from(error).into()),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
