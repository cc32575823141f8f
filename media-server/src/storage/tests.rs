//! A storage in a directory of its own.

use shared::random::Random;

use super::*;

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("media-server-{}", ImageId::new(&Random::system()).hex()));
        std::fs::create_dir(&directory).unwrap();
        Self(directory)
    }

    async fn open(&self) -> Storage {
        let url = format!("file://{}", self.0.display()).parse().unwrap();
        let config = StorageConfig { url, timeout: Duration::from_mins(1) };
        Storage::open(&config, &Clock::system()).await.unwrap()
    }

    /// The files in all directories.
    fn files(&self) -> Vec<String> {
        let entries = |directory: PathBuf| std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
        let directories = entries(self.0.clone()).filter(|entry| entry.path().is_dir());
        let files = directories.flat_map(|directory| entries(directory.path()));
        files.map(|file| file.file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn id() -> ImageId {
    ImageId::new(&Random::system())
}

#[tokio::test]
async fn an_id_holds_one_picture_whatever_the_race() {
    let scratch = Scratch::new();
    let storage = scratch.open().await;
    let id = id();
    let puts = (0..20_u8).map(|number| storage.put(id, Bytes::from(vec![number % 2; 100_000])));
    let ended: Vec<Put> = futures_util::future::try_join_all(puts).await.unwrap();
    let count = |of: Put| ended.iter().filter(|put| **put == of).count();
    assert_eq!((count(Put::Created), count(Put::AlreadyThere), count(Put::Taken)), (1, 9, 10));
    assert_eq!(scratch.files(), [id.hex()]);
}

#[tokio::test]
async fn a_part_of_a_large_picture_is_what_was_stored_there() {
    let scratch = Scratch::new();
    let storage = scratch.open().await;
    let id = id();
    let stored: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    assert_eq!(storage.put(id, stored.clone().into()).await.unwrap(), Put::Created);
    for range in [0..10, 0..300_000, 65_530..65_540, 70_000..299_999] {
        let picture = storage.get(id).await.unwrap().unwrap();
        let pieces: Vec<Bytes> = storage.stream(picture, range.clone()).try_collect().await.unwrap();
        let (from, to) = (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
        assert!(pieces.concat() == stored[from..to], "{range:?}");
        assert!(pieces.iter().all(|piece| piece.len() as u64 <= PIECE_BYTES));
    }
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_may_be_deleted_again() {
    let scratch = Scratch::new();
    let storage = scratch.open().await;
    let id = id();
    assert_eq!(storage.put(id, Bytes::from_static(b"x")).await.unwrap(), Put::Created);
    storage.delete(id).await.unwrap();
    storage.delete(id).await.unwrap();
    assert!(storage.get(id).await.unwrap().is_none());
}

#[tokio::test]
async fn what_a_crash_cut_off_is_swept_at_the_next_start_unless_others_may_write_it() {
    let scratch = Scratch::new();
    let first = scratch.open().await;
    let cut_off = scratch.0.join("000").join("000#1");
    std::fs::write(&cut_off, "half").unwrap();
    let second = scratch.open().await;
    second.directories.sweep();
    assert!(cut_off.exists(), "swept under a replica that may be writing it");
    // The sweep in the background holds the lock until it ends.
    while Arc::strong_count(&first.directories) + Arc::strong_count(&second.directories) > 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop((first, second));
    let alone = scratch.open().await;
    alone.directories.sweep();
    assert!(!cut_off.exists());
}
