//! `GET /api/user/media/<image_name>?size=N`.

use std::path::Path;
use std::time::Duration;

use deploy::Service;
use futures_util::future::join_all;
use image::{ImageFormat, Rgba, RgbaImage};
use serde_json::json;

use super::{both_ways, direct, link_of};
use crate::support::{
    Api, MediaServer, OwnStack, Scratch, TestUser, drawn, encoded, image_id, jpeg, pixels, wait_until,
};

const MIB: u64 = 1024 * 1024;

const DONE_WITHIN: Duration = Duration::from_secs(10);

/// The default of `RENDITION_SIZES`.
const SIZES: [u32; 4] = [64, 128, 256, 512];

/// A picture of few colors: as lossless WebP it is smaller than as PNG or JPEG.
fn diagram(alpha: u8) -> Vec<u8> {
    let picture = RgbaImage::from_fn(600, 400, |x, y| {
        let is_inside = x.abs_diff(300).pow(2) + y.abs_diff(200).pow(2) < 30_000;
        Rgba(if is_inside { [220, 30, 30, 255] } else { [255, 255, 255, alpha] })
    });
    encoded(ImageFormat::Png, picture)
}

#[tokio::test]
async fn a_rendition_is_a_square_no_larger_than_the_picture() {
    for (format, width, height) in [
        (ImageFormat::Jpeg, 700, 900),
        (ImageFormat::Png, 300, 200),
        (ImageFormat::Gif, 70, 50),
        (ImageFormat::WebP, 600, 600),
    ] {
        let link = link_of(&drawn(format, width, height)).await;
        for size in SIZES {
            let side = size.min(width).min(height);
            let response = Api::new().get(&format!("{link}?size={size}&v=1")).await;
            assert_eq!((response.status, response.header("content-type")), (200, "image/jpeg"), "{format:?} {size}");
            let rendition = pixels(&response.bytes);
            assert_eq!((rendition.width(), rendition.height()), (side, side), "{format:?} {size}");
        }
        assert_eq!(Api::new().get(&format!("{link}?v=1")).await.bytes, Api::new().get(&link).await.bytes);
    }
}

#[tokio::test]
async fn an_unknown_size_is_400_and_an_unknown_picture_404() {
    let link = link_of(&jpeg()).await;
    for link in both_ways(&link) {
        for query in [
            "size=65",
            "size=",
            "size",
            "size=064",
            "size=64.0",
            "size=-64",
            "size=abc",
            "size=64&size=64",
            "size=99999999999999999999",
        ] {
            let response = Api::new().get(&format!("{link}?{query}")).await;
            response.expect(400, &json!({ "detail": "size must be given once, and be one of 64, 128, 256, 512." }));
        }
    }
    for link in both_ways("/api/user/media/0123456789abcdef0123456789abcdef.jpg?size=64") {
        Api::new().get(&link).await.expect(404, &json!({ "detail": "Not found." }));
    }
}

#[tokio::test]
async fn a_rendition_has_its_own_validators_and_the_headers_of_a_picture() {
    let link = link_of(&jpeg()).await;
    for link in both_ways(&link) {
        let mut tags = vec![Api::new().get(&link).await.header("etag").to_owned()];
        for size in [64, 128] {
            let link = format!("{link}?size={size}");
            let response = Api::new().get(&link).await;
            for (name, value) in [
                ("vary", "accept"),
                ("x-content-type-options", "nosniff"),
                ("accept-ranges", "bytes"),
                ("content-security-policy", "default-src 'none'; sandbox"),
            ] {
                assert_eq!(response.header(name), value, "{name}");
            }
            assert!(
                response.header("cache-control").contains("no-cache") && !response.header("last-modified").is_empty()
            );
            let etag = response.header("etag");
            assert!(!tags.iter().any(|tag| tag == etag), "{etag}");
            tags.push(etag.to_owned());
            let known = Api::new().get_with(&link, &[("if-none-match", etag)]).await;
            assert_eq!((known.status, known.header("etag"), known.header("vary")), (304, etag, "accept"));
            let part = Api::new().get_with(&link, &[("range", "bytes=2-9")]).await;
            assert_eq!((part.status, part.bytes.as_slice()), (206, &response.bytes[2..10]));
            let head = Api::new().head(&link).await;
            assert_eq!((head.status, head.header("etag"), head.bytes.len()), (200, etag, 0));
            assert_eq!(head.header("content-length"), response.bytes.len().to_string());
        }
        let other = Api::new().get_with(&format!("{link}?size=64"), &[("if-none-match", &tags[0])]).await;
        assert_eq!(other.status, 200);
    }
}

#[tokio::test]
async fn webp_is_delivered_to_clients_that_accept_it_if_it_is_smaller() {
    const BROWSER: &str = "image/avif,image/webp,image/apng,image/*;q=0.8,*/*;q=0.5";
    let refusing = ["", "*/*", "image/*", "image/png,image/webp;q=0", "text/html"];
    let accepting = [BROWSER, "image/webp", "IMAGE/WEBP", "text/html, image/webp;q=0.3"];
    for (alpha, content_type) in [(255, "image/jpeg"), (0, "image/png")] {
        // Either format may be requested first.
        for webp_first in [false, true] {
            let link = link_of(&diagram(alpha)).await;
            for link in both_ways(&format!("{link}?size=128")) {
                let assert_type = async |accepts: &[&str], expected: &str| {
                    for accept in accepts {
                        let response = Api::new().get_with(&link, &[("accept", accept)]).await;
                        assert_eq!(
                            (response.header("content-type"), response.header("vary")),
                            (expected, "accept"),
                            "{accept}"
                        );
                        assert_eq!(pixels(&response.bytes).width(), 128);
                    }
                };
                if webp_first {
                    assert_type(&accepting, "image/webp").await;
                }
                assert_type(&refusing, content_type).await;
                assert_type(&accepting, "image/webp").await;
            }
        }
    }
    let photograph = link_of(&drawn(ImageFormat::Jpeg, 300, 300)).await;
    let response = Api::new().get_with(&format!("{photograph}?size=256"), &[("accept", BROWSER)]).await;
    assert_eq!((response.status, response.header("content-type")), (200, "image/jpeg"));
}

/// Many pixels in few bytes.
fn plain(width: u32, height: u32) -> Vec<u8> {
    encoded(ImageFormat::Png, RgbaImage::from_pixel(width, height, Rgba([90, 120, 200, 255])))
}

#[tokio::test]
async fn a_picture_whose_rendition_exceeds_the_memory_limit_is_422() {
    let directory = Scratch::new();
    let settings =
        [("STORAGE_URL", format!("file://{}", directory.text())), ("DECODE_MEMORY_BYTES", (32 * MIB).to_string())];
    let server = MediaServer::start(&settings).await;
    // A rendition takes four bytes per pixel; an upload is decoded in rows.
    for (width, height, status) in [(3000, 3000, 422), (2000, 2000, 201)] {
        let (id, picture) = (image_id(), plain(width, height));
        assert_eq!(server.put(&id, &picture).await.status, status, "{width}");
        for size in [256, 512, 256] {
            let expected = if status == 201 { 200 } else { 404 };
            assert_eq!(server.get(&format!("{id}.png?size={size}")).await.status, expected, "{width} {size}");
        }
    }
}

/// The stored files of a picture: what follows the id in their names.
fn stored(pictures: &Path, link: &str) -> Vec<String> {
    let (id, _) = link.rsplit('/').next().unwrap().split_once('.').unwrap();
    let entries = std::fs::read_dir(pictures.join(&id[..3])).unwrap().map(|entry| entry.unwrap().file_name());
    let mut endings: Vec<String> =
        entries.filter_map(|name| Some(name.to_str()?.strip_prefix(id)?.to_owned())).collect();
    endings.sort();
    endings
}

#[tokio::test(flavor = "multi_thread")]
async fn renditions_are_deleted_with_their_picture() {
    let stack = OwnStack::start(&[]);
    let (api, pictures) = (&stack.api, stack.data.join("pictures"));
    let user = TestUser::with_picture(api, &drawn(ImageFormat::Jpeg, 600, 600)).await;
    let link = user.picture().await.unwrap();
    let largest = || stored(&pictures, &link) == ["", ".512.jpg"];
    wait_until("the largest is pregenerated", DONE_WITHIN, async || largest()).await;
    let sized = SIZES.map(|size| format!("{link}?size={size}"));
    for link in &sized {
        assert_eq!(api.get(link).await.status, 200);
    }
    assert_eq!(stored(&pictures, &link), ["", ".128.jpg", ".256.jpg", ".512.jpg", ".64.jpg"]);
    user.update(&json!({ "profile_pic": null })).await.expect_status(200);
    wait_until("all files are deleted", DONE_WITHIN, async || stored(&pictures, &link).is_empty()).await;
    for link in &sized {
        assert_eq!(api.get(&direct(&stack.env().media_server, link)).await.status, 404);
        let is_gone = async || api.get(link).await.status == 404;
        wait_until("it expires in nginx", Duration::from_millis(2500), is_gone).await;
    }
    assert!(stored(&pictures, &link).is_empty(), "no rendition is made of a deleted picture");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_concurrent_requests_share_one_decode() {
    let stack = OwnStack::start(&[("LOG_LEVEL", "debug")]);
    // The largest is being pregenerated meanwhile.
    let link = TestUser::with_picture(&stack.api, &drawn(ImageFormat::Png, 2000, 1500)).await.picture().await.unwrap();
    let direct = direct(&stack.env().media_server, &format!("{link}?size=256"));
    let responses = join_all((0..100).map(|_| stack.api.get(&direct))).await;
    assert!(responses.iter().all(|response| response.status == 200 && response.bytes == responses[0].bytes));
    let made = |size: u32| {
        let log = stack.log(Service::MediaServer, usize::MAX);
        log.lines().filter(|line| line.contains("rendition made") && line.contains(&format!("\"size\":{size}"))).count()
    };
    assert_eq!((made(512), made(256)), (1, 1), "the pregenerated one and the requested one");
}
