//! What was read lately, in this process's memory.

use std::hash::Hash;
use std::time::Duration;

use quick_cache::sync::{Cache, EntryAction, EntryResult};
use tokio::time::{Instant, timeout};

use super::StoreError;

/// Values that were read less than a lifetime ago and have not changed since, as far as we were told. Many who ask for one
/// at once are one read.
#[derive(Debug)]
pub struct Recent<K, V> {
    values: Cache<K, Kept<V>>,
    lifetime: Duration,
    patience: Duration,
}

#[derive(Clone, Debug)]
struct Kept<V> {
    value: V,
    until: Instant,
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    /// Keeps `values_max` values at most, each for `lifetime` at most. Nobody waits for one longer than `patience`, though
    /// the reads of those who asked before fail one after the other.
    pub fn new(values_max: usize, lifetime: Duration, patience: Duration) -> Self {
        Self { values: Cache::new(values_max), lifetime, patience }
    }

    /// The value, from memory or by `read`. A value that is forgotten while it is read is not kept.
    pub async fn get(&self, key: &K, read: impl AsyncFnOnce() -> Result<V, StoreError>) -> Result<V, StoreError> {
        if let Some(kept) = self.values.get(key)
            && Instant::now() < kept.until
        {
            return Ok(kept.value);
        }
        // Boxed, so that what is in memory is had without a place for all this.
        let read = Box::pin(timeout(self.patience, self.read(key, read)));
        read.await.unwrap_or(Err(StoreError::Timeout("a read")))
    }

    async fn read(&self, key: &K, read: impl AsyncFnOnce() -> Result<V, StoreError>) -> Result<V, StoreError> {
        let now = Instant::now();
        let known = |_: &K, kept: &mut Kept<V>| {
            if now < kept.until { EntryAction::Retain(kept.value.clone()) } else { EntryAction::ReplaceWithGuard }
        };
        let place = match self.values.entry_async(key, known).await {
            EntryResult::Retained(value) => return Ok(value),
            EntryResult::Replaced(place, _) | EntryResult::Vacant(place) => place,
            // Neither is asked for.
            EntryResult::Removed(..) | EntryResult::Timeout => return read().await,
        };
        // From before the read: a change that we are not told of holds when this is over.
        let until = Instant::now() + self.lifetime;
        let value = read().await?;
        // Fails where it was forgotten meanwhile.
        let _ = place.insert(Kept { value: value.clone(), until });
        Ok(value)
    }

    /// The value has changed, or may have.
    pub fn forget(&self, key: &K) {
        self.values.remove(key);
    }

    /// Any value may have changed.
    pub fn forget_all(&self) {
        self.values.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::oneshot;

    use super::*;

    const LIFETIME: Duration = Duration::from_hours(1);
    const PATIENCE: Duration = Duration::from_mins(1);

    async fn read(recent: &Recent<u32, u32>, value: u32) -> u32 {
        recent.get(&1, async || Ok(value)).await.unwrap()
    }

    #[tokio::test]
    async fn a_value_is_read_once_until_its_time_is_over_or_it_is_forgotten() {
        let recent = Recent::new(10, LIFETIME, PATIENCE);
        assert_eq!(read(&recent, 1).await, 1);
        assert_eq!(read(&recent, 2).await, 1);
        recent.forget(&1);
        assert_eq!(read(&recent, 3).await, 3);
        recent.forget_all();
        assert_eq!(read(&recent, 4).await, 4);
        let over_at_once = Recent::new(10, Duration::ZERO, PATIENCE);
        assert_eq!(read(&over_at_once, 1).await, 1);
        assert_eq!(read(&over_at_once, 2).await, 2);
    }

    #[tokio::test]
    async fn many_at_once_are_one_read_and_after_one_that_fails_another_reads() {
        let (recent, reads) = (Arc::new(Recent::new(10, LIFETIME, PATIENCE)), Arc::new(AtomicU32::new(0)));
        let all = (0..100).map(|_| {
            let (recent, reads) = (Arc::clone(&recent), Arc::clone(&reads));
            tokio::spawn(async move {
                let read = async || {
                    tokio::task::yield_now().await;
                    if reads.fetch_add(1, Ordering::SeqCst) == 0 { Err(StoreError::Busy) } else { Ok(7) }
                };
                recent.get(&1, read).await
            })
        });
        let answers: Vec<_> = join_all(all).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers.iter().filter(|answer| matches!(answer, Ok(7))).count(), 99);
        assert_eq!(reads.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn what_is_forgotten_while_it_is_read_is_not_kept() {
        for forget in [|recent: &Recent<u32, u32>| recent.forget(&1), |recent: &Recent<u32, u32>| recent.forget_all()] {
            let recent = Arc::new(Recent::new(10, LIFETIME, PATIENCE));
            let (begun, is_begun) = oneshot::channel();
            let (changed, is_changed) = oneshot::channel::<()>();
            let slow = {
                let recent = Arc::clone(&recent);
                tokio::spawn(async move {
                    let read = async || {
                        let _ = begun.send(());
                        let _ = is_changed.await;
                        Ok(1)
                    };
                    recent.get(&1, read).await
                })
            };
            is_begun.await.unwrap();
            forget(&recent);
            assert_eq!(read(&recent, 2).await, 2, "who comes after the change does not get what was read before it");
            changed.send(()).unwrap();
            assert_eq!(slow.await.unwrap().unwrap(), 1);
            assert_eq!(read(&recent, 3).await, 2);
        }
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_the_patience_though_many_wait() {
        let recent = Arc::new(Recent::<u32, u32>::new(10, LIFETIME, Duration::from_millis(20)));
        let reads = Arc::new(AtomicU32::new(0));
        let all = (0..100).map(|_| {
            let (recent, reads) = (Arc::clone(&recent), Arc::clone(&reads));
            tokio::spawn(async move {
                let hang = async || {
                    reads.fetch_add(1, Ordering::SeqCst);
                    std::future::pending().await
                };
                recent.get(&1, hang).await
            })
        });
        assert!(join_all(all).await.into_iter().all(|answer| answer.unwrap().is_err()));
        // One after the other they would each have begun to read.
        assert!(reads.load(Ordering::SeqCst) < 50);
    }
}
