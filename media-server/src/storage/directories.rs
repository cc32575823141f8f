//! The directories of a local storage.
//!
//! `object_store` makes missing directories and syncs them, but a second upload that finds a directory which the first
//! has made and not yet synced does not wait for it. So all of them are made at start. Nor does it sync after a
//! deletion, and what it writes before it links (`<id>#1`) stays when the process is killed; hence the rest of this.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use shared::clock::Clock;
use shared::media_api::ImageId;

use super::object::{ID_CHARS, NAME_CHARS, Object, directory};
use super::{Listed, Page};

/// How many there are.
const COUNT: u32 = 16_u32.pow(3);

/// An upload that another replica writes right now is younger than this.
const UPLOAD_GRACE: Duration = Duration::from_mins(15);

/// Another process holds the lock alone for microseconds; past this many tries it holds it for another reason.
const LOCK_TRIES: u32 = 50;

/// Directories read for one page of a listing: seconds on a disk at the other end of a network.
const DIRECTORIES_A_PAGE: u32 = 256;

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

    /// The renditions of a picture.
    pub(super) fn renditions(&self, id: ImageId) -> io::Result<Vec<Object>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.root.join(directory(id)))? {
            let object = entry?.file_name().to_str().and_then(Object::parse);
            found.extend(object.filter(|object| object.id == id && object.rendition.is_some()));
        }
        Ok(found)
    }

    /// The pictures after `after`, `limit` at most. No more of them are in memory at any time.
    pub(super) fn list(&self, after: Option<ImageId>, limit: usize) -> io::Result<Page> {
        let first = after.map_or(0, directory_number);
        let end = first.saturating_add(DIRECTORIES_A_PAGE).min(COUNT);
        let mut images = Vec::new();
        for number in first..end {
            let found = self.list_one(number, after, limit.saturating_sub(images.len()))?;
            images.extend(found);
            if images.len() >= limit {
                let next = images.last().map(|last: &Listed| last.id);
                return Ok(Page { images, next });
            }
        }
        let next = if end < COUNT { last_id_of(end - 1) } else { None };
        Ok(Page { images, next })
    }

    fn list_one(&self, number: u32, after: Option<ImageId>, limit: usize) -> io::Result<Vec<Listed>> {
        let directory = self.root.join(format!("{number:0NAME_CHARS$x}"));
        let mut found: BTreeMap<ImageId, (PathBuf, bool)> = BTreeMap::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let object = entry.file_name().to_str().and_then(Object::parse);
            let Some(Object { id, rendition }) = object.filter(|object| after.is_none_or(|after| object.id > after))
            else {
                continue;
            };
            if rendition.is_none() {
                found.insert(id, (entry.path(), true));
            } else {
                found.entry(id).or_insert_with(|| (entry.path(), false));
            }
            if found.len() > limit {
                found.pop_last();
            }
        }
        let mut listed = Vec::new();
        for (id, (path, has_original)) in found {
            match fs::metadata(path).and_then(|metadata| metadata.modified()) {
                Ok(modified) => listed.push(Listed { id, modified, has_original }),
                // Deleted meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(listed)
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

fn directory_number(id: ImageId) -> u32 {
    u32::from_str_radix(&directory(id), 16).unwrap_or(0)
}

/// The last id that belongs into a directory.
fn last_id_of(number: u32) -> Option<ImageId> {
    ImageId::parse(&format!("{number:0NAME_CHARS$x}{:f<width$}", "", width = ID_CHARS - NAME_CHARS)).ok()
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
