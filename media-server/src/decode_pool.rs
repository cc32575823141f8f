//! Decode pool: runs image work on bounded threads, within a memory budget and a deadline.

use std::time::Duration;

use shared::memory_budget::{MemoryBudget, MemoryError, MemoryPermit};
use shared::worker_pool::{Overload, Priority, StopSignal, Workers, WorkersConfig};
use tokio::runtime::Handle;

use crate::formats::ImageError;
use crate::formats::work::Work;

/// Limits of the decode pool.
#[derive(Clone, Debug)]
pub struct DecodePoolConfig {
    pub workers: WorkersConfig,
    /// Time limit of one piece of work, waiting included; then it is stopped.
    pub deadline: Duration,
    /// Memory that all work shares; a reservation waits as long as for a thread.
    pub memory_bytes: u64,
}

/// The pool. Cheap to clone; clones share threads and memory.
#[derive(Clone, Debug)]
pub struct DecodePool {
    workers: Workers<()>,
    memory: MemoryBudget,
    deadline: Duration,
}

/// Why image work failed.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// By the fault of the image.
    #[error(transparent)]
    Image(ImageError),
    #[error(transparent)]
    Overload(Overload),
}

impl From<ImageError> for DecodeError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Stopped => Self::Overload(Overload::TookTooLong),
            error => Self::Image(error),
        }
    }
}

impl From<MemoryError> for DecodeError {
    fn from(error: MemoryError) -> Self {
        match error {
            MemoryError::ExceedsTotal { needed_bytes, total_bytes } => {
                Self::Image(ImageError::TooMuchMemory { needed_bytes, max_bytes: total_bytes })
            }
            MemoryError::WaitedTooLong => Self::Overload(Overload::WaitedTooLong),
        }
    }
}

impl DecodePool {
    /// Creates the pool.
    pub fn start(config: &DecodePoolConfig) -> std::io::Result<Self> {
        Ok(Self {
            workers: Workers::start("decoding", Priority::Low, &config.workers, || ())?,
            memory: MemoryBudget::new(config.memory_bytes, config.workers.queue_timeout),
            deadline: config.deadline,
        })
    }

    /// Runs `work` on a thread of the pool.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Worker) -> Result<T, DecodeError> + Send + 'static,
    ) -> Result<T, DecodeError> {
        let (memory, runtime) = (self.memory.clone(), Handle::current());
        let run = move |(): &mut (), stop: &StopSignal| work(&Worker { memory, stop: stop.clone(), runtime });
        match self.workers.run_stoppable(self.deadline, run).await {
            Ok(outcome) => outcome,
            Err(Overload::Panicked) => Err(DecodeError::Image(ImageError::malformed("the decoder panicked"))),
            Err(overload) => Err(DecodeError::Overload(overload)),
        }
    }

    /// Whether no work runs or waits.
    pub fn is_idle(&self) -> bool {
        self.workers.is_idle()
    }
}

/// A thread of the pool, for the work that runs on it.
#[derive(Debug)]
pub struct Worker {
    memory: MemoryBudget,
    stop: StopSignal,
    /// The service's: the pool's own has no timer.
    runtime: Handle,
}

impl Worker {
    /// Returns a counter of decoding steps that stops the work with its request.
    pub fn work(&self) -> Work {
        Work::stopped_by(self.stop.clone())
    }

    /// Fails where `bytes` exceed the whole memory budget.
    pub fn check_memory(&self, bytes: u64) -> Result<(), DecodeError> {
        Ok(self.memory.check(bytes)?)
    }

    /// Reserves memory; blocks until it is free or the work is to stop.
    pub fn reserve(&self, bytes: u64) -> Result<MemoryPermit, DecodeError> {
        self.runtime.block_on(async {
            tokio::select! {
                permit = self.memory.reserve(bytes) => Ok(permit?),
                () = self.stop.stopped() => Err(DecodeError::Overload(Overload::TookTooLong)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_stop_signal_ends_the_wait_for_memory() {
        let workers = WorkersConfig { threads: 2, queue_max: 8, queue_timeout: Duration::from_mins(1) };
        let config = DecodePoolConfig { workers, deadline: Duration::from_mins(1), memory_bytes: 100 * 1024 };
        let pool = DecodePool::start(&config).unwrap();
        let _first = pool.memory.reserve(60 * 1024).await.unwrap();
        let error = pool
            .run(|worker| {
                worker.stop.stop();
                worker.reserve(60 * 1024).map(drop)
            })
            .await
            .unwrap_err();
        assert!(matches!(error, DecodeError::Overload(Overload::TookTooLong)), "{error:?}");
    }
}
