//! In-memory cache of small objects.
//!
//! An object never changes, so a cache entry can only be stale because its picture has been deleted. Deletions of this process
//! invalidate it at once; for those of other replicas, an entry is revalidated [`REVALIDATE_AFTER`] after its last validation.
//!
//! Staleness bound: a deleted picture is gone everywhere 2 s after its deletion was acknowledged. nginx gets an object that
//! existed at most [`REVALIDATE_AFTER`] before it asked and caches it for at most 1 s (see [`crate::http::nginx_cache`]), so
//! after 1.5 s no new request gets it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::object::ObjectKey;
use super::{CHUNK_BYTES, StorageError, StoredObject};

/// Revalidation interval.
pub(super) const REVALIDATE_AFTER: Duration = Duration::from_millis(500);

/// Memory of an entry without its bytes, rounded up.
const ENTRY_BYTES: u64 = 512;

/// The cache; `None` if it is disabled.
#[derive(Debug)]
pub(super) struct ObjectCache(Option<Cache<ObjectKey, Arc<CacheEntry>, Weight>>);

/// A cached object.
#[derive(Debug)]
pub(super) struct CacheEntry {
    object: StoredObject,
    /// The picture existed at this time or later.
    validated_at: Mutex<Instant>,
    /// Held during revalidation, so that concurrent requests share one.
    revalidating: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<ObjectKey, Arc<CacheEntry>> for Weight {
    fn weight(&self, _: &ObjectKey, entry: &Arc<CacheEntry>) -> u64 {
        entry.object.prefix.len() as u64 + ENTRY_BYTES
    }
}

impl ObjectCache {
    /// Holds at most `bytes_max`; 0 disables it.
    pub(super) fn new(bytes_max: usize) -> Self {
        // An estimate: objects of 16 KiB.
        let cache = || Cache::with_weighter(bytes_max / (16 * 1024), bytes_max as u64, Weight);
        Self((bytes_max > 0).then(cache))
    }

    pub(super) fn get(&self, key: ObjectKey) -> Option<Arc<CacheEntry>> {
        self.0.as_ref()?.get(&key)
    }

    /// Caches an object of at most [`CHUNK_BYTES`] whose picture existed at `validated_at` or later.
    pub(super) fn insert(&self, object: &StoredObject, validated_at: Instant) {
        if let Some(cache) = &self.0
            && object.size_bytes <= CHUNK_BYTES
        {
            // Without the open file, which would keep the disk space of a deleted one.
            let object = StoredObject { file: None, ..object.clone() };
            let (key, validated_at) = (object.key, Mutex::new(validated_at));
            cache.insert(
                key,
                Arc::new(CacheEntry { object, validated_at, revalidating: tokio::sync::Mutex::default() }),
            );
        }
    }

    pub(super) fn invalidate(&self, key: ObjectKey) {
        if let Some(cache) = &self.0 {
            cache.remove(&key);
        }
    }
}

impl CacheEntry {
    /// Returns the object if its picture still exists, which `exists` checks if revalidation is due.
    pub(super) async fn object(
        &self,
        exists: impl AsyncFnOnce() -> Result<bool, StorageError>,
    ) -> Result<Option<StoredObject>, StorageError> {
        if self.is_fresh() {
            return Ok(Some(self.object.clone()));
        }
        let _revalidating = self.revalidating.lock().await;
        if self.is_fresh() {
            return Ok(Some(self.object.clone()));
        }
        let validated_at = Instant::now();
        if !exists().await? {
            return Ok(None);
        }
        *self.validated_at.lock().unwrap_or_else(PoisonError::into_inner) = validated_at;
        Ok(Some(self.object.clone()))
    }

    fn is_fresh(&self) -> bool {
        self.validated_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < REVALIDATE_AFTER
    }
}
