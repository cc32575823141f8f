//! Lines on their way to standard output, many in one write.
//!
//! A line for each answer, written by itself, would cost a third of the fastest answers. So the lines of answers wait in
//! memory, [`FLUSH_EVERY`] at most; all others are written at once, behind those that wait. A process that is killed takes
//! what waits along.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a line may wait.
const FLUSH_EVERY: Duration = Duration::from_millis(200);

/// Then they are written by whoever adds one, in bytes: who writes slower than we log is waited for.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// The lines of this process.
#[derive(Debug)]
pub(super) struct Lines(Mutex<Vec<u8>>);

impl Lines {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Adds a line that may wait; `write` must end it.
    pub(super) fn add(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = self.waiting();
        write(&mut waiting);
        if waiting.len() >= WAITING_BYTES_MAX {
            flush(&mut waiting);
        }
    }

    /// Writes what waits.
    pub(super) fn flush(&self) {
        flush(&mut self.waiting());
    }

    /// Writes what waits, time and again, on a thread of its own, for ever.
    pub(super) fn keep_flushing(&'static self) -> io::Result<()> {
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            loop {
                std::thread::sleep(FLUSH_EVERY);
                self.flush();
            }
        })?;
        Ok(())
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn flush(waiting: &mut Vec<u8>) {
    if !waiting.is_empty() {
        // Where it can't be written there is nobody to tell.
        let _ = io::stdout().write_all(waiting).and_then(|()| io::stdout().flush());
        waiting.clear();
    }
}

/// Adds lines that are written at once.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.waiting();
        waiting.extend_from_slice(line);
        flush(&mut waiting);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
