//! What was read lately, in this process's memory.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::{Cache, EntryAction, EntryResult};
use tokio::time::timeout;

use super::StoreError;
use super::lease::Validity;

/// Values that have not changed since they were read, as far as we were told, and are still good. Many who ask for one at
/// once are one read.
#[derive(Debug)]
pub struct Recent<K, V> {
    values: Cache<K, Arc<Kept<V>>>,
    patience: Duration,
}

/// A value as it was read. It is let go when it is forgotten: who wants to know of that holds it weakly.
#[derive(Debug)]
pub struct Kept<V> {
    value: V,
    validity: Validity,
}

impl<V> Kept<V> {
    /// The value.
    pub fn value(&self) -> &V {
        &self.value
    }

    /// Whether it is good still, if it has not been forgotten.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.validity.holds()
    }
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    /// Keeps `values_max` values at most. Nobody waits for one longer than `patience`, though the reads of those who asked
    /// before fail one after the other.
    pub fn new(values_max: usize, patience: Duration) -> Self {
        Self { values: Cache::new(values_max), patience }
    }

    /// The value, from memory or by `read`. A value that is forgotten while it is read is not kept.
    pub async fn get(
        &self,
        key: &K,
        read: impl AsyncFnOnce() -> Result<(V, Validity), StoreError>,
    ) -> Result<Arc<Kept<V>>, StoreError> {
        if let Some(kept) = self.values.get(key)
            && kept.is_good()
        {
            return Ok(kept);
        }
        // Boxed, so that what is in memory is had without a place for all this.
        let read = Box::pin(timeout(self.patience, self.read(key, read)));
        read.await.unwrap_or(Err(StoreError::Timeout("a read")))
    }

    async fn read(
        &self,
        key: &K,
        read: impl AsyncFnOnce() -> Result<(V, Validity), StoreError>,
    ) -> Result<Arc<Kept<V>>, StoreError> {
        let known = |_: &K, kept: &mut Arc<Kept<V>>| {
            if kept.is_good() { EntryAction::Retain(Arc::clone(kept)) } else { EntryAction::ReplaceWithGuard }
        };
        let place = match self.values.entry_async(key, known).await {
            EntryResult::Retained(kept) => return Ok(kept),
            EntryResult::Replaced(place, _) | EntryResult::Vacant(place) => Some(place),
            // Neither is asked for.
            EntryResult::Removed(..) | EntryResult::Timeout => None,
        };
        let (value, validity) = read().await?;
        let kept = Arc::new(Kept { value, validity });
        if let Some(place) = place {
            // Fails where it was forgotten meanwhile.
            let _ = place.insert(Arc::clone(&kept));
        }
        Ok(kept)
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
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::oneshot;

    use super::*;
    use crate::store::lease::Moment;

    const PATIENCE: Duration = Duration::from_mins(1);

    fn good_for(time: Duration) -> Validity {
        Validity::until(Moment::now().after(time))
    }

    fn good() -> Validity {
        good_for(Duration::from_hours(1))
    }

    async fn read(recent: &Recent<u32, u32>, value: u32) -> u32 {
        *recent.get(&1, async || Ok((value, good()))).await.unwrap().value()
    }

    #[tokio::test]
    async fn a_value_is_read_once_until_its_time_is_over_or_it_is_forgotten() {
        let recent = Recent::new(10, PATIENCE);
        assert_eq!(read(&recent, 1).await, 1);
        assert_eq!(read(&recent, 2).await, 1);
        recent.forget(&1);
        assert_eq!(read(&recent, 3).await, 3);
        recent.forget_all();
        assert_eq!(read(&recent, 4).await, 4);
        recent.forget(&1);
        let over = recent.get(&1, async || Ok((5, good_for(Duration::ZERO)))).await.unwrap();
        assert_eq!((*over.value(), over.is_good()), (5, false));
        assert_eq!(read(&recent, 6).await, 6);
    }

    #[tokio::test]
    async fn what_is_forgotten_or_has_no_place_any_more_is_let_go() {
        let recent = Recent::new(10, PATIENCE);
        let hold = async |key: u32| Arc::downgrade(&recent.get(&key, async || Ok((key, good()))).await.unwrap());
        let (one, two) = (hold(1).await, hold(2).await);
        assert!(one.upgrade().is_some());
        recent.forget(&1);
        assert!(one.upgrade().is_none() && two.upgrade().is_some());
        recent.forget_all();
        assert!(two.upgrade().is_none());
        let mut many = Vec::new();
        for key in 0..1000 {
            many.push(hold(key).await);
        }
        assert!(many.iter().filter(|kept| kept.upgrade().is_some()).count() <= 10);
    }

    #[tokio::test]
    async fn many_at_once_are_one_read_and_after_one_that_fails_another_reads() {
        let (recent, reads) = (Arc::new(Recent::new(10, PATIENCE)), Arc::new(AtomicU32::new(0)));
        let all = (0..100).map(|_| {
            let (recent, reads) = (Arc::clone(&recent), Arc::clone(&reads));
            tokio::spawn(async move {
                let read = async || {
                    tokio::task::yield_now().await;
                    if reads.fetch_add(1, Ordering::SeqCst) == 0 { Err(StoreError::Busy) } else { Ok((7, good())) }
                };
                recent.get(&1, read).await
            })
        });
        let answers: Vec<_> = join_all(all).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers.iter().filter(|answer| answer.as_ref().is_ok_and(|kept| *kept.value() == 7)).count(), 99);
        assert_eq!(reads.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn what_is_forgotten_while_it_is_read_is_not_kept() {
        for forget in [|recent: &Recent<u32, u32>| recent.forget(&1), |recent: &Recent<u32, u32>| recent.forget_all()] {
            let recent = Arc::new(Recent::new(10, PATIENCE));
            let (begun, is_begun) = oneshot::channel();
            let (changed, is_changed) = oneshot::channel::<()>();
            let slow = {
                let recent = Arc::clone(&recent);
                tokio::spawn(async move {
                    let read = async || {
                        let _ = begun.send(());
                        let _ = is_changed.await;
                        Ok((1, good()))
                    };
                    recent.get(&1, read).await
                })
            };
            is_begun.await.unwrap();
            forget(&recent);
            assert_eq!(read(&recent, 2).await, 2, "who comes after the change does not get what was read before it");
            changed.send(()).unwrap();
            assert_eq!(*slow.await.unwrap().unwrap().value(), 1);
            assert_eq!(read(&recent, 3).await, 2);
        }
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_the_patience_though_many_wait() {
        let recent = Arc::new(Recent::<u32, u32>::new(10, Duration::from_millis(20)));
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
