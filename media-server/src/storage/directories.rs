//! The directories of a local storage.
//!
//! `object_store` makes missing directories and syncs them, but a second upload that finds a directory which the first
//! has made and not yet synced does not wait for it. So all of them are made at start. Nor does it sync after a
//! deletion, and what it writes before it links (`<id>#1`) stays when the process is killed; hence the rest of this.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use shared::clock::Clock;

/// A directory's name is this many hexadecimal digits, the first ones of a picture's id.
pub(super) const NAME_CHARS: usize = 3;

/// How many there are.
const COUNT: u32 = 16_u32.pow(3);

/// An upload that another replica writes right now is younger than this.
const UPLOAD_GRACE: Duration = Duration::from_mins(15);

/// Another process holds the lock alone for microseconds; past this many tries it holds it for another reason.
const LOCK_TRIES: u32 = 50;

/// How long to wait between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The directories, all of them there.
#[derive(Debug)]
pub(super) struct Directories {
    root: PathBuf,
    /// Locked, shared, as long as this process runs.
    _lock: File,
    /// What was being written before this time is left behind.
    left_behind_before: SystemTime,
}

impl Directories {
    /// Makes those that are missing.
    pub(super) fn prepare(root: PathBuf, clock: &Clock) -> io::Result<Self> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(clock.unix_millis());
        let lock = File::open(&root)?;
        let is_alone = lock_shared(&lock)?;
        for number in 0..COUNT {
            match fs::create_dir(root.join(format!("{number:0NAME_CHARS$x}"))) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        // Also where they were all there: who made them may have crashed before this.
        lock.sync_all()?;
        let grace = if is_alone { Duration::ZERO } else { UPLOAD_GRACE };
        Ok(Self { root, _lock: lock, left_behind_before: now - grace })
    }

    /// Makes the entries of a directory durable.
    pub(super) fn sync(&self, name: &str) -> io::Result<()> {
        File::open(self.root.join(name))?.sync_all()
    }

    /// Deletes what a killed process was writing. Reads all directories: seconds for ten million pictures.
    pub(super) fn sweep(&self) {
        let mut deleted = 0;
        let numbered = (0..COUNT).map(|number| self.root.join(format!("{number:0NAME_CHARS$x}")));
        for directory in numbered.chain([self.root.clone()]) {
            match self.sweep_one(&directory) {
                Ok(count) => deleted += count,
                Err(error) => tracing::warn!(error = %error.kind(), "a directory is not swept"),
            }
        }
        if deleted > 0 {
            tracing::info!(deleted, "uploads that a crash had cut off are deleted");
        }
    }

    fn sweep_one(&self, directory: &Path) -> io::Result<usize> {
        let mut deleted = 0;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let is_staged = entry.file_name().to_str().is_some_and(is_staged);
            if is_staged && entry.metadata()?.modified()? < self.left_behind_before {
                fs::remove_file(entry.path())?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }
}

/// Locks the storage, shared, and tells whether no other process had it locked.
fn lock_shared(root: &File) -> io::Result<bool> {
    let is_alone = root.try_lock().is_ok();
    for _ in 0..LOCK_TRIES {
        match root.try_lock_shared() {
            Ok(()) => return Ok(is_alone),
            // Another process looks just now whether it is alone.
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::other("another process keeps it locked"))
}

/// Whether `object_store` names a file so that it has not yet linked to its place: `<name>#<number>`.
fn is_staged(name: &str) -> bool {
    name.split_once('#').is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_linked_yet_is_swept() {
        assert!(is_staged("0123456789abcdef0123456789abcdef#1"));
        for other in ["0123456789abcdef0123456789abcdef", "a#", "a#x", "probe"] {
            assert!(!is_staged(other), "{other}");
        }
    }
}
