//! A storage in a directory of its own. `deploy/tests/api` has the same over S3.

use shared::media_api::ImageKind;
use shared::random::Random;
use shared::settings::Settings;

use super::*;
use crate::config::Config;

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
        let mut settings = Settings::given([("STORAGE_TIMEOUT_SECONDS", "60")]);
        let config = StorageConfig { url, ..Config::read(&mut settings).unwrap().storage };
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

fn directories(storage: &Storage) -> &Arc<directories::Directories> {
    let Backend::Local(local) = &storage.backend else { panic!("not local") };
    &local.directories
}

/// All that is stored, and whether it is a picture itself.
async fn listed(storage: &Storage, limit: usize) -> Vec<(ImageId, bool)> {
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = storage.list(after, limit).await.unwrap();
        assert!(page.images.len() <= limit);
        listed.extend(page.images.iter().map(|image| (image.id, image.has_original)));
        after = page.next;
        if after.is_none() {
            return listed;
        }
    }
}

const THUMBNAIL: RenditionKey = RenditionKey { size: 64, kind: ImageKind::Webp };

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
async fn renditions_are_kept_beside_their_picture_and_go_with_it() {
    let scratch = Scratch::new();
    let storage = scratch.open().await;
    let (id, other) = (id(), id());
    for id in [id, other] {
        assert_eq!(storage.put(id, Bytes::from_static(b"x")).await.unwrap(), Put::Created);
        for size in [64, 128, 999] {
            let key = RenditionKey { size, ..THUMBNAIL };
            storage.put_rendition(id, key, Bytes::from_static(b"old")).await.unwrap();
            storage.put_rendition(id, key, Bytes::from_static(b"y")).await.unwrap();
            assert_eq!(storage.get_rendition(id, key).await.unwrap().unwrap().start, "y");
        }
    }
    assert!(storage.get_rendition(id, RenditionKey { size: 1, ..THUMBNAIL }).await.unwrap().is_none());
    storage.delete(id).await.unwrap();
    assert!(!storage.exists(id).await.unwrap() && storage.exists(other).await.unwrap());
    assert!(scratch.files().iter().all(|name| name.starts_with(&other.hex())), "{:?}", scratch.files());
    assert_eq!(scratch.files().len(), 4);
}

#[tokio::test]
async fn a_rendition_of_a_picture_that_is_gone_is_neither_kept_nor_given() {
    let scratch = Scratch::new();
    let storage = scratch.open().await;
    let id = id();
    storage.put_rendition(id, THUMBNAIL, Bytes::from_static(b"y")).await.unwrap();
    assert!(scratch.files().is_empty(), "kept");
    // What a crash left between writing it and looking for the picture.
    storage
        .store()
        .put(&Object { id, rendition: Some(THUMBNAIL) }.path(), Bytes::from_static(b"y").into())
        .await
        .unwrap();
    assert!(storage.get_rendition(id, THUMBNAIL).await.unwrap().is_none());
    assert_eq!(listed(&storage, 10).await, [(id, false)]);
    storage.delete(id).await.unwrap();
    assert!(scratch.files().is_empty());
}

#[tokio::test]
async fn all_is_listed_once_in_order_whatever_the_limit() {
    let scratch = Scratch::new();
    let storage = scratch.open().await;
    let mut ids: Vec<ImageId> = (0..30).map(|_| id()).collect();
    // Some of one directory.
    ids.extend((0..10).map(|last| ImageId::parse(&format!("abc{last:029x}")).unwrap()));
    for id in &ids {
        assert_eq!(storage.put(*id, Bytes::from_static(b"x")).await.unwrap(), Put::Created);
        storage.put_rendition(*id, THUMBNAIL, Bytes::from_static(b"y")).await.unwrap();
    }
    ids.sort_unstable();
    let ids: Vec<(ImageId, bool)> = ids.into_iter().map(|id| (id, true)).collect();
    for limit in [1, 3, 10, 1000] {
        let listed = listed(&storage, limit).await;
        assert!(listed == ids, "limit {limit}");
    }
}

#[tokio::test]
async fn what_is_in_memory_is_gone_with_its_deletion_here_and_elsewhere() {
    let scratch = Scratch::new();
    let (here, elsewhere) = (scratch.open().await, scratch.open().await);
    let (deleted_here, deleted_elsewhere) = (id(), id());
    for id in [deleted_here, deleted_elsewhere] {
        assert_eq!(here.put(id, Bytes::from_static(b"x")).await.unwrap(), Put::Created);
        here.put_rendition(id, THUMBNAIL, Bytes::from_static(b"y")).await.unwrap();
        assert!(here.get(id).await.unwrap().is_some() && here.get_rendition(id, THUMBNAIL).await.unwrap().is_some());
    }
    here.delete(deleted_here).await.unwrap();
    assert!(here.get(deleted_here).await.unwrap().is_none());
    assert!(here.get_rendition(deleted_here, THUMBNAIL).await.unwrap().is_none());
    elsewhere.delete(deleted_elsewhere).await.unwrap();
    tokio::time::sleep(cache::TRUSTED).await;
    assert!(here.get(deleted_elsewhere).await.unwrap().is_none());
    assert!(here.get_rendition(deleted_elsewhere, THUMBNAIL).await.unwrap().is_none());
}

#[tokio::test]
async fn what_a_crash_cut_off_is_swept_at_the_next_start_unless_others_may_write_it() {
    let scratch = Scratch::new();
    let first = scratch.open().await;
    let cut_off = scratch.0.join("000").join("000#1");
    std::fs::write(&cut_off, "half").unwrap();
    let second = scratch.open().await;
    directories(&second).sweep();
    assert!(cut_off.exists(), "swept under a replica that may be writing it");
    // The sweep in the background holds the lock until it ends.
    while Arc::strong_count(directories(&first)) + Arc::strong_count(directories(&second)) > 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop((first, second));
    let alone = scratch.open().await;
    directories(&alone).sweep();
    assert!(!cut_off.exists());
}
