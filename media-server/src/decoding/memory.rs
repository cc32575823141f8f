//! The memory that decodings share.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use shared::workers::{Overload, StopSignal};

use crate::images::Refusal;

/// A budget in bytes, for threads that are not the runtime's. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    free: Arc<Semaphore>,
    total_bytes: u64,
    timeout: Duration,
    runtime: Handle,
}

/// A part of the budget, given back when this goes.
#[derive(Debug)]
pub struct MemoryShare {
    _permit: OwnedSemaphorePermit,
}

/// Why there is no share.
#[derive(Debug, PartialEq, Eq)]
pub enum NoMemory {
    /// More than there is in all.
    Never(Refusal),
    /// The others were not done in time.
    NotNow(Overload),
}

/// The budget is counted in KiB.
const UNIT_BYTES: u64 = 1024;

impl MemoryBudget {
    /// Called on the runtime whose clock is waited by. Who can't have a share waits for `timeout`.
    pub fn new(total_bytes: u64, timeout: Duration) -> Self {
        let units = usize::try_from(total_bytes / UNIT_BYTES).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(units)), total_bytes, timeout, runtime: Handle::current() }
    }

    /// Whether there are as many in all.
    pub fn holds(&self, bytes: u64) -> bool {
        self.units(bytes).is_some()
    }

    /// Refuses what is more than there is in all.
    pub fn check(&self, bytes: u64) -> Result<u32, Refusal> {
        let refusal = Refusal::TooMuchMemory { needed_bytes: bytes, max_bytes: self.total_bytes };
        self.units(bytes).ok_or(refusal)
    }

    /// Waits until `bytes` are free, or `stop` is given; who came first gets them first. For a thread that may block.
    pub fn take(&self, bytes: u64, stop: &StopSignal) -> Result<MemoryShare, NoMemory> {
        let units = self.check(bytes).map_err(NoMemory::Never)?;
        let free = Arc::clone(&self.free).acquire_many_owned(units);
        let permit = async {
            tokio::select! {
                permit = timeout(self.timeout, free) => permit.map_err(|_| Overload::WaitedTooLong),
                () = stop.stopped() => Err(Overload::TookTooLong),
            }
        };
        match self.runtime.block_on(permit) {
            Ok(Ok(permit)) => Ok(MemoryShare { _permit: permit }),
            Ok(Err(_)) => Err(NoMemory::NotNow(Overload::WaitedTooLong)),
            Err(overload) => Err(NoMemory::NotNow(overload)),
        }
    }

    /// `bytes` as the budget counts them, if there are as many in all.
    fn units(&self, bytes: u64) -> Option<u32> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).ok()?;
        (u64::from(units) * UNIT_BYTES <= self.total_bytes).then_some(units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn take(budget: &MemoryBudget, bytes: u64) -> Result<MemoryShare, NoMemory> {
        let budget = budget.clone();
        tokio::task::spawn_blocking(move || budget.take(bytes, &StopSignal::default())).await.unwrap()
    }

    #[tokio::test]
    async fn what_does_not_fit_waits_until_the_others_are_done() {
        let budget = MemoryBudget::new(100 * UNIT_BYTES, Duration::from_mins(1));
        let first = take(&budget, 60 * UNIT_BYTES).await.unwrap();
        let second = tokio::spawn(async move { take(&budget, 60 * UNIT_BYTES).await });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        assert!(second.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn who_waited_too_long_is_told_so() {
        let budget = MemoryBudget::new(100 * UNIT_BYTES, Duration::ZERO);
        let _first = take(&budget, 60 * UNIT_BYTES).await.unwrap();
        let refused = take(&budget, 60 * UNIT_BYTES).await.unwrap_err();
        assert_eq!(refused, NoMemory::NotNow(Overload::WaitedTooLong));
    }

    #[tokio::test]
    async fn a_stop_signal_ends_the_wait() {
        let budget = MemoryBudget::new(100 * UNIT_BYTES, Duration::from_mins(1));
        let _first = take(&budget, 60 * UNIT_BYTES).await.unwrap();
        let stop = StopSignal::default();
        let waiting = tokio::task::spawn_blocking({
            let (budget, stop) = (budget.clone(), stop.clone());
            move || budget.take(60 * UNIT_BYTES, &stop)
        });
        stop.stop();
        assert_eq!(waiting.await.unwrap().unwrap_err(), NoMemory::NotNow(Overload::TookTooLong));
    }

    #[tokio::test]
    async fn more_than_there_is_in_all_is_refused_at_once() {
        let budget = MemoryBudget::new(100 * UNIT_BYTES, Duration::from_mins(1));
        assert!(take(&budget, 100 * UNIT_BYTES).await.is_ok());
        for bytes in [100 * UNIT_BYTES + 1, u64::MAX] {
            let refusal = Refusal::TooMuchMemory { needed_bytes: bytes, max_bytes: 100 * UNIT_BYTES };
            assert_eq!(take(&budget, bytes).await.unwrap_err(), NoMemory::Never(refusal));
        }
    }
}
