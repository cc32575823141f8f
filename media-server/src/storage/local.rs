//! Storage in a local directory, which replicas may share.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use shared::clock::Clock;
use shared::media_api::ImageId;
use tokio::task::spawn_blocking;

use super::directories::Directories;
use super::object::{ObjectKey, directory};
use super::{OpenError, Page, StorageError};

/// The local backend. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Local {
    store: Arc<LocalFileSystem>,
    pub(super) directories: Arc<Directories>,
}

impl Local {
    pub(super) fn open(root: &Path, clock: &Clock) -> Result<Self, OpenError> {
        let store = LocalFileSystem::new_with_prefix(root)
            .ok()
            .filter(|_| root.is_dir())
            .ok_or_else(|| OpenError::NoDirectory(root.to_owned()))?;
        let directories = Directories::prepare(root.to_owned(), clock)
            .map_err(|error| OpenError::NotWritable(root.to_owned(), StorageError::Io(error)))?;
        Ok(Self { store: Arc::new(store.with_fsync(true)), directories: Arc::new(directories) })
    }

    pub(super) fn store(&self) -> &dyn ObjectStore {
        &*self.store
    }

    /// Removes stale uploads in the background.
    pub(super) fn remove_stale_uploads(&self) {
        let directories = Arc::clone(&self.directories);
        spawn_blocking(move || directories.remove_stale_uploads());
    }

    /// Makes the entries of a picture's directory durable.
    pub(super) async fn sync(&self, id: ImageId) -> Result<(), StorageError> {
        let directories = Arc::clone(&self.directories);
        blocking(move || directories.sync(&directory(id))).await
    }

    /// Lists the renditions of a picture. Reads its whole directory, a few milliseconds with ten million pictures, to find those
    /// of sizes that are no longer configured.
    pub(super) async fn renditions(&self, id: ImageId) -> Result<Vec<ObjectKey>, StorageError> {
        let directories = Arc::clone(&self.directories);
        blocking(move || directories.renditions(id)).await
    }

    /// Fails as a write would if fewer than `bytes` are free for this process.
    pub(super) async fn check_free_space(&self, bytes: usize) -> Result<(), StorageError> {
        let directories = Arc::clone(&self.directories);
        blocking(move || {
            let free_bytes = directories.free_bytes()?;
            if free_bytes < bytes as u64 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
        .await
    }

    pub(super) async fn list(&self, after: Option<ImageId>, limit: usize) -> Result<Page, StorageError> {
        let directories = Arc::clone(&self.directories);
        blocking(move || directories.list(after, limit)).await
    }
}

/// Reads exactly `range` of a file.
pub(super) async fn read(file: Arc<File>, range: Range<u64>) -> Result<Bytes, StorageError> {
    blocking(move || {
        let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, StorageError> {
    spawn_blocking(work).await.map_err(|_| StorageError::Other("the operation panicked"))?.map_err(StorageError::Io)
}
