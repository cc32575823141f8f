//! The S3 server is slow, answers 500, cuts in the middle, or is away.

use std::time::Duration;

use deploy::{Options, Stack};
use image::ImageFormat;
use serde_json::Value;

use crate::support::{
    Answer, Api, Fault, Form, MediaServer, Person, Proxy, S3Server, drawn, is_back, is_unavailable, jpeg, photographs,
    postgres, until, within_deadline,
};

/// An upload that failed is swept soon.
const SETTINGS: [(&str, &str); 5] = [
    ("STORAGE_TIMEOUT_SECONDS", "1"),
    ("MEDIA_TIMEOUT_SECONDS", "2"),
    ("STORE_TIMEOUT_SECONDS", "1"),
    ("UPLOAD_GRACE_SECONDS", "6"),
    ("SWEEP_INTERVAL_SECONDS", "1"),
];

/// The grace, a sweep after it, and the pause after a delete that failed.
const SWEPT_WITHIN: Duration = Duration::from_secs(45);

const FAULTS: [Fault; 4] = [Fault::Away, Fault::Silence, Fault::Error500, Fault::CutAfter(50)];

async fn upload(person: &Person, picture: &[u8]) -> Answer {
    let form = Form::new().file("profile_pic", "a.png", "image/png", picture);
    person.api.put_form("/api/user/update/", &person.access, form).await
}

fn link(user: &Value) -> &str {
    user["profile_pic"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_bucket_an_upload_is_503_and_changes_nothing_and_all_is_in_order_after() {
    let server = S3Server::start().await;
    let proxy = Proxy::to(server.port).await;
    let mut options = Options::scratch().unwrap();
    options.environment.extend(server.settings_by_way_of(proxy.port));
    for (name, value) in SETTINGS {
        options = options.with(name, value);
    }
    let stack = Stack::start(options).unwrap();
    let person = Person::with_picture(&Api::at(&stack.env().base), &jpeg()).await;
    let media_server = Api::at(&stack.env().media_server);
    let before = person.me().await.json();
    let path = link(&before)[link(&before).find("/api/").unwrap()..].to_owned();
    let stored = media_server.get(&path).await.bytes;
    for fault in FAULTS {
        let what = format!("{fault:?}");
        proxy.fail(fault);
        let answer = within_deadline(&what, upload(&person, &drawn(ImageFormat::Png, 30, 30))).await;
        is_unavailable(&what, &answer);
        person.me().await.expect(200, &before);
        // From memory it may be had for half a second.
        let answer = within_deadline(&what, media_server.get(&path)).await;
        assert!(answer.status == 503 || (answer.status == 200 && answer.bytes == stored), "{what}: {}", answer.status);
        assert_eq!(within_deadline(&what, media_server.get("/readyz")).await.status, 503, "{what}");
        proxy.fail(Fault::None);
        is_back(&what, async || media_server.get(&path).await.status).await;
        assert!(media_server.get(&path).await.bytes == stored, "{what}");
    }
    let after = upload(&person, &drawn(ImageFormat::Png, 40, 40)).await.expect_status(200).json();
    let owned = postgres(stack.env(), "select split_part(profile_pic, '.', 1) from users");
    assert!(link(&after).contains(&owned));
    // The picture, and renditions of it.
    let only_owned = async || {
        let names = server.names().await;
        names.contains(&owned) && names.iter().all(|name| name.split('.').next() == Some(owned.as_str()))
    };
    until("what failed is swept", SWEPT_WITHIN, only_owned).await;
    stack.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_is_cut_short_on_its_way_is_never_given_as_if_it_were_whole() {
    let server = S3Server::start().await;
    let proxy = Proxy::to(server.port).await;
    let mut settings = server.settings_by_way_of(proxy.port);
    settings.push(("STORAGE_TIMEOUT_SECONDS".to_owned(), "1".to_owned()));
    let media_server = MediaServer::start(&settings).await;
    let (_, picture) = photographs().into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let id = "0123456789abcdef0123456789abcdef";
    assert_eq!(media_server.put(id, &picture).await.status, 201);
    let path = format!("/api/user/media/{id}.{}", if picture.starts_with(b"\x89PNG") { "png" } else { "jpg" });
    let whole = media_server.delivering.get(&path).await.bytes;
    let mut cut = 0;
    for bytes in [100, 1_000, 30_000, 66_000, 100_000, 500_000, whole.len()] {
        proxy.fail(Fault::CutAfter(bytes));
        let answer = media_server.delivering.request("GET", &path).send().await.unwrap();
        if answer.status() == 200 {
            match answer.bytes().await {
                Ok(body) => assert!(body == whole, "cut after {bytes}"),
                Err(_) => cut += 1,
            }
        } else {
            assert_eq!(answer.status(), 503, "cut after {bytes}");
            cut += 1;
        }
    }
    assert!(cut > 0, "nothing was cut");
    proxy.fail(Fault::None);
    assert!(media_server.delivering.get(&path).await.bytes == whole);
    assert!(!media_server.log().contains(id), "a picture's id is logged");
}

/// Whoever reads a picture gets it as it comes; a rendition takes memory, and a place among few, while it waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_trickles_in_is_given_and_no_rendition_waits_for_it() {
    let server = S3Server::start().await;
    let proxy = Proxy::to(server.port).await;
    // It takes longer than an operation may, and no longer than this test should.
    let large = photographs().into_iter().map(|(_, bytes)| bytes).filter(|bytes| bytes.len() > 1024 * 1024);
    let picture = large.min_by_key(Vec::len).unwrap();
    let id = "0123456789abcdef0123456789abcdef";
    let mut settings = server.settings_by_way_of(server.port);
    settings.push(("RENDITION_SIZES".to_owned(), "64".to_owned()));
    let writer = MediaServer::start(&settings).await;
    assert_eq!(writer.put(id, &picture).await.status, 201);

    // Another replica knows of other sizes, and has nothing in memory.
    let mut settings = server.settings_by_way_of(proxy.port);
    settings.push(("STORAGE_TIMEOUT_SECONDS".to_owned(), "3".to_owned()));
    let reader = MediaServer::start(&settings).await;
    let path = format!("/api/user/media/{id}.{}", if picture.starts_with(b"\x89PNG") { "png" } else { "jpg" });
    proxy.fail(Fault::Trickle);
    let rendition = format!("{path}?size=512");
    let (whole, unmade) = tokio::join!(reader.delivering.get(&path), reader.delivering.get(&rendition));
    assert_eq!((whole.status, whole.bytes), (200, writer.delivering.get(&path).await.bytes));
    is_unavailable("a rendition", &unmade);
    proxy.fail(Fault::None);
    is_back("a rendition", async || reader.delivering.get(&rendition).await.status).await;
}
