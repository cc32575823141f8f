//! Small pictures that were asked for lately, in this process's memory.
//!
//! A picture never changes, so that all that can be wrong here is that it has been deleted. This process's deletions are
//! heeded at once; for those of others, the storage is asked again when it was last asked [`TRUSTED`] ago.
//!
//! A deleted picture is to be gone everywhere 2 s after its deletion was acknowledged. What nginx gets from here was in the
//! storage [`TRUSTED`] before it asked at most, and it keeps that for 1 s at most after it asked (see `delivery::front`): so
//! after 1.5 s nobody gets it who asks then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::object::Object;
use super::{Picture, StorageError};

/// How long a picture is there because it was.
pub(super) const TRUSTED: Duration = Duration::from_millis(500);

/// What an entry costs beside the picture, in bytes: rounded up.
const ENTRY_BYTES: u64 = 512;

/// The pictures, and how lately each was seen in the storage.
#[derive(Debug)]
pub(super) struct Pictures(Option<Cache<Object, Arc<Entry>, Weight>>);

/// A picture in memory.
#[derive(Debug)]
pub(super) struct Entry {
    picture: Picture,
    /// Before this, it was in the storage.
    seen: Mutex<Instant>,
    /// Held by who asks the storage, so that many at once are one question.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Object, Arc<Entry>> for Weight {
    fn weight(&self, _: &Object, entry: &Arc<Entry>) -> u64 {
        entry.picture.start.len() as u64 + ENTRY_BYTES
    }
}

impl Pictures {
    /// Keeps `bytes_max` at most; 0 is none at all.
    pub(super) fn new(bytes_max: usize) -> Self {
        // An estimate: pictures of 16 KiB.
        let cache = || Cache::with_weighter(bytes_max / (16 * 1024), bytes_max as u64, Weight);
        Self((bytes_max > 0).then(cache))
    }

    pub(super) fn get(&self, object: Object) -> Option<Arc<Entry>> {
        self.0.as_ref()?.get(&object)
    }

    /// Keeps a picture that is all in memory and was in the storage after `seen`.
    pub(super) fn keep(&self, object: Object, picture: &Picture, seen: Instant) {
        if let Some(cache) = &self.0
            && picture.start.len() as u64 == picture.size_bytes
        {
            // Not the file: what is kept long must not keep the disk from being freed.
            let picture = Picture { file: None, ..picture.clone() };
            cache.insert(
                object,
                Arc::new(Entry { picture, seen: Mutex::new(seen), asking: tokio::sync::Mutex::default() }),
            );
        }
    }

    pub(super) fn forget(&self, object: Object) {
        if let Some(cache) = &self.0 {
            cache.remove(&object);
        }
    }
}

impl Entry {
    /// The picture, if it still is in the storage: `is_there` asks where that is not known.
    pub(super) async fn picture(
        &self,
        is_there: impl AsyncFnOnce() -> Result<bool, StorageError>,
    ) -> Result<Option<Picture>, StorageError> {
        if self.is_trusted() {
            return Ok(Some(self.picture.clone()));
        }
        let _asking = self.asking.lock().await;
        if self.is_trusted() {
            return Ok(Some(self.picture.clone()));
        }
        let seen = Instant::now();
        if !is_there().await? {
            return Ok(None);
        }
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        Ok(Some(self.picture.clone()))
    }

    fn is_trusted(&self) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < TRUSTED
    }
}
