//! Where pictures lie: durable, never overwritten, behind `object_store`. Knows no HTTP.
//!
//! A picture lies under its id, without an extension, in one of 4,096 directories: `012/0123456789abcdef…`. So an id
//! can't hold two pictures, even of two kinds, whatever the race; ten million pictures are 2,500 a directory.
//! What is told of a failure never holds a path: a picture's id is as good as the picture.

mod directories;

use std::error::Error as _;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};
use shared::clock::Clock;
use shared::media_api::ImageId;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use directories::Directories;

/// Where the storage is and how long it may take.
#[derive(Clone, Debug)]
pub struct StorageConfig {
    /// Where.
    pub url: StorageUrl,
    /// How long one operation may take.
    pub timeout: Duration,
}

/// `file:///an/absolute/path`.
#[derive(Clone, Debug)]
pub struct StorageUrl(PathBuf);

impl FromStr for StorageUrl {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let url = url::Url::parse(text).map_err(|_| ())?;
        if url.scheme() != "file" || url.query().is_some() || url.fragment().is_some() {
            return Err(());
        }
        url.to_file_path().map(Self)
    }
}

/// What can go wrong with the storage.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system's word for it: full, read-only, broken.
    #[error("{0}")]
    Io(io::Error),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
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
}

/// How a `put` ended, if it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Put {
    /// It is stored.
    Created,
    /// The same bytes were stored before.
    AlreadyThere,
    /// Other bytes are stored under that id.
    Taken,
}

/// The pictures. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    directories: Arc<Directories>,
    /// What has begun holds a share until it ends, even where nobody waits for it any more.
    shares: Arc<Semaphore>,
    timeout: Duration,
}

/// Operations on the storage at once; the next ones wait.
const OPERATIONS_MAX: usize = 64;

/// Read at once: a picture up to this size is one read, a larger one is sent in pieces of it.
pub const PIECE_BYTES: u64 = 64 * 1024;

/// The object that shows that the storage can be written.
const PROBE: &str = "probe";

impl Storage {
    /// Opens the storage, makes what it needs, and clears in the background what a crash has left behind.
    pub async fn open(config: &StorageConfig, clock: &Clock) -> Result<Self, OpenError> {
        let StorageUrl(root) = config.url.clone();
        let not_writable = |error| OpenError::NotWritable(root.clone(), error);
        let local = LocalFileSystem::new_with_prefix(&root)
            .ok()
            .filter(|_| root.is_dir())
            .ok_or_else(|| OpenError::NoDirectory(root.clone()))?;
        let directories = Directories::prepare(root.clone(), clock).map_err(|e| not_writable(StorageError::Io(e)))?;
        let storage = Self {
            store: Arc::new(local.with_fsync(true)),
            directories: Arc::new(directories),
            shares: Arc::new(Semaphore::new(OPERATIONS_MAX)),
            timeout: config.timeout,
        };
        storage.probe().await.map_err(not_writable)?;
        let directories = Arc::clone(&storage.directories);
        spawn_blocking(move || directories.sweep());
        Ok(storage)
    }

    /// Stores a picture. When this returns, it stays, whatever happens to the power.
    pub async fn put(&self, id: ImageId, picture: Bytes) -> Result<Put, StorageError> {
        let this = self.clone();
        self.run(async move {
            let options = PutOptions::from(PutMode::Create);
            match this.store.put_opts(&path(id), picture.clone().into(), options).await {
                Ok(_) => Ok(Put::Created),
                Err(object_store::Error::AlreadyExists { .. }) => this.compare(id, picture).await,
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Deletes a picture, if there is one. When this returns, it does not come back.
    pub async fn delete(&self, id: ImageId) -> Result<(), StorageError> {
        let this = self.clone();
        self.run(async move {
            match this.store.delete(&path(id)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => this.sync(id).await,
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Opens a picture and reads its first [`PIECE_BYTES`].
    pub async fn get(&self, id: ImageId) -> Result<Option<Picture>, StorageError> {
        let this = self.clone();
        self.run(async move { this.open_picture(id).await }).await
    }

    /// Writes and deletes a small object.
    pub async fn probe(&self) -> Result<(), StorageError> {
        let this = self.clone();
        self.run(async move {
            let path = Path::from(PROBE);
            this.store.put(&path, Bytes::from_static(PROBE.as_bytes()).into()).await?;
            match this.store.delete(&path).await {
                // Another replica was faster.
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Bounds `work` in number and in time. Late work goes on: what writes to a disk can't be stopped.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StorageError>> + Send + 'static,
    ) -> Result<T, StorageError> {
        let bounded = async {
            let share = Arc::clone(&self.shares).acquire_owned().await;
            let work = tokio::spawn(async move {
                let _share = share;
                work.await
            });
            work.await.unwrap_or(Err(StorageError::Other("the operation panicked")))
        };
        timeout(self.timeout, bounded).await.unwrap_or(Err(StorageError::Timeout))
    }

    /// After a `put` that found the id taken: perhaps by the same picture, whose answer was lost.
    async fn compare(&self, id: ImageId, picture: Bytes) -> Result<Put, StorageError> {
        let Some(stored) = self.open_picture(id).await? else {
            return Err(StorageError::Other("deleted meanwhile"));
        };
        if stored.size_bytes != picture.len() as u64 {
            return Ok(Put::Taken);
        }
        let mut rest = picture;
        let mut pieces = self.stream(stored, 0..rest.len() as u64);
        while let Some(piece) = pieces.try_next().await? {
            if !rest.starts_with(&piece) {
                return Ok(Put::Taken);
            }
            rest = rest.slice(piece.len()..);
        }
        // Whoever stored it may have crashed before the directory was synced.
        self.sync(id).await?;
        Ok(Put::AlreadyThere)
    }

    async fn sync(&self, id: ImageId) -> Result<(), StorageError> {
        let directories = Arc::clone(&self.directories);
        blocking(move || directories.sync(directory(id).as_str())).await
    }

    async fn open_picture(&self, id: ImageId) -> Result<Option<Picture>, StorageError> {
        let options = GetOptions { range: Some(GetRange::Bounded(0..PIECE_BYTES)), ..GetOptions::default() };
        let opened = match self.store.get_opts(&path(id), options).await {
            Ok(opened) => opened,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let meta = opened.meta;
        let (start, file) = match opened.payload {
            GetResultPayload::File(file, _) => {
                let file = Arc::new(file);
                (read(Arc::clone(&file), opened.range).await?, Some(file))
            }
            GetResultPayload::Stream(pieces) => {
                let start: BytesMut = pieces.try_fold(BytesMut::new(), append).await?;
                (start.freeze(), None)
            }
        };
        Ok(Some(Picture { id, size_bytes: meta.size, modified: meta.last_modified.into(), start, file }))
    }

    /// Reads `range` of a picture, in pieces of [`PIECE_BYTES`] at most; each may take as long as an operation may.
    pub fn stream(
        &self,
        picture: Picture,
        range: std::ops::Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, StorageError>> {
        if let Some(part) = picture.part_of_start(&range) {
            return futures_util::stream::once(std::future::ready(Ok(part))).boxed();
        }
        let this = self.clone();
        futures_util::stream::try_unfold(range, move |left| {
            let (this, id, file) = (this.clone(), picture.id, picture.file.clone());
            async move {
                if left.is_empty() {
                    return Ok(None);
                }
                let now = left.start..left.end.min(left.start + PIECE_BYTES);
                let next = now.end..left.end;
                let store = Arc::clone(&this.store);
                let piece = this
                    .run(async move {
                        match file {
                            Some(file) => read(file, now).await,
                            None => Ok(store.get_range(&path(id), now).await?),
                        }
                    })
                    .await?;
                Ok(Some((piece, next)))
            }
        })
        .boxed()
    }
}

/// A picture that has been opened.
#[derive(Debug)]
pub struct Picture {
    id: ImageId,
    /// Its size.
    pub size_bytes: u64,
    /// When it was stored.
    pub modified: SystemTime,
    /// Its first bytes: [`PIECE_BYTES`], or all of it.
    pub start: Bytes,
    /// Stays readable after a deletion, so that an answer that has begun is not cut.
    file: Option<Arc<std::fs::File>>,
}

impl Picture {
    /// `range`, where it has been read already.
    pub fn part_of_start(&self, range: &std::ops::Range<u64>) -> Option<Bytes> {
        let (from, to) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
        (from <= to && to <= self.start.len()).then(|| self.start.slice(from..to))
    }
}

fn directory(id: ImageId) -> String {
    id.hex().chars().take(directories::NAME_CHARS).collect()
}

fn path(id: ImageId) -> Path {
    Path::from_iter([directory(id), id.hex()])
}

async fn append(mut all: BytesMut, piece: Bytes) -> Result<BytesMut, object_store::Error> {
    all.extend_from_slice(&piece);
    Ok(all)
}

async fn read(file: Arc<std::fs::File>, range: std::ops::Range<u64>) -> Result<Bytes, StorageError> {
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

impl From<object_store::Error> for StorageError {
    /// Keeps the operating system's word, and drops all that may hold a path.
    fn from(error: object_store::Error) -> Self {
        let mut source = error.source();
        while let Some(inner) = source {
            if let Some(io) = inner.downcast_ref::<io::Error>() {
                let code = io.raw_os_error();
                return Self::Io(code.map_or_else(|| io.kind().into(), io::Error::from_raw_os_error));
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

#[cfg(test)]
mod tests;
