//! Directories of the local backend.
//!
//! `object_store` creates missing directories and syncs them, but a second upload that finds a directory which the first has
//! created and not yet synced does not wait for it: so all are created at start. It does not sync after a deletion, and its
//! temporary files (`<id>#1`) remain when the process is killed: so both are done here.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use shared::clock::Clock;
use shared::media_api::ImageId;

use super::object::{ID_CHARS, NAME_CHARS, ObjectKey, directory};
use super::{ListedImage, Page};

/// Number of directories.
const COUNT: u32 = 16_u32.pow(3);

/// Age from which a temporary file is stale although other replicas run: no upload takes as long.
const UPLOAD_GRACE: Duration = Duration::from_mins(15);

/// Another replica holds the exclusive lock for microseconds; after this many tries it is no replica.
const LOCK_TRIES: u32 = 50;

/// Most directories that one page of a listing reads: seconds on a network file system.
const DIRECTORIES_A_PAGE: u32 = 256;

const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The directories.
#[derive(Debug)]
pub(super) struct Directories {
    root: PathBuf,
    /// Shared lock, held while this process runs.
    _lock: File,
    /// Temporary files older than this are stale.
    stale_before: SystemTime,
}

impl Directories {
    /// Creates missing directories and locks the storage.
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
        // Even if none was missing: the process that created them may have crashed before its sync.
        lock.sync_all()?;
        let grace = if is_alone { Duration::ZERO } else { UPLOAD_GRACE };
        Ok(Self { root, _lock: lock, stale_before: now - grace })
    }

    /// Makes the entries of a directory durable.
    pub(super) fn sync(&self, name: &str) -> io::Result<()> {
        File::open(self.root.join(name))?.sync_all()
    }

    /// Returns the bytes that are free for this process.
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.root)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Lists the renditions of a picture.
    pub(super) fn renditions(&self, id: ImageId) -> io::Result<Vec<ObjectKey>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.root.join(directory(id)))? {
            let object = entry?.file_name().to_str().and_then(ObjectKey::parse);
            found.extend(object.filter(|object| object.id == id && object.rendition.is_some()));
        }
        Ok(found)
    }

    /// Lists at most `limit` pictures after `after`, with no more in memory.
    pub(super) fn list(&self, after: Option<ImageId>, limit: usize) -> io::Result<Page> {
        let first = after.map_or(0, directory_number);
        let end = first.saturating_add(DIRECTORIES_A_PAGE).min(COUNT);
        let mut images = Vec::new();
        for number in first..end {
            let found = self.list_one(number, after, limit.saturating_sub(images.len()))?;
            images.extend(found);
            if images.len() >= limit {
                let next = images.last().map(|last: &ListedImage| last.id);
                return Ok(Page { images, next });
            }
        }
        let next = if end < COUNT { last_id_of(end - 1) } else { None };
        Ok(Page { images, next })
    }

    fn list_one(&self, number: u32, after: Option<ImageId>, limit: usize) -> io::Result<Vec<ListedImage>> {
        let directory = self.root.join(format!("{number:0NAME_CHARS$x}"));
        let mut found: BTreeMap<ImageId, (PathBuf, bool)> = BTreeMap::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let object = entry.file_name().to_str().and_then(ObjectKey::parse);
            let Some(ObjectKey { id, rendition }) = object.filter(|object| after.is_none_or(|after| object.id > after))
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
                Ok(modified) => listed.push(ListedImage { id, modified, has_original }),
                // Deleted meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(listed)
    }

    /// Deletes temporary files of killed processes. Reads all directories: seconds with ten million pictures.
    pub(super) fn remove_stale_uploads(&self) {
        let mut deleted = 0;
        let numbered = (0..COUNT).map(|number| self.root.join(format!("{number:0NAME_CHARS$x}")));
        for directory in numbered.chain([self.root.clone()]) {
            match self.remove_stale_uploads_in(&directory) {
                Ok(count) => deleted += count,
                Err(error) => {
                    tracing::warn!(error = %error.kind(), "removing stale uploads failed; the next start retries");
                }
            }
        }
        if deleted > 0 {
            tracing::info!(deleted, "removed stale uploads of an earlier crash");
        }
    }

    fn remove_stale_uploads_in(&self, directory: &Path) -> io::Result<usize> {
        let mut deleted = 0;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let is_temporary = entry.file_name().to_str().is_some_and(is_temporary);
            if is_temporary && entry.metadata()?.modified()? < self.stale_before {
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

/// Returns the last id of a directory.
fn last_id_of(number: u32) -> Option<ImageId> {
    ImageId::parse(&format!("{number:0NAME_CHARS$x}{:f<width$}", "", width = ID_CHARS - NAME_CHARS)).ok()
}

/// Takes the shared lock, and returns whether no other process held it.
fn lock_shared(root: &File) -> io::Result<bool> {
    let is_alone = root.try_lock().is_ok();
    for _ in 0..LOCK_TRIES {
        match root.try_lock_shared() {
            Ok(()) => return Ok(is_alone),
            // Another process is testing whether it is alone.
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::other("another process holds an exclusive lock on it"))
}

/// Whether `object_store` uses the name for a temporary file: `<name>#<number>`.
fn is_temporary(name: &str) -> bool {
    name.split_once('#').is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_temporary_files_are_removed() {
        assert!(is_temporary("0123456789abcdef0123456789abcdef#1"));
        for other in ["0123456789abcdef0123456789abcdef", "a#", "a#x", "probe"] {
            assert!(!is_temporary(other), "{other}");
        }
    }
}
