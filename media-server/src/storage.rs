//! Where pictures lie: durable, never overwritten, behind `object_store`. Knows no HTTP.
//!
//! In a directory ([`local`]) that replicas may share, or in a bucket of an S3 server ([`s3`]). Either way a picture lies
//! under its id, without an extension, in one of 4,096 directories, and its renditions beside it ([`object`]):
//! `012/0123456789abcdef…` and `012/0123456789abcdef….64.webp`. So an id can't hold two pictures, even of two kinds,
//! whatever the race; ten million pictures are 2,500 a directory.
//! What is told of a failure never holds a path: a picture's id is as good as the picture.

mod cache;
mod directories;
mod error;
mod listing;
mod local;
mod object;
mod reading;
mod s3;

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::future::try_join;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};
use shared::clock::Clock;
use shared::media_api::ImageId;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use cache::Pictures;
use local::Local;
use object::Object;
use s3::S3;

pub use error::{OpenError, StorageError};
pub use listing::{Listed, Page};
pub use object::RenditionKey;
pub use reading::{PIECE_BYTES, Picture};
pub use s3::{S3Config, S3Endpoint};

/// Where the storage is and how long it may take.
#[derive(Clone, Debug)]
pub struct StorageConfig {
    /// Where.
    pub url: StorageUrl,
    /// How to get to it, where it is a bucket.
    pub s3: S3Config,
    /// How long one operation may take, all its tries included.
    pub timeout: Duration,
    /// Memory for small pictures that were asked for lately, in bytes; 0 is none.
    pub cache_bytes: usize,
}

/// `file:///an/absolute/path` or `s3://BUCKET/a/prefix`.
#[derive(Clone, Debug)]
pub enum StorageUrl {
    /// A directory of this machine, which replicas may share.
    Directory(PathBuf),
    /// A bucket, or a part of one.
    Bucket {
        /// Its name.
        name: String,
        /// What all paths begin with; empty: nothing.
        prefix: Path,
    },
}

impl FromStr for StorageUrl {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let url = url::Url::parse(text).map_err(|_| ())?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(());
        }
        match url.scheme() {
            "file" => url.to_file_path().map(Self::Directory),
            "s3" if url.username().is_empty() && url.password().is_none() && url.port().is_none() => {
                let name = url.host_str().filter(|name| !name.is_empty()).ok_or(())?.to_owned();
                let prefix = Path::from_url_path(url.path()).map_err(|_| ())?;
                Ok(Self::Bucket { name, prefix })
            }
            _ => Err(()),
        }
    }
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
    backend: Backend,
    cache: Arc<Pictures>,
    /// What has begun holds a share until it ends, even where nobody waits for it any more.
    shares: Arc<Semaphore>,
    timeout: Duration,
}

/// What differs between a directory and a bucket.
#[derive(Clone, Debug)]
enum Backend {
    Local(Local),
    S3(S3),
}

/// Operations on the storage at once; the next ones wait.
const OPERATIONS_MAX: usize = 64;

/// The object that shows that the storage can be written.
const PROBE: &str = "probe";

impl Storage {
    /// Opens the storage, makes what it needs, and clears in the background what a crash has left behind.
    pub async fn open(config: &StorageConfig, clock: &Clock) -> Result<Self, OpenError> {
        let backend = match &config.url {
            StorageUrl::Directory(root) => Backend::Local(Local::open(root, clock)?),
            StorageUrl::Bucket { name, prefix } => {
                Backend::S3(S3::open(name, prefix.clone(), &config.s3, config.timeout)?)
            }
        };
        let storage = Self {
            backend,
            cache: Arc::new(Pictures::new(config.cache_bytes)),
            shares: Arc::new(Semaphore::new(OPERATIONS_MAX)),
            timeout: config.timeout,
        };
        storage.write_probe().await.map_err(|error| OpenError::not_writable(&config.url, error))?;
        if let Backend::Local(local) = &storage.backend {
            local.sweep();
        }
        Ok(storage)
    }

    /// Stores a picture. When this returns, it stays, whatever happens to the power.
    pub async fn put(&self, id: ImageId, picture: Bytes) -> Result<Put, StorageError> {
        let this = self.clone();
        self.run(async move {
            let object = Object::original(id);
            let options = PutOptions::from(PutMode::Create);
            match this.store().put_opts(&object.path(), picture.clone().into(), options).await {
                Ok(_) => Ok(Put::Created),
                Err(object_store::Error::AlreadyExists { .. }) => this.compare(object, picture).await,
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Keeps a rendition of a picture beside it, in place of an older one. One of a picture that has been deleted
    /// meanwhile is not kept.
    pub async fn put_rendition(&self, id: ImageId, key: RenditionKey, bytes: Bytes) -> Result<(), StorageError> {
        let this = self.clone();
        self.run(async move {
            let path = Object { id, rendition: Some(key) }.path();
            this.store().put(&path, bytes.into()).await?;
            // After it was written: who deletes the picture later than this finds it, and deletes it, too.
            if !this.is_there(id).await? {
                this.remove(&path).await?;
                this.backend.sync(id).await?;
            }
            Ok(())
        })
        .await
    }

    /// Deletes a picture, if there is one, and then all of its renditions. When this returns, they do not come back.
    pub async fn delete(&self, id: ImageId) -> Result<(), StorageError> {
        let this = self.clone();
        self.run(async move {
            let original = Object::original(id);
            this.remove(&original.path()).await?;
            this.cache.forget(original);
            for rendition in this.backend.renditions(id).await? {
                this.remove(&rendition.path()).await?;
                this.cache.forget(rendition);
            }
            this.backend.sync(id).await
        })
        .await
    }

    /// Opens a picture and reads its first [`PIECE_BYTES`], or has it from memory.
    pub async fn get(&self, id: ImageId) -> Result<Option<Picture>, StorageError> {
        self.get_object(Object::original(id)).await
    }

    /// Like [`Storage::get`], of a rendition: there is none of a picture that is not there.
    pub async fn get_rendition(&self, id: ImageId, key: RenditionKey) -> Result<Option<Picture>, StorageError> {
        self.get_object(Object { id, rendition: Some(key) }).await
    }

    /// Whether there is a picture.
    pub async fn exists(&self, id: ImageId) -> Result<bool, StorageError> {
        let this = self.clone();
        self.run(async move { this.is_there(id).await }).await
    }

    /// The pictures after `after`, in the order of their ids: `limit` at most, perhaps fewer or none although there are
    /// more (see [`Page::next`]).
    pub async fn list(&self, after: Option<ImageId>, limit: usize) -> Result<Page, StorageError> {
        let this = self.clone();
        self.run(async move {
            match &this.backend {
                Backend::Local(local) => local.list(after, limit).await,
                Backend::S3(s3) => s3.list(after, limit).await,
            }
        })
        .await
    }

    /// Whether the storage can do its work. A directory is written to. A bucket is read only: each object written to one
    /// that keeps versions would stay in it.
    pub async fn probe(&self) -> Result<(), StorageError> {
        match &self.backend {
            Backend::Local(_) => self.write_probe().await,
            Backend::S3(_) => {
                let this = self.clone();
                self.run(async move { this.has(&Path::from(PROBE)).await.map(|_| ()) }).await
            }
        }
    }

    /// Writes and deletes a small object.
    async fn write_probe(&self) -> Result<(), StorageError> {
        let this = self.clone();
        self.run(async move {
            let path = Path::from(PROBE);
            this.store().put(&path, Bytes::from_static(PROBE.as_bytes()).into()).await?;
            // Another replica may be faster.
            this.remove(&path).await
        })
        .await
    }

    /// Bounds `work` in number and in time. What writes to a disk can't be stopped, so that it goes on when it is late;
    /// what waits for a server ends then.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StorageError>> + Send + 'static,
    ) -> Result<T, StorageError> {
        let deadline = Instant::now() + self.timeout;
        let can_be_stopped = matches!(self.backend, Backend::S3(_));
        let bounded = async {
            let share = Arc::clone(&self.shares).acquire_owned().await;
            let work = tokio::spawn(async move {
                let _share = share;
                if can_be_stopped {
                    return timeout_at(deadline, work).await.unwrap_or(Err(StorageError::Timeout));
                }
                work.await
            });
            work.await.unwrap_or(Err(StorageError::Other("the operation panicked")))
        };
        timeout_at(deadline, bounded).await.unwrap_or(Err(StorageError::Timeout))
    }

    fn store(&self) -> &dyn ObjectStore {
        match &self.backend {
            Backend::Local(local) => local.store(),
            Backend::S3(s3) => s3.store(),
        }
    }

    async fn remove(&self, path: &Path) -> Result<(), StorageError> {
        match self.store().delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn is_there(&self, id: ImageId) -> Result<bool, StorageError> {
        self.has(&Object::original(id).path()).await
    }

    async fn has(&self, path: &Path) -> Result<bool, StorageError> {
        match self.store().head(path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// After a `put` that found the id taken: perhaps by the same picture, whose answer was lost.
    async fn compare(&self, object: Object, picture: Bytes) -> Result<Put, StorageError> {
        let Some(stored) = self.open_object(object).await? else {
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
        self.backend.sync(object.id).await?;
        Ok(Put::AlreadyThere)
    }

    async fn get_object(&self, object: Object) -> Result<Option<Picture>, StorageError> {
        if let Some(entry) = self.cache.get(object) {
            let picture = timeout(self.timeout, entry.picture(async || self.exists(object.id).await));
            let picture = picture.await.unwrap_or(Err(StorageError::Timeout))?;
            if picture.is_none() {
                self.cache.forget(object);
            }
            return Ok(picture);
        }
        let seen = Instant::now();
        let this = self.clone();
        let read = async move {
            if object.rendition.is_none() {
                return this.open_object(object).await;
            }
            // What a crash has left of a deleted picture is gone, too.
            let (picture, is_there) = try_join(this.open_object(object), this.is_there(object.id)).await?;
            Ok(picture.filter(|_| is_there))
        };
        let picture = self.run(read).await?;
        if let Some(picture) = &picture {
            self.cache.keep(object, picture, seen);
        }
        Ok(picture)
    }
}

impl Backend {
    /// The renditions of a picture that are stored.
    async fn renditions(&self, id: ImageId) -> Result<Vec<Object>, StorageError> {
        match self {
            Self::Local(local) => local.renditions(id).await,
            Self::S3(s3) => s3.renditions(id).await,
        }
    }

    /// Makes durable what was deleted.
    async fn sync(&self, id: ImageId) -> Result<(), StorageError> {
        match self {
            Self::Local(local) => local.sync(id).await,
            Self::S3(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
