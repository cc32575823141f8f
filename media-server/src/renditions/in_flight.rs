//! What is being made right now: once, however many ask for it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Work under way, by what it makes. It goes on when those who asked have gone.
#[derive(Debug)]
pub(super) struct InFlight<K: Eq + Hash, V> {
    work: Arc<Mutex<HashMap<K, Outcome<V>>>>,
    /// The most pieces at once.
    max: usize,
}

type Outcome<V> = watch::Receiver<Option<V>>;

/// Why there is no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unmade {
    /// As many others as may be are under way.
    TooMany,
    /// It panicked.
    Panicked,
}

impl<K, V> InFlight<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// At most `max` pieces of work at once.
    pub(super) fn new(max: usize) -> Self {
        Self { work: Arc::default(), max }
    }

    /// The outcome of the work on `key`: of what is under way, or else of `make`, which begins now. It must end by itself.
    pub(super) async fn run<F>(&self, key: K, make: impl FnOnce() -> F) -> Result<V, Unmade>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut outcome = self.join(key, make)?;
        let value = outcome.wait_for(Option::is_some).await.map_err(|_| Unmade::Panicked)?;
        value.clone().ok_or(Unmade::Panicked)
    }

    fn join<F>(&self, key: K, make: impl FnOnce() -> F) -> Result<Outcome<V>, Unmade>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut work = lock(&self.work);
        if let Some(outcome) = work.get(&key) {
            return Ok(outcome.clone());
        }
        if work.len() >= self.max {
            return Err(Unmade::TooMany);
        }
        let (done, outcome) = watch::channel(None);
        work.insert(key.clone(), outcome.clone());
        let entry = Entry { work: Arc::clone(&self.work), key };
        let making = make();
        tokio::spawn(async move {
            let value = making.await;
            // Who comes from now on finds it made, or tries again.
            drop(entry);
            let _ = done.send(Some(value));
        });
        Ok(outcome)
    }
}

/// Forgets the work when it ends, by a panic too.
struct Entry<K: Eq + Hash, V> {
    work: Arc<Mutex<HashMap<K, Outcome<V>>>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Entry<K, V> {
    fn drop(&mut self) {
        lock(&self.work).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_hundred_who_ask_at_once_are_one_piece_of_work_and_who_comes_after_is_another() {
        let in_flight = InFlight::new(1);
        let begun = Arc::new(AtomicUsize::new(0));
        let make = || {
            let begun = Arc::clone(&begun);
            async move {
                let number = begun.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                number
            }
        };
        let all = join_all((0..100).map(|_| in_flight.run("a", make))).await;
        assert!(all.iter().all(|made| *made == Ok(0)), "{all:?}");
        assert_eq!(in_flight.run("a", make).await, Ok(1));
    }

    #[tokio::test]
    async fn more_than_may_be_are_refused_and_what_panics_is_forgotten() {
        let in_flight = InFlight::new(1);
        let (release, held) = oneshot::channel::<()>();
        let first = in_flight.run(1, || async move { held.await.is_ok() });
        let second = async {
            let refused = in_flight.run(2, || async { true }).await;
            release.send(()).unwrap();
            refused
        };
        let outcomes = tokio::join!(first, second);
        assert_eq!(outcomes, (Ok(true), Err(Unmade::TooMany)));
        assert_eq!(in_flight.run(1, || async { panic!("as it must") }).await, Err(Unmade::Panicked));
        assert_eq!(in_flight.run(1, || async { true }).await, Ok(true));
    }

    #[tokio::test]
    async fn work_goes_on_when_those_who_asked_have_gone() {
        let in_flight = InFlight::new(1);
        let (release, held) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let work = async move {
            let _ = held.await;
            let _ = done.send(());
        };
        drop(futures_util::future::select(Box::pin(in_flight.run(1, || work)), std::future::ready(())).await);
        release.send(()).unwrap();
        is_done.await.unwrap();
    }
}
