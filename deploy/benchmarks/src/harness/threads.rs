//! Repeats CPU work on threads like the services': the baseline of CPU-bound requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use shared::worker_pool::Priority;
use tokio::time::Instant;

use crate::error::Error;
use crate::harness::row::Sample;

/// Returns how often per second `threads` threads complete their work, which `begin` creates for each, within `time`.
pub fn rate<W>(
    threads: usize,
    priority: Priority,
    time: Duration,
    begin: impl Fn() -> Result<W, Error> + Sync,
) -> Result<Sample, Error>
where
    W: FnMut() -> Result<(), Error>,
{
    let stopped = AtomicBool::new(false);
    let started = Instant::now();
    let run = || {
        // As the services' threads do, so that other load costs both the same.
        priority.apply();
        let mut work = begin()?;
        let mut count = 0;
        while !stopped.load(Ordering::Relaxed) {
            work()?;
            count += 1;
        }
        Ok(count)
    };
    let counted: Result<u32, Error> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        thread::sleep(time);
        stopped.store(true, Ordering::Relaxed);
        running.into_iter().map(|one| one.join().map_err(|_| Error::client("a thread panicked"))?).sum()
    });
    // Work that ends after `time` counts, and so does its time.
    Ok(Sample { value: f64::from(counted?) / started.elapsed().as_secs_f64(), refused: 0 })
}
