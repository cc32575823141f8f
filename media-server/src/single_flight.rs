//! Single-flight: concurrent requests for one key share one run of the work.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Work in flight, by key. It continues when the requests that wait for it are dropped. Cheap to clone.
#[derive(Debug)]
pub struct SingleFlight<K: Eq + Hash, V> {
    flights: Arc<Mutex<Flights<K, V>>>,
    flights_max: usize,
}

#[derive(Debug)]
struct Flights<K, V> {
    running: HashMap<K, Outcome<V>>,
    ended_count: u64,
}

type Outcome<V> = watch::Receiver<Option<V>>;

/// Why a flight has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SingleFlightError {
    TooMany,
    Panicked,
}

impl<K, V> SingleFlight<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Allows at most `flights_max` flights at once.
    pub fn new(flights_max: usize) -> Self {
        let flights = Flights { running: HashMap::new(), ended_count: 0 };
        Self { flights: Arc::new(Mutex::new(flights)), flights_max }
    }

    /// Counts the flights that have ended, so that a caller can see whether one did since an earlier lookup.
    pub fn ended_count(&self) -> u64 {
        lock(&self.flights).ended_count
    }

    /// Returns the outcome of the flight of `key`, and starts it with `work` where there is none.
    pub async fn run<F>(&self, key: K, work: impl FnOnce() -> F) -> Result<V, SingleFlightError>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut outcome = self.join(key, work)?;
        let value = outcome.wait_for(Option::is_some).await.map_err(|_| SingleFlightError::Panicked)?;
        value.clone().ok_or(SingleFlightError::Panicked)
    }

    fn join<F>(&self, key: K, work: impl FnOnce() -> F) -> Result<Outcome<V>, SingleFlightError>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut flights = lock(&self.flights);
        if let Some(outcome) = flights.running.get(&key) {
            return Ok(outcome.clone());
        }
        if flights.running.len() >= self.flights_max {
            return Err(SingleFlightError::TooMany);
        }
        let (sender, outcome) = watch::channel(None);
        flights.running.insert(key.clone(), outcome.clone());
        let flight = Flight { flights: Arc::clone(&self.flights), key };
        let work = work();
        tokio::spawn(async move {
            let value = work.await;
            // Before the outcome is sent: later requests start a flight of their own.
            drop(flight);
            let _ = sender.send(Some(value));
        });
        Ok(outcome)
    }
}

impl<K: Eq + Hash, V> Clone for SingleFlight<K, V> {
    fn clone(&self) -> Self {
        Self { flights: Arc::clone(&self.flights), flights_max: self.flights_max }
    }
}

/// Removes the flight when it ends, also by a panic.
struct Flight<K: Eq + Hash, V> {
    flights: Arc<Mutex<Flights<K, V>>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Flight<K, V> {
    fn drop(&mut self) {
        let mut flights = lock(&self.flights);
        flights.running.remove(&self.key);
        flights.ended_count += 1;
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
    async fn a_hundred_concurrent_requests_share_one_flight_and_a_later_one_starts_another() {
        let flights = SingleFlight::new(1);
        let started = Arc::new(AtomicUsize::new(0));
        let work = || {
            let started = Arc::clone(&started);
            async move {
                let number = started.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                number
            }
        };
        let all = join_all((0..100).map(|_| flights.run("a", work))).await;
        assert!(all.iter().all(|made| *made == Ok(0)), "{all:?}");
        assert_eq!(flights.run("a", work).await, Ok(1));
    }

    #[tokio::test]
    async fn flights_are_bounded_and_a_panic_ends_one() {
        let flights = SingleFlight::new(1);
        let (release, held) = oneshot::channel::<()>();
        let first = flights.run(1, || async move { held.await.is_ok() });
        let second = async {
            let refused = flights.run(2, || async { true }).await;
            release.send(()).unwrap();
            refused
        };
        let outcomes = tokio::join!(first, second);
        assert_eq!(outcomes, (Ok(true), Err(SingleFlightError::TooMany)));
        assert_eq!(flights.run(1, || async { panic!("expected") }).await, Err(SingleFlightError::Panicked));
        assert_eq!(flights.run(1, || async { true }).await, Ok(true));
    }

    #[tokio::test]
    async fn a_flight_continues_when_its_requests_are_dropped() {
        let flights = SingleFlight::new(1);
        let (release, held) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let work = async move {
            let _ = held.await;
            let _ = done.send(());
        };
        drop(futures_util::future::select(Box::pin(flights.run(1, || work)), std::future::ready(())).await);
        release.send(()).unwrap();
        is_done.await.unwrap();
    }
}
