//! media-server without a stack, on both storage backends. `deploy/test` runs [`crate::pictures::delivery`] on both, too.

use std::time::Duration;

use image::ImageFormat;
use shared::media_api::StoredPage;

use crate::support::{
    MediaServer, S3Server, Scratch, drawn, extension_of, files_below, image_id, jpeg, largest_photograph, wait_until,
};

/// A storage backend of one test.
enum Backend {
    Directory(Scratch),
    Bucket(S3Server),
}

impl Backend {
    async fn both() -> [Self; 2] {
        [Self::Directory(Scratch::new()), Self::Bucket(S3Server::start().await)]
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Directory(_) => "a directory",
            Self::Bucket(_) => "a bucket",
        }
    }

    /// The names of all stored objects of a picture, sorted.
    async fn names(&self, id: &str) -> Vec<String> {
        let mut names = match self {
            Self::Directory(directory) => {
                let names = files_below(directory.path()).into_iter().map(|path| path.file_name().unwrap().to_owned());
                names.map(|name| name.into_string().unwrap()).collect()
            }
            Self::Bucket(server) => server.names().await,
        };
        names.retain(|name| name.starts_with(id));
        names.sort();
        names
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Directory(directory) => vec![("STORAGE_URL", format!("file://{}", directory.text()))],
            Self::Bucket(server) => server.settings(),
        }
    }
}

#[tokio::test]
async fn a_repeated_upload_is_200_and_another_picture_with_the_same_id_409() {
    for backend in Backend::both().await {
        let (server, what, id) = (MediaServer::start(&backend.settings()).await, backend.name(), image_id());
        let (picture, other) = (jpeg(), drawn(ImageFormat::Png, 20, 20));
        assert_eq!(server.put(&id, &picture).await.status, 201, "{what}");
        assert_eq!(server.put(&id, &picture).await.status, 200, "{what}");
        assert_eq!(server.put(&id, &other).await.status, 409, "{what}");
        let response = server.get(&format!("{id}.jpg")).await;
        assert_eq!(response.status, 200, "{what}");
        assert_eq!(server.get(&format!("{id}.png")).await.status, 404, "{what}");
        for _ in 0..2 {
            assert_eq!(server.delete(&id).await.status, 204, "{what}");
            assert_eq!(server.get(&format!("{id}.jpg")).await.status, 404, "{what}");
        }
        assert!(!server.log().contains(&id), "{what}: the picture id is logged");
    }
}

#[tokio::test]
async fn a_large_picture_is_delivered_whole_and_in_ranges() {
    let picture = largest_photograph();
    for backend in Backend::both().await {
        let (server, what, id) = (MediaServer::start(&backend.settings()).await, backend.name(), image_id());
        assert_eq!(server.put(&id, &picture).await.status, 201, "{what}");
        let name = format!("{id}.{}", extension_of(&picture));
        let whole = server.get(&name).await.bytes;
        assert!(whole.len() > 1024 * 1024, "{what}: {} bytes", whole.len());
        assert_eq!(server.put(&id, &picture).await.status, 200, "{what}");
        for range in [0..=9, 65_535..=65_536, 70_000..=whole.len() - 1, 0..=whole.len() - 1] {
            let bytes = format!("bytes={}-{}", range.start(), range.end());
            let response = server.public_api.get_with(&format!("/api/user/media/{name}"), &[("range", &bytes)]).await;
            assert_eq!(response.status, 206, "{what} {range:?}");
            assert!(response.bytes == whole[range.clone()], "{what} {range:?}");
        }
    }
}

#[tokio::test]
async fn stored_pictures_are_listed_in_pages() {
    for backend in Backend::both().await {
        let (server, what) = (MediaServer::start(&backend.settings()).await, backend.name());
        let mut ids: Vec<String> = (0..7).map(|_| image_id()).collect();
        for id in &ids {
            assert_eq!(server.put(id, &jpeg()).await.status, 201, "{what}");
        }
        let deleted = ids.pop().unwrap();
        assert_eq!(server.delete(&deleted).await.status, 204, "{what}");
        ids.sort();
        for limit in [2, 1000] {
            let (mut listed, mut query) = (Vec::new(), format!("limit={limit}"));
            loop {
                let response = server.list(&query).await;
                let page: StoredPage = serde_json::from_slice(&response.bytes).unwrap();
                assert!(response.status == 200 && page.images.len() <= limit, "{what}: {}", response.status);
                assert!(page.images.iter().all(|image| image.stored_at > 0), "{what}");
                // A rendition of the deleted picture may have been in the making.
                let (whole, left): (Vec<_>, Vec<_>) = page.images.iter().partition(|image| image.has_original);
                assert!(left.iter().all(|image| image.id.hex() == deleted), "{what}");
                listed.extend(whole.iter().map(|image| image.id.hex()));
                let Some(next) = page.next else { break };
                query = format!("after={}&limit={limit}", next.hex());
            }
            assert_eq!(listed, ids, "{what}");
        }
        for wrong in ["limit=0", "limit=1001", "after=x", "size=1"] {
            server.list(wrong).await.expect_status(400);
        }
    }
}

#[tokio::test]
async fn renditions_are_deleted_with_their_picture() {
    for backend in Backend::both().await {
        let (server, what, id) = (MediaServer::start(&backend.settings()).await, backend.name(), image_id());
        assert_eq!(server.put(&id, &drawn(ImageFormat::Jpeg, 600, 600)).await.status, 201, "{what}");
        let sized = [64, 128, 256, 512].map(|size| format!("{id}.jpg?size={size}"));
        for name in &sized {
            assert_eq!(server.get(name).await.status, 200, "{what}");
        }
        let stored = ["", ".128.jpg", ".256.jpg", ".512.jpg", ".64.jpg"].map(|ending| format!("{id}{ending}"));
        assert_eq!(backend.names(&id).await, stored, "{what}");
        assert_eq!(server.delete(&id).await.status, 204, "{what}");
        for name in &sized {
            assert_eq!(server.get(name).await.status, 404, "{what}");
        }
        assert_eq!(backend.names(&id).await, [""; 0], "{what}");
    }
}

/// Half of the staleness bound; the other half is the cache of nginx.
const GONE_WITHIN: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_picture_deleted_at_one_replica_is_gone_at_the_others() {
    for backend in Backend::both().await {
        let replicas = [MediaServer::start(&backend.settings()).await, MediaServer::start(&backend.settings()).await];
        let (id, what) = (image_id(), backend.name());
        let name = format!("{id}.jpg");
        assert_eq!(replicas[0].put(&id, &jpeg()).await.status, 201, "{what}");
        for replica in &replicas {
            assert_eq!(replica.get(&name).await.status, 200, "{what}");
        }
        assert_eq!(replicas[0].delete(&id).await.status, 204, "{what}");
        assert_eq!(replicas[0].get(&name).await.status, 404, "{what}");
        wait_until(what, GONE_WITHIN, async || replicas[1].get(&name).await.status == 404).await;
    }
}

#[tokio::test]
async fn invalid_settings_are_reported_by_name_and_without_secrets() {
    let server = S3Server::start().await;
    let valid = server.settings();
    for (name, value, message) in [
        ("STORAGE_URL", "s3://no-such-bucket", "can't write to the bucket no-such-bucket (not found)"),
        ("STORAGE_URL", "s3://key:secret@pictures", "STORAGE_URL is not of that form"),
        ("S3_ENDPOINT", "ftp://127.0.0.1", "S3_ENDPOINT is \"ftp://127.0.0.1\"; it may be https://HOST:PORT"),
        ("S3_ENDPOINT", "http://127.0.0.1:1", "Connection refused"),
        ("S3_SECRET_KEY_FILE", "/nowhere", "S3_SECRET_KEY_FILE: can't use /nowhere"),
        ("S3_CA_FILE", "/dev/null", "S3_CA_FILE: can't use /dev/null: no certificate in it"),
        ("S3_PATH_STYLE", "maybe", "S3_PATH_STYLE is \"maybe\"; it may be true or false"),
    ] {
        let mut settings = valid.clone();
        settings.extend([(name, value.to_owned()), ("STORAGE_TIMEOUT_SECONDS", "2".to_owned())]);
        let output = MediaServer::check(&settings);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success() && text.contains(message), "{name}={value}: {text}");
        assert!(!text.contains("a secret of the tests") && !text.contains("key:secret"), "{text}");
    }
}
