//! Memory budget: bytes that concurrent work shares; work that finds too few waits in order of arrival.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The budget. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    free: Arc<Semaphore>,
    total_bytes: u64,
    wait_timeout: Duration,
}

/// A reservation, returned to the budget on drop.
#[derive(Debug)]
pub struct MemoryPermit {
    _permit: OwnedSemaphorePermit,
}

/// Why memory was not reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    #[error("{needed_bytes} bytes of memory are needed, the budget is {total_bytes}")]
    ExceedsTotal { needed_bytes: u64, total_bytes: u64 },
    #[error("the memory budget is in use")]
    WaitedTooLong,
}

/// The budget is counted in KiB.
const UNIT_BYTES: u64 = 1024;

impl MemoryBudget {
    /// Creates a budget whose reservations wait for `wait_timeout` at most.
    pub fn new(total_bytes: u64, wait_timeout: Duration) -> Self {
        let units = usize::try_from(total_bytes / UNIT_BYTES).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(units)), total_bytes, wait_timeout }
    }

    /// Returns the budget in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes / UNIT_BYTES * UNIT_BYTES
    }

    /// Fails where `bytes` exceed the whole budget.
    pub fn check(&self, bytes: u64) -> Result<(), MemoryError> {
        self.units(bytes).map(|_| ())
    }

    /// Reserves `bytes`, waiting until they are free.
    pub async fn reserve(&self, bytes: u64) -> Result<MemoryPermit, MemoryError> {
        let permit = Arc::clone(&self.free).acquire_many_owned(self.units(bytes)?);
        match timeout(self.wait_timeout, permit).await {
            Ok(Ok(permit)) => Ok(MemoryPermit { _permit: permit }),
            _ => Err(MemoryError::WaitedTooLong),
        }
    }

    fn units(&self, bytes: u64) -> Result<u32, MemoryError> {
        let error = MemoryError::ExceedsTotal { needed_bytes: bytes, total_bytes: self.total_bytes };
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).map_err(|_| error)?;
        if u64::from(units) * UNIT_BYTES <= self.total_bytes { Ok(units) } else { Err(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_reservation_waits_until_others_are_returned() {
        let budget = MemoryBudget::new(100 * UNIT_BYTES, WAIT);
        let first = budget.reserve(60 * UNIT_BYTES).await.unwrap();
        let second = tokio::spawn(async move { budget.reserve(60 * UNIT_BYTES).await });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        assert!(second.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_reservation_times_out() {
        let budget = MemoryBudget::new(100 * UNIT_BYTES, Duration::ZERO);
        let _first = budget.reserve(60 * UNIT_BYTES).await.unwrap();
        assert_eq!(budget.reserve(60 * UNIT_BYTES).await.unwrap_err(), MemoryError::WaitedTooLong);
    }

    #[tokio::test]
    async fn more_than_the_budget_fails_at_once() {
        let budget = MemoryBudget::new(100 * UNIT_BYTES, WAIT);
        assert!(budget.reserve(100 * UNIT_BYTES).await.is_ok());
        for bytes in [100 * UNIT_BYTES + 1, u64::MAX] {
            let error = MemoryError::ExceedsTotal { needed_bytes: bytes, total_bytes: 100 * UNIT_BYTES };
            assert_eq!(budget.reserve(bytes).await.unwrap_err(), error);
        }
    }
}
