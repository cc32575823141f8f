//! The S3 server is slow, fails with 500, cuts connections, or is down.

use std::time::Duration;

use deploy::Options;
use image::ImageFormat;
use serde_json::Value;

use crate::support::{
    Api, Fault, MediaServer, OwnStack, Proxy, S3Server, TestUser, assert_unavailable, drawn, extension_of, image_id,
    jpeg, largest_photograph, path_of, photographs, postgres, wait_until, wait_until_ok, within_deadline,
};

/// Short timeouts, and a short time until a failed upload is deleted.
const SETTINGS: [(&str, &str); 5] = [
    ("STORAGE_TIMEOUT_SECONDS", "1"),
    ("MEDIA_TIMEOUT_SECONDS", "2"),
    ("STORE_TIMEOUT_SECONDS", "1"),
    ("UPLOAD_GRACE_SECONDS", "6"),
    ("SWEEP_INTERVAL_SECONDS", "1"),
];

/// The grace period, a sweep after it, and the pause after a failed deletion.
const DELETED_WITHIN: Duration = Duration::from_secs(45);

const FAULTS: [Fault; 4] = [Fault::Disconnect, Fault::Blackhole, Fault::Error500, Fault::CutAfter(50)];

fn link(user: &Value) -> &str {
    user["profile_pic"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bucket_outage_makes_uploads_503_changes_nothing_and_recovers() {
    let server = S3Server::start().await;
    let proxy = Proxy::to(server.port).await;
    let settings = server.settings_via(proxy.port);
    let options = Options::scratch().unwrap();
    let options = settings.iter().fold(options, |options, (name, value)| options.with(name, value));
    let stack = OwnStack::start_with(options, &SETTINGS);
    let user = TestUser::with_picture(&stack.api, &jpeg()).await;
    let media_server = Api::at(&stack.env().media_server);
    let before = user.me().await.json();
    let path = path_of(link(&before));
    let stored = media_server.get(path).await.bytes;
    for fault in FAULTS {
        let what = format!("{fault:?}");
        proxy.set(fault);
        let upload = within_deadline(&what, user.upload(&drawn(ImageFormat::Png, 30, 30))).await;
        assert_unavailable(&what, &upload);
        user.me().await.expect(200, &before);
        // Cached for half a second.
        let get = within_deadline(&what, media_server.get(path)).await;
        assert!(get.status == 503 || (get.status == 200 && get.bytes == stored), "{what}: {}", get.status);
        assert_eq!(within_deadline(&what, media_server.get("/readyz")).await.status, 503, "{what}");
        proxy.set(Fault::None);
        wait_until_ok(&what, async || media_server.get(path).await.status).await;
        assert!(media_server.get(path).await.bytes == stored, "{what}");
    }
    let after = user.upload(&drawn(ImageFormat::Png, 40, 40)).await.expect_status(200).json();
    let owned = postgres(stack.env(), "select split_part(profile_pic, '.', 1) from users");
    assert!(link(&after).contains(&owned));
    let has_only_owned = async || {
        let names = server.names().await;
        names.contains(&owned) && names.iter().all(|name| name.split('.').next() == Some(owned.as_str()))
    };
    wait_until("failed uploads are deleted", DELETED_WITHIN, has_only_owned).await;
}

fn with_timeout(mut settings: Vec<(&'static str, String)>, seconds: u32) -> Vec<(&'static str, String)> {
    settings.push(("STORAGE_TIMEOUT_SECONDS", seconds.to_string()));
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_read_is_never_delivered_as_a_complete_picture() {
    let server = S3Server::start().await;
    let proxy = Proxy::to(server.port).await;
    let media_server = MediaServer::start(&with_timeout(server.settings_via(proxy.port), 1)).await;
    let (picture, id) = (largest_photograph(), image_id());
    assert_eq!(media_server.put(&id, &picture).await.status, 201);
    let path = format!("/api/user/media/{id}.{}", extension_of(&picture));
    let whole = media_server.public_api.get(&path).await.bytes;
    let mut cut = 0;
    for bytes in [100, 1_000, 30_000, 66_000, 100_000, 500_000, whole.len()] {
        proxy.set(Fault::CutAfter(bytes));
        let response = media_server.public_api.request("GET", &path).send().await.unwrap();
        if response.status() == 200 {
            match response.bytes().await {
                Ok(body) => assert!(body == whole, "cut after {bytes}"),
                Err(_) => cut += 1,
            }
        } else {
            assert_eq!(response.status(), 503, "cut after {bytes}");
            cut += 1;
        }
    }
    assert!(cut > 0, "no read was truncated");
    proxy.set(Fault::None);
    assert!(media_server.public_api.get(&path).await.bytes == whole);
    assert!(!media_server.log().contains(&id), "the picture id is logged");
}

/// An original is streamed; a rendition needs memory and a permit while it waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_read_streams_the_original_and_times_out_for_a_rendition() {
    let server = S3Server::start().await;
    let proxy = Proxy::to(server.port).await;
    // Large enough that the slow read exceeds the timeout of an operation.
    let large = photographs().into_iter().map(|(_, bytes)| bytes).filter(|bytes| bytes.len() > 1024 * 1024);
    let (picture, id) = (large.min_by_key(Vec::len).unwrap(), image_id());
    let mut settings = server.settings();
    settings.push(("RENDITION_SIZES", "64".to_owned()));
    let writer = MediaServer::start(&settings).await;
    assert_eq!(writer.put(&id, &picture).await.status, 201);

    // A replica with an empty cache, and a size that is not stored.
    let reader = MediaServer::start(&with_timeout(server.settings_via(proxy.port), 3)).await;
    let path = format!("/api/user/media/{id}.{}", extension_of(&picture));
    proxy.set(Fault::Slow);
    let rendition = format!("{path}?size=512");
    let (whole, unavailable) = tokio::join!(reader.public_api.get(&path), reader.public_api.get(&rendition));
    assert_eq!((whole.status, whole.bytes), (200, writer.public_api.get(&path).await.bytes));
    assert_unavailable("a rendition", &unavailable);
    proxy.set(Fault::None);
    wait_until_ok("a rendition", async || reader.public_api.get(&rendition).await.status).await;
}
