//! The local backend. `deploy/tests/api` tests S3.

use std::path::PathBuf;

use shared::media_api::ImageKind;
use shared::random::Random;
use shared::settings::Settings;

use super::*;
use crate::config::Config;

/// A temporary directory.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("media-server-{}", ImageId::new(&Random::system()).hex()));
        std::fs::create_dir(&directory).unwrap();
        Self(directory)
    }

    pub(crate) async fn open(&self) -> Storage {
        let url = format!("file://{}", self.0.display()).parse().unwrap();
        let mut settings = Settings::given([("STORAGE_TIMEOUT_SECONDS", "60")]);
        let config = StorageConfig { url, ..Config::read(&mut settings).unwrap().storage };
        Storage::open(&config, &Clock::system()).await.unwrap()
    }

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

/// All listed ids, and whether the picture itself is stored.
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

async fn put_rendition(storage: &Storage, id: ImageId, key: RenditionKey, bytes: &'static [u8]) {
    storage.put_renditions(id, vec![(key, Bytes::from_static(bytes))]).await.unwrap();
}

async fn rendition(storage: &Storage, id: ImageId, key: RenditionKey) -> Option<StoredObject> {
    let found = storage.get_renditions(id, vec![key], Extent::Prefix).await.unwrap();
    found.into_iter().next().map(|(_, object)| object)
}

fn id() -> ImageId {
    ImageId::new(&Random::system())
}

#[tokio::test]
async fn concurrent_puts_of_one_id_store_one_picture() {
    let scratch = Scratch::new();
    let storage = scratch.open().await;
    let id = id();
    let puts = (0..20_u8).map(|number| storage.put(id, Bytes::from(vec![number % 2; 100_000])));
    let outcomes: Vec<PutOutcome> = try_join_all(puts).await.unwrap();
    let count = |of: PutOutcome| outcomes.iter().filter(|outcome| **outcome == of).count();
    assert_eq!((count(PutOutcome::Created), count(PutOutcome::Identical), count(PutOutcome::Conflict)), (1, 9, 10));
    assert_eq!(scratch.files(), [id.hex()]);
}

#[tokio::test]
async fn a_range_of_a_large_picture_is_streamed_in_chunks() {
    let scratch = Scratch::new();
    let storage = scratch.open().await;
    let id = id();
    let stored: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    assert_eq!(storage.put(id, stored.clone().into()).await.unwrap(), PutOutcome::Created);
    for range in [0..10, 0..300_000, 65_530..65_540, 70_000..299_999] {
        let picture = storage.get(id).await.unwrap().unwrap();
        let chunks: Vec<Bytes> = storage.stream(picture, range.clone()).try_collect().await.unwrap();
        let (from, to) = (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
        assert!(chunks.concat() == stored[from..to], "{range:?}");
        assert!(chunks.iter().all(|chunk| chunk.len() as u64 <= CHUNK_BYTES));
    }
}

#[tokio::test]
async fn deletion_is_idempotent() {
    let scratch = Scratch::new();
    let storage = scratch.open().await;
    let id = id();
    assert_eq!(storage.put(id, Bytes::from_static(b"x")).await.unwrap(), PutOutcome::Created);
    storage.delete(id).await.unwrap();
    storage.delete(id).await.unwrap();
    assert!(storage.get(id).await.unwrap().is_none());
}

#[tokio::test]
async fn renditions_are_deleted_with_their_picture() {
    let scratch = Scratch::new();
    let storage = scratch.open().await;
    let (id, other) = (id(), id());
    for id in [id, other] {
        assert_eq!(storage.put(id, Bytes::from_static(b"x")).await.unwrap(), PutOutcome::Created);
        for size in [64, 128, 999] {
            let key = RenditionKey { size, ..THUMBNAIL };
            put_rendition(&storage, id, key, b"old").await;
            put_rendition(&storage, id, key, b"y").await;
            assert_eq!(rendition(&storage, id, key).await.unwrap().prefix, "y");
        }
    }
    assert!(rendition(&storage, id, RenditionKey { size: 1, ..THUMBNAIL }).await.is_none());
    storage.delete(id).await.unwrap();
    assert!(!storage.exists(id).await.unwrap() && storage.exists(other).await.unwrap());
    assert!(scratch.files().iter().all(|name| name.starts_with(&other.hex())), "{:?}", scratch.files());
    assert_eq!(scratch.files().len(), 4);
}

#[tokio::test]
async fn a_rendition_of_a_deleted_picture_is_neither_stored_nor_returned() {
    let scratch = Scratch::new();
    let storage = scratch.open().await;
    let id = id();
    put_rendition(&storage, id, THUMBNAIL, b"y").await;
    assert!(scratch.files().is_empty(), "stored");
    // As left by a crash between the write and the check for the picture.
    storage.store().put(&ObjectKey::rendition(id, THUMBNAIL).path(), Bytes::from_static(b"y").into()).await.unwrap();
    assert!(rendition(&storage, id, THUMBNAIL).await.is_none());
    assert_eq!(listed(&storage, 10).await, [(id, false)]);
    storage.delete(id).await.unwrap();
    assert!(scratch.files().is_empty());
}

#[tokio::test]
async fn a_listing_is_complete_and_ordered_at_any_limit() {
    let scratch = Scratch::new();
    let storage = scratch.open().await;
    let mut ids: Vec<ImageId> = (0..30).map(|_| id()).collect();
    // Several in one directory.
    ids.extend((0..10).map(|last| ImageId::parse(&format!("abc{last:029x}")).unwrap()));
    for id in &ids {
        assert_eq!(storage.put(*id, Bytes::from_static(b"x")).await.unwrap(), PutOutcome::Created);
        put_rendition(&storage, *id, THUMBNAIL, b"y").await;
    }
    ids.sort_unstable();
    let ids: Vec<(ImageId, bool)> = ids.into_iter().map(|id| (id, true)).collect();
    for limit in [1, 3, 10, 1000] {
        let listed = listed(&storage, limit).await;
        assert!(listed == ids, "limit {limit}");
    }
}

#[tokio::test]
async fn a_deletion_by_any_replica_invalidates_the_cache() {
    let scratch = Scratch::new();
    let (here, elsewhere) = (scratch.open().await, scratch.open().await);
    let (deleted_here, deleted_elsewhere) = (id(), id());
    for id in [deleted_here, deleted_elsewhere] {
        assert_eq!(here.put(id, Bytes::from_static(b"x")).await.unwrap(), PutOutcome::Created);
        put_rendition(&here, id, THUMBNAIL, b"y").await;
        assert!(here.get(id).await.unwrap().is_some() && rendition(&here, id, THUMBNAIL).await.is_some());
    }
    here.delete(deleted_here).await.unwrap();
    assert!(here.get(deleted_here).await.unwrap().is_none());
    assert!(rendition(&here, deleted_here, THUMBNAIL).await.is_none());
    elsewhere.delete(deleted_elsewhere).await.unwrap();
    tokio::time::sleep(cache::REVALIDATE_AFTER).await;
    assert!(here.get(deleted_elsewhere).await.unwrap().is_none());
    assert!(rendition(&here, deleted_elsewhere, THUMBNAIL).await.is_none());
}

#[tokio::test]
async fn stale_uploads_are_removed_at_start_unless_other_replicas_run() {
    let scratch = Scratch::new();
    let first = scratch.open().await;
    let stale = scratch.0.join("000").join("000#1");
    std::fs::write(&stale, "half").unwrap();
    let second = scratch.open().await;
    directories(&second).remove_stale_uploads();
    assert!(stale.exists(), "removed while another replica may be writing it");
    // The removal in the background holds the lock until it ends.
    while Arc::strong_count(directories(&first)) + Arc::strong_count(directories(&second)) > 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop((first, second));
    let alone = scratch.open().await;
    directories(&alone).remove_stale_uploads();
    assert!(!stale.exists());
}
