//! In-process cache with single-flight loading.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::{Cache, EntryAction, EntryResult};
use tokio::time::timeout;

use super::StoreError;
use super::freshness::CacheEntry;

/// A bounded cache. An entry is served while it is fresh and not invalidated; concurrent misses of one key share one load.
#[derive(Debug)]
pub(super) struct LocalCache<K, V> {
    entries: Cache<K, Arc<CacheEntry<V>>>,
    load_timeout: Duration,
}

impl<K: Clone + Eq + Hash, V: Clone> LocalCache<K, V> {
    /// A cache of at most `entries_max` entries. A miss fails after `load_timeout`, the wait for the loads of other callers
    /// included.
    pub(super) fn new(entries_max: usize, load_timeout: Duration) -> Self {
        Self { entries: Cache::new(entries_max), load_timeout }
    }

    /// Returns the value from memory or from `load`. An entry invalidated during its load is not kept.
    pub(super) async fn get(
        &self,
        key: &K,
        load: impl AsyncFnOnce() -> Result<CacheEntry<V>, StoreError>,
    ) -> Result<V, StoreError> {
        if let Some(entry) = self.entries.get(key)
            && entry.is_fresh()
        {
            return Ok(entry.value.clone());
        }
        // Boxed: keeps the cache-hit path's future small.
        let load = Box::pin(timeout(self.load_timeout, self.load(key, load)));
        load.await.unwrap_or(Err(StoreError::Timeout("loading a cache entry")))
    }

    async fn load(
        &self,
        key: &K,
        load: impl AsyncFnOnce() -> Result<CacheEntry<V>, StoreError>,
    ) -> Result<V, StoreError> {
        let fresh = |_: &K, entry: &mut Arc<CacheEntry<V>>| {
            if entry.is_fresh() { EntryAction::Retain(entry.value.clone()) } else { EntryAction::ReplaceWithGuard }
        };
        let guard = match self.entries.entry_async(key, fresh).await {
            EntryResult::Retained(value) => return Ok(value),
            EntryResult::Replaced(guard, _) | EntryResult::Vacant(guard) => Some(guard),
            // Neither is requested.
            EntryResult::Removed(..) | EntryResult::Timeout => None,
        };
        let entry = Arc::new(load().await?);
        if let Some(guard) = guard {
            // Fails if the key was invalidated since.
            let _ = guard.insert(Arc::clone(&entry));
        }
        Ok(entry.value.clone())
    }

    /// Invalidates one entry, and a load of it that is under way.
    pub(super) fn invalidate(&self, key: &K) {
        self.entries.remove(key);
    }

    /// Invalidates all entries.
    pub(super) fn clear(&self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::oneshot;
    use tokio::time::Instant;

    use super::*;

    const TIMEOUT: Duration = Duration::from_mins(1);

    fn fresh(value: u32) -> CacheEntry<u32> {
        CacheEntry::expiring(value, Instant::now() + Duration::from_hours(1))
    }

    async fn get(cache: &LocalCache<u32, u32>, loaded: u32) -> u32 {
        cache.get(&1, async || Ok(fresh(loaded))).await.unwrap()
    }

    #[tokio::test]
    async fn a_value_is_loaded_once_until_it_expires_or_is_invalidated() {
        let cache = LocalCache::new(10, TIMEOUT);
        assert_eq!(get(&cache, 1).await, 1);
        assert_eq!(get(&cache, 2).await, 1);
        cache.invalidate(&1);
        assert_eq!(get(&cache, 3).await, 3);
        cache.clear();
        assert_eq!(get(&cache, 4).await, 4);
        cache.invalidate(&1);
        assert_eq!(cache.get(&1, async || Ok(CacheEntry::expiring(5, Instant::now()))).await.unwrap(), 5);
        assert_eq!(get(&cache, 6).await, 6);
    }

    #[tokio::test]
    async fn the_number_of_entries_is_bounded() {
        let (cache, value) = (LocalCache::new(10, TIMEOUT), Arc::new(()));
        for key in 0..1000 {
            let expires = Instant::now() + Duration::from_hours(1);
            cache.get(&key, async || Ok(CacheEntry::expiring(Arc::clone(&value), expires))).await.unwrap();
        }
        assert!(Arc::strong_count(&value) <= 11);
        cache.clear();
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[tokio::test]
    async fn concurrent_misses_share_one_load_and_retry_one_that_fails() {
        let (cache, loads) = (Arc::new(LocalCache::new(10, TIMEOUT)), Arc::new(AtomicU32::new(0)));
        let all = (0..100).map(|_| {
            let (cache, loads) = (Arc::clone(&cache), Arc::clone(&loads));
            tokio::spawn(async move {
                let load = async || {
                    tokio::task::yield_now().await;
                    if loads.fetch_add(1, Ordering::SeqCst) == 0 { Err(StoreError::Busy) } else { Ok(fresh(7)) }
                };
                cache.get(&1, load).await
            })
        });
        let values: Vec<_> = join_all(all).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(values.iter().filter(|value| matches!(value, Ok(7))).count(), 99);
        assert_eq!(loads.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn an_entry_invalidated_during_its_load_is_not_kept() {
        for invalidate in
            [|cache: &LocalCache<u32, u32>| cache.invalidate(&1), |cache: &LocalCache<u32, u32>| cache.clear()]
        {
            let cache = Arc::new(LocalCache::new(10, TIMEOUT));
            let (started, is_started) = oneshot::channel();
            let (changed, is_changed) = oneshot::channel::<()>();
            let slow = {
                let cache = Arc::clone(&cache);
                tokio::spawn(async move {
                    let load = async || {
                        let _ = started.send(());
                        let _ = is_changed.await;
                        Ok(fresh(1))
                    };
                    cache.get(&1, load).await
                })
            };
            is_started.await.unwrap();
            invalidate(&cache);
            assert_eq!(get(&cache, 2).await, 2, "a get after the change does not join the load before it");
            changed.send(()).unwrap();
            assert_eq!(slow.await.unwrap().unwrap(), 1);
            assert_eq!(get(&cache, 3).await, 2);
        }
    }

    #[tokio::test]
    async fn no_caller_waits_longer_than_the_timeout() {
        let cache = Arc::new(LocalCache::<u32, u32>::new(10, Duration::from_millis(20)));
        let loads = Arc::new(AtomicU32::new(0));
        let all = (0..100).map(|_| {
            let (cache, loads) = (Arc::clone(&cache), Arc::clone(&loads));
            tokio::spawn(async move {
                let hang = async || {
                    loads.fetch_add(1, Ordering::SeqCst);
                    std::future::pending().await
                };
                cache.get(&1, hang).await
            })
        });
        assert!(join_all(all).await.into_iter().all(|value| value.unwrap().is_err()));
        // One after another, each caller would have started a load of its own.
        assert!(loads.load(Ordering::SeqCst) < 50);
    }
}
