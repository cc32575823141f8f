//! The limit of work that takes a core: done over and over on threads like the services' own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use shared::worker_pool::set_idle_priority;
use tokio::time::Instant;

use crate::error::Error;
use crate::row::Sample;

/// How often a second `threads` threads do, for `time`, what `begin` makes for each of them.
pub fn rate<W>(threads: usize, time: Duration, begin: impl Fn() -> Result<W, Error> + Sync) -> Result<Sample, Error>
where
    W: FnMut() -> Result<(), Error>,
{
    let is_over = AtomicBool::new(false);
    let started = Instant::now();
    let run = || {
        // As the services' threads do: what else the machine does must cost both the same.
        set_idle_priority();
        let mut work = begin()?;
        let mut count = 0;
        while !is_over.load(Ordering::Relaxed) {
            work()?;
            count += 1;
        }
        Ok(count)
    };
    let counted: Result<u32, Error> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        thread::sleep(time);
        is_over.store(true, Ordering::Relaxed);
        running.into_iter().map(|one| one.join().map_err(|_| Error::client("a thread panicked"))?).sum()
    });
    // The last ones end after `time`: they count, and so does their time.
    Ok(Sample { value: f64::from(counted?) / started.elapsed().as_secs_f64(), refused: 0 })
}
