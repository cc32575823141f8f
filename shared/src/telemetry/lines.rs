//! Batched writes of log lines to standard output.
//!
//! A write for each access line would cost a third of the throughput of `GET me`. So access lines are buffered for
//! [`FLUSH_INTERVAL`] at most; other lines are written at once, after the buffered ones. A killed process loses its buffer.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest time that a line stays in the buffer.
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);

/// At this size the thread that adds a line flushes, which blocks while the reader of standard output is slow.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// The buffer of this process's log lines.
#[derive(Debug)]
pub(super) struct Lines(Mutex<Vec<u8>>);

impl Lines {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Buffers a line; `write` must end it with a line feed.
    pub(super) fn add(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut buffer = self.buffer();
        write(&mut buffer);
        if buffer.len() >= BUFFER_BYTES_MAX {
            flush(&mut buffer);
        }
    }

    /// Writes the buffered lines.
    pub(super) fn flush(&self) {
        flush(&mut self.buffer());
    }

    /// Starts the thread that flushes periodically.
    pub(super) fn start_flushing(&'static self) -> io::Result<()> {
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            loop {
                std::thread::sleep(FLUSH_INTERVAL);
                self.flush();
            }
        })?;
        Ok(())
    }

    fn buffer(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn flush(buffer: &mut Vec<u8>) {
    if !buffer.is_empty() {
        // Without standard output there is no place to report the error.
        let _ = io::stdout().write_all(buffer).and_then(|()| io::stdout().flush());
        buffer.clear();
    }
}

/// Writes lines without a delay.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut buffer = self.buffer();
        buffer.extend_from_slice(line);
        flush(&mut buffer);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
