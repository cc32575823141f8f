//! Storage of pictures: durable, create-only, through `object_store`. Knows no HTTP.
//!
//! The backend is a directory that replicas may share ([`local`]) or a bucket of an S3 server ([`s3`]). A picture is stored
//! under its id, without an extension, in one of 4,096 directories, with its renditions next to it ([`object`]):
//! `012/0123456789abcdef…` and `012/0123456789abcdef….64.webp`. So an id can't hold two pictures, even of two formats,
//! in any race; ten million pictures are 2,500 in a directory.
//! Errors never hold a path: knowing a picture's id is being allowed to see it.

mod cache;
mod config;
mod directories;
mod error;
mod listing;
mod local;
mod object;
mod reading;
mod s3;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::future::{try_join, try_join_all};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};
use shared::clock::Clock;
use shared::media_api::ImageId;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use cache::ObjectCache;
use local::Local;
use object::ObjectKey;
use s3::S3;

pub use config::{StorageConfig, StorageUrl};
pub use error::{OpenError, StorageError};
pub use listing::{ListedImage, Page};
pub use object::RenditionKey;
pub use reading::{CHUNK_BYTES, Extent, StoredObject};
pub use s3::{S3Config, S3Endpoint};

/// Outcome of a create-only put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum PutOutcome {
    Created,
    /// The same bytes were stored before.
    Identical,
    /// Other bytes are stored under the id.
    Conflict,
}

/// The storage. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Storage {
    backend: Backend,
    cache: Arc<ObjectCache>,
    clock: Clock,
    /// An operation holds a permit until it ends, even if its request has been dropped.
    permits: Arc<Semaphore>,
    timeout: Duration,
    #[cfg(test)]
    operations_count: Arc<std::sync::atomic::AtomicUsize>,
}

/// Where objects are stored.
#[derive(Clone, Debug)]
enum Backend {
    Local(Local),
    S3(S3),
}

/// Concurrent operations; further ones wait.
const OPERATIONS_MAX: usize = 64;

/// Key of the object that the readiness check writes.
const PROBE: &str = "probe";

impl Storage {
    /// Opens the storage, checks that it can be written, and removes stale uploads in the background.
    pub async fn open(config: &StorageConfig, clock: &Clock) -> Result<Self, OpenError> {
        let backend = match &config.url {
            StorageUrl::Directory(root) => Backend::Local(Local::open(root, clock)?),
            StorageUrl::Bucket { name, prefix } => {
                Backend::S3(S3::open(name, prefix.clone(), &config.s3, config.timeout)?)
            }
        };
        let storage = Self {
            backend,
            cache: Arc::new(ObjectCache::new(config.cache_bytes)),
            clock: clock.clone(),
            permits: Arc::new(Semaphore::new(OPERATIONS_MAX)),
            timeout: config.timeout,
            #[cfg(test)]
            operations_count: Arc::default(),
        };
        storage.write_probe().await.map_err(|error| OpenError::not_writable(&config.url, error))?;
        if let Backend::Local(local) = &storage.backend {
            local.remove_stale_uploads();
        }
        Ok(storage)
    }

    /// Stores a picture durably. Never overwrites another one.
    pub async fn put(&self, id: ImageId, picture: Bytes) -> Result<PutOutcome, StorageError> {
        let this = self.clone();
        self.run(async move {
            let key = ObjectKey::original(id);
            let options = PutOptions::from(PutMode::Create);
            match this.store().put_opts(&key.path(), picture.clone().into(), options).await {
                Ok(_) => Ok(PutOutcome::Created),
                Err(object_store::Error::AlreadyExists { .. }) => this.compare(key, picture).await,
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Stores renditions of a picture, in this order, replacing older ones, and returns them as stored. Stores and returns none
    /// if the picture has been deleted meanwhile.
    pub async fn put_renditions(
        &self,
        id: ImageId,
        renditions: Vec<(RenditionKey, Bytes)>,
    ) -> Result<Vec<(RenditionKey, StoredObject)>, StorageError> {
        let this = self.clone();
        self.run(async move {
            let modified = UNIX_EPOCH + Duration::from_millis(this.clock.unix_millis());
            let stored: Vec<_> = renditions
                .into_iter()
                .map(|(key, bytes)| (key, StoredObject::new(ObjectKey::rendition(id, key), modified, bytes)))
                .collect();
            for (_, object) in &stored {
                this.store().put(&object.key.path(), object.prefix.clone().into()).await?;
            }
            let validated_at = Instant::now();
            // After the writes: a later deletion of the picture finds and deletes them.
            if this.has_original(id).await? {
                for (_, object) in &stored {
                    this.cache.insert(object, validated_at);
                }
                return Ok(stored);
            }
            for (_, object) in &stored {
                this.remove(&object.key.path()).await?;
            }
            this.backend.sync(id).await?;
            Ok(Vec::new())
        })
        .await
    }

    /// Deletes a picture and all of its renditions, durably. Succeeds also if there are none.
    pub async fn delete(&self, id: ImageId) -> Result<(), StorageError> {
        let this = self.clone();
        self.run(async move {
            let original = ObjectKey::original(id);
            // First: a rendition that is stored later than this is removed by its own check for the picture.
            this.remove(&original.path()).await?;
            this.cache.invalidate(original);
            for rendition in this.backend.renditions(id).await? {
                this.remove(&rendition.path()).await?;
                this.cache.invalidate(rendition);
            }
            this.backend.sync(id).await
        })
        .await
    }

    /// Opens a picture and reads its prefix, from the cache or the backend.
    pub async fn get(&self, id: ImageId) -> Result<Option<StoredObject>, StorageError> {
        self.get_original(id, Extent::Prefix).await
    }

    /// Reads a picture whole.
    pub async fn read(&self, id: ImageId) -> Result<Option<Bytes>, StorageError> {
        Ok(self.get_original(id, Extent::Whole).await?.map(|object| object.prefix))
    }

    /// Opens those of the renditions `keys` that are stored. A deleted picture has none.
    pub async fn get_renditions(
        &self,
        id: ImageId,
        keys: Vec<RenditionKey>,
        extent: Extent,
    ) -> Result<Vec<(RenditionKey, StoredObject)>, StorageError> {
        let (mut found, mut uncached) = (Vec::new(), Vec::new());
        for key in keys {
            match self.get_cached(ObjectKey::rendition(id, key)).await? {
                Some(object) => found.push((key, object)),
                None => uncached.push(key),
            }
        }
        if uncached.is_empty() {
            return Ok(found);
        }
        let validated_at = Instant::now();
        let this = self.clone();
        let read = async move {
            let opened = uncached.iter().copied().map(|key| this.open_object(ObjectKey::rendition(id, key), extent));
            // A crash may have left renditions of a deleted picture.
            let (opened, exists) = try_join(try_join_all(opened), this.has_original(id)).await?;
            let opened = uncached.into_iter().zip(opened).filter(|_| exists);
            Ok(opened.filter_map(|(key, object)| Some((key, object?))).collect::<Vec<_>>())
        };
        for (key, object) in self.run(read).await? {
            self.cache.insert(&object, validated_at);
            found.push((key, object));
        }
        Ok(found)
    }

    /// Whether a picture is stored.
    pub async fn exists(&self, id: ImageId) -> Result<bool, StorageError> {
        let this = self.clone();
        self.run(async move { this.has_original(id).await }).await
    }

    /// Lists at most `limit` pictures after `after`, in the order of their ids. A page may hold fewer, or none, although there
    /// are more (see [`Page::next`]).
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

    /// Checks that the storage works. A directory is written to, and must have room for `free_bytes` more; a bucket is only read,
    /// since one that keeps versions would keep each object that is written.
    pub async fn probe(&self, free_bytes: usize) -> Result<(), StorageError> {
        match &self.backend {
            Backend::Local(local) => {
                self.write_probe().await?;
                local.check_free_space(free_bytes).await
            }
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
            this.remove(&path).await
        })
        .await
    }

    /// Runs an operation with a permit and the timeout. A write to a disk can't be stopped: it continues after the timeout, with
    /// its permit. A request to a server is cancelled.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StorageError>> + Send + 'static,
    ) -> Result<T, StorageError> {
        #[cfg(test)]
        self.operations_count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let deadline = Instant::now() + self.timeout;
        let can_be_stopped = matches!(self.backend, Backend::S3(_));
        let bounded = async {
            let permit = Arc::clone(&self.permits).acquire_owned().await;
            let work = tokio::spawn(async move {
                let _permit = permit;
                if can_be_stopped {
                    return timeout_at(deadline, work).await.unwrap_or(Err(StorageError::Timeout));
                }
                work.await
            });
            work.await.unwrap_or(Err(StorageError::Other("the operation panicked")))
        };
        timeout_at(deadline, bounded).await.unwrap_or(Err(StorageError::Timeout))
    }

    #[cfg(test)]
    pub(crate) fn operations_count(&self) -> usize {
        self.operations_count.load(std::sync::atomic::Ordering::Relaxed)
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

    async fn has_original(&self, id: ImageId) -> Result<bool, StorageError> {
        self.has(&ObjectKey::original(id).path()).await
    }

    async fn has(&self, path: &Path) -> Result<bool, StorageError> {
        match self.store().head(path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Compares the stored picture with the one of a put that found the id in use: the response to an earlier put may have
    /// been lost.
    async fn compare(&self, key: ObjectKey, picture: Bytes) -> Result<PutOutcome, StorageError> {
        let Some(stored) = self.open_object(key, Extent::Prefix).await? else {
            return Err(StorageError::Other("deleted meanwhile"));
        };
        if stored.size_bytes != picture.len() as u64 {
            return Ok(PutOutcome::Conflict);
        }
        let mut rest = picture;
        let mut chunks = self.stream(stored, 0..rest.len() as u64);
        while let Some(chunk) = chunks.try_next().await? {
            if !rest.starts_with(&chunk) {
                return Ok(PutOutcome::Conflict);
            }
            rest = rest.slice(chunk.len()..);
        }
        // The earlier put may have crashed before the directory was synced.
        self.backend.sync(key.id).await?;
        Ok(PutOutcome::Identical)
    }

    async fn get_original(&self, id: ImageId, extent: Extent) -> Result<Option<StoredObject>, StorageError> {
        let key = ObjectKey::original(id);
        if let Some(object) = self.get_cached(key).await? {
            return Ok(Some(object));
        }
        let validated_at = Instant::now();
        let this = self.clone();
        let object = self.run(async move { this.open_object(key, extent).await }).await?;
        if let Some(object) = &object {
            self.cache.insert(object, validated_at);
        }
        Ok(object)
    }

    async fn get_cached(&self, key: ObjectKey) -> Result<Option<StoredObject>, StorageError> {
        let Some(entry) = self.cache.get(key) else { return Ok(None) };
        let object = timeout(self.timeout, entry.object(async || self.exists(key.id).await));
        let object = object.await.unwrap_or(Err(StorageError::Timeout))?;
        if object.is_none() {
            self.cache.invalidate(key);
        }
        Ok(object)
    }
}

impl Backend {
    /// Lists the stored renditions of a picture.
    async fn renditions(&self, id: ImageId) -> Result<Vec<ObjectKey>, StorageError> {
        match self {
            Self::Local(local) => local.renditions(id).await,
            Self::S3(s3) => s3.renditions(id).await,
        }
    }

    /// Makes deletions durable.
    async fn sync(&self, id: ImageId) -> Result<(), StorageError> {
        match self {
            Self::Local(local) => local.sync(id).await,
            Self::S3(_) => Ok(()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
