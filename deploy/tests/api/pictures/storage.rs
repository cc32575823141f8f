//! What holds of both storages, a directory and a bucket: media-server by itself. `deploy/test` runs what is over the
//! front door, [`crate::pictures::delivery`], on both, too.

use std::time::Duration;

use image::ImageFormat;
use shared::media_api::{ImageId, StoredPage};
use shared::random::Random;

use crate::support::{MediaServer, S3Server, Scratch, drawn, jpeg, photographs, send, until};

/// Where pictures lie; it goes with the test.
enum Place {
    Directory(Scratch),
    Bucket(S3Server),
}

impl Place {
    async fn both() -> [Self; 2] {
        [Self::Directory(Scratch::new()), Self::Bucket(S3Server::start().await)]
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Directory(_) => "a directory",
            Self::Bucket(_) => "a bucket",
        }
    }

    /// The names of all that is stored of a picture, in order.
    async fn names(&self, id: &str) -> Vec<String> {
        let mut names = match self {
            Self::Directory(directory) => match std::fs::read_dir(directory.path().join(&id[..3])) {
                Ok(entries) => entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect(),
                Err(_) => Vec::new(),
            },
            Self::Bucket(server) => server.names().await,
        };
        names.retain(|name| name.starts_with(id));
        names.sort();
        names
    }

    fn settings(&self) -> Vec<(String, String)> {
        match self {
            Self::Directory(directory) => vec![("STORAGE_URL".to_owned(), format!("file://{}", directory.text()))],
            Self::Bucket(server) => server.settings_by_way_of(server.port),
        }
    }
}

fn id() -> String {
    ImageId::new(&Random::system()).hex()
}

#[tokio::test]
async fn an_id_holds_one_picture_and_the_same_one_again_is_no_fault() {
    for place in Place::both().await {
        let (server, what, id) = (MediaServer::start(&place.settings()).await, place.name(), id());
        let (picture, other) = (jpeg(), drawn(ImageFormat::Png, 20, 20));
        assert_eq!(server.put(&id, &picture).await.status, 201, "{what}");
        assert_eq!(server.put(&id, &picture).await.status, 200, "{what}");
        assert_eq!(server.put(&id, &other).await.status, 409, "{what}");
        let answer = server.get(&format!("{id}.jpg")).await;
        assert_eq!(answer.status, 200, "{what}");
        assert_eq!(server.get(&format!("{id}.png")).await.status, 404, "{what}");
        for _ in 0..2 {
            assert_eq!(server.delete(&id).await.status, 204, "{what}");
            assert_eq!(server.get(&format!("{id}.jpg")).await.status, 404, "{what}");
        }
        assert!(!server.log().contains(&id), "{what}: a picture's id is logged");
    }
}

#[tokio::test]
async fn a_large_picture_is_given_whole_and_in_parts() {
    let (_, picture) = photographs().into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    for place in Place::both().await {
        let (server, what, id) = (MediaServer::start(&place.settings()).await, place.name(), id());
        assert_eq!(server.put(&id, &picture).await.status, 201, "{what}");
        let extension = if picture.starts_with(b"\x89PNG") { "png" } else { "jpg" };
        let name = format!("{id}.{extension}");
        let whole = server.get(&name).await.bytes;
        assert!(whole.len() > 1024 * 1024, "{what}: {} bytes", whole.len());
        assert_eq!(server.put(&id, &picture).await.status, 200, "{what}");
        for range in [0..=9, 65_535..=65_536, 70_000..=whole.len() - 1, 0..=whole.len() - 1] {
            let request = server.delivering.request("GET", &format!("/api/user/media/{name}"));
            let bytes = format!("bytes={}-{}", range.start(), range.end());
            let answer = send(request.header("range", bytes)).await;
            assert_eq!(answer.status, 206, "{what} {range:?}");
            assert!(answer.bytes == whole[range.clone()], "{what} {range:?}");
        }
    }
}

#[tokio::test]
async fn what_is_stored_is_listed_page_by_page() {
    for place in Place::both().await {
        let (server, what) = (MediaServer::start(&place.settings()).await, place.name());
        let mut ids: Vec<String> = (0..7).map(|_| id()).collect();
        for id in &ids {
            assert_eq!(server.put(id, &jpeg()).await.status, 201, "{what}");
        }
        let deleted = ids.pop().unwrap();
        assert_eq!(server.delete(&deleted).await.status, 204, "{what}");
        ids.sort();
        for limit in [2, 1000] {
            let (mut listed, mut query) = (Vec::new(), format!("limit={limit}"));
            loop {
                let answer = server.list(&query).await;
                let page: StoredPage = serde_json::from_slice(&answer.bytes).unwrap();
                assert!(answer.status == 200 && page.images.len() <= limit, "{what}: {}", answer.status);
                assert!(page.images.iter().all(|image| image.stored_at > 0), "{what}");
                // A rendition that was being made of the deleted one may be there for a moment.
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
async fn renditions_go_with_their_picture() {
    for place in Place::both().await {
        let (server, what, id) = (MediaServer::start(&place.settings()).await, place.name(), id());
        assert_eq!(server.put(&id, &drawn(ImageFormat::Jpeg, 600, 600)).await.status, 201, "{what}");
        let sized = [64, 128, 256, 512].map(|size| format!("{id}.jpg?size={size}"));
        for name in &sized {
            assert_eq!(server.get(name).await.status, 200, "{what}");
        }
        let stored = ["", ".128.jpg", ".256.jpg", ".512.jpg", ".64.jpg"].map(|ending| format!("{id}{ending}"));
        assert_eq!(place.names(&id).await, stored, "{what}");
        assert_eq!(server.delete(&id).await.status, 204, "{what}");
        for name in &sized {
            assert_eq!(server.get(name).await.status, 404, "{what}");
        }
        assert_eq!(place.names(&id).await, [""; 0], "{what}");
    }
}

/// The rest of two seconds is nginx's.
const GONE_WITHIN: Duration = Duration::from_secs(1);

#[tokio::test]
async fn what_one_replica_deletes_is_gone_at_the_others() {
    for place in Place::both().await {
        let replicas = [MediaServer::start(&place.settings()).await, MediaServer::start(&place.settings()).await];
        let (id, what) = (id(), place.name());
        let name = format!("{id}.jpg");
        assert_eq!(replicas[0].put(&id, &jpeg()).await.status, 201, "{what}");
        for replica in &replicas {
            assert_eq!(replica.get(&name).await.status, 200, "{what}");
        }
        assert_eq!(replicas[0].delete(&id).await.status, 204, "{what}");
        assert_eq!(replicas[0].get(&name).await.status, 404, "{what}");
        until(what, GONE_WITHIN, async || replicas[1].get(&name).await.status == 404).await;
    }
}

#[tokio::test]
async fn settings_that_are_wrong_are_said_in_one_line() {
    let server = S3Server::start().await;
    let right = server.settings_by_way_of(server.port);
    for (name, value, said) in [
        ("STORAGE_URL", "s3://no-such-bucket", "can't write to the bucket no-such-bucket (not found)"),
        ("STORAGE_URL", "s3://key:secret@pictures", "STORAGE_URL is not of that form"),
        ("S3_ENDPOINT", "ftp://127.0.0.1", "S3_ENDPOINT is \"ftp://127.0.0.1\"; it may be https://HOST:PORT"),
        ("S3_ENDPOINT", "http://127.0.0.1:1", "Connection refused"),
        ("S3_SECRET_KEY_FILE", "/nowhere", "S3_SECRET_KEY_FILE: can't use /nowhere"),
        ("S3_CA_FILE", "/dev/null", "S3_CA_FILE: can't use /dev/null: no certificate in it"),
        ("S3_PATH_STYLE", "maybe", "S3_PATH_STYLE is \"maybe\"; it may be true or false"),
    ] {
        let mut settings = right.clone();
        settings.extend([(name.to_owned(), value.to_owned()), ("STORAGE_TIMEOUT_SECONDS".to_owned(), "2".to_owned())]);
        let output = MediaServer::check(&settings);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success() && text.contains(said), "{name}={value}: {text}");
        assert!(!text.contains("a secret of the tests") && !text.contains("key:secret"), "{text}");
    }
}
