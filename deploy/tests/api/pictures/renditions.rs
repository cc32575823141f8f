//! `GET /api/user/media/<image_name>?size=N`.

use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use deploy::{Options, Part, Stack};
use futures_util::future::join_all;
use image::{ImageFormat, Rgba, RgbaImage};
use serde_json::json;
use shared::media_api::ImageId;
use shared::random::Random;

use crate::support::{Answer, Api, MediaServer, Person, Scratch, drawn, jpeg, send, stack, until};

const MIB: u64 = 1024 * 1024;

/// The default sizes.
const SIZES: [u32; 4] = [64, 128, 256, 512];

async fn picture_of(bytes: &[u8]) -> String {
    Person::with_picture(&Api::new(), bytes).await.picture().await.unwrap()
}

/// The same picture through nginx and from media-server itself.
fn both_ways(link: &str) -> [String; 2] {
    [link.to_owned(), directly(&stack().media_server, link)]
}

/// The same link at media-server itself.
fn directly(media_server: &str, link: &str) -> String {
    format!("{media_server}{}", &link[link.find("/api/").unwrap()..])
}

async fn get_with(link: &str, headers: &[(&str, &str)]) -> Answer {
    let request = Api::new().request("GET", link);
    send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

/// A picture of few colours, of which lossless WebP is smaller than PNG and JPEG.
fn diagram(alpha: u8) -> Vec<u8> {
    let picture = RgbaImage::from_fn(600, 400, |x, y| {
        if (x / 40 + y / 40) % 2 == 0 { Rgba([220, 30, 30, 255]) } else { Rgba([255, 255, 255, alpha]) }
    });
    png(&picture)
}

fn png(picture: &RgbaImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[tokio::test]
async fn each_size_is_a_square_no_larger_than_the_picture() {
    for (format, width, height) in [
        (ImageFormat::Jpeg, 700, 900),
        (ImageFormat::Png, 300, 200),
        (ImageFormat::Gif, 70, 50),
        (ImageFormat::WebP, 600, 600),
    ] {
        let link = picture_of(&drawn(format, width, height)).await;
        for size in SIZES {
            let side = size.min(width).min(height);
            let answer = Api::new().get(&format!("{link}?size={size}&v=1")).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, "image/jpeg"), "{format:?} {size}");
            let rendition = image::load_from_memory(&answer.bytes).unwrap();
            assert_eq!((rendition.width(), rendition.height()), (side, side), "{format:?} {size}");
        }
        assert_eq!(Api::new().get(&format!("{link}?v=1")).await.bytes, Api::new().get(&link).await.bytes);
    }
}

#[tokio::test]
async fn another_size_is_refused_and_a_name_that_is_none_is_not_found() {
    let link = picture_of(&jpeg()).await;
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
            let answer = Api::new().get(&format!("{link}?{query}")).await;
            answer.expect(400, &json!({ "detail": "size must be given once, and be one of 64, 128, 256, 512." }));
        }
    }
    for link in both_ways("/api/user/media/0123456789abcdef0123456789abcdef.jpg?size=64") {
        Api::new().get(&link).await.expect(404, &json!({ "detail": "Not found." }));
    }
}

#[tokio::test]
async fn a_rendition_has_validators_of_its_own_and_the_headers_of_a_picture() {
    let link = picture_of(&jpeg()).await;
    for link in both_ways(&link) {
        let mut tags = vec![Api::new().get(&link).await.header("etag").to_owned()];
        for size in [64, 128] {
            let link = format!("{link}?size={size}");
            let answer = Api::new().get(&link).await;
            for (name, value) in [
                ("vary", "accept"),
                ("x-content-type-options", "nosniff"),
                ("accept-ranges", "bytes"),
                ("content-security-policy", "default-src 'none'; sandbox"),
            ] {
                assert_eq!(answer.header(name), value, "{name}");
            }
            assert!(answer.header("cache-control").contains("no-cache") && !answer.header("last-modified").is_empty());
            let etag = answer.header("etag");
            assert!(!tags.iter().any(|tag| tag == etag), "{etag}");
            tags.push(etag.to_owned());
            let known = get_with(&link, &[("if-none-match", etag)]).await;
            assert_eq!((known.status, known.header("etag"), known.header("vary")), (304, etag, "accept"));
            let part = get_with(&link, &[("range", "bytes=2-9")]).await;
            assert_eq!((part.status, part.bytes.as_slice()), (206, &answer.bytes[2..10]));
            let head = send(Api::new().request("HEAD", &link)).await;
            assert_eq!((head.status, head.header("etag"), head.bytes.len()), (200, etag, 0));
            assert_eq!(head.header("content-length"), answer.bytes.len().to_string());
        }
        assert_eq!(get_with(&format!("{link}?size=64"), &[("if-none-match", &tags[0])]).await.status, 200);
    }
}

#[tokio::test]
async fn who_takes_webp_gets_it_where_it_is_smaller_and_nobody_else_does() {
    const BROWSER: &str = "image/avif,image/webp,image/apng,image/*;q=0.8,*/*;q=0.5";
    let plain = ["", "*/*", "image/*", "image/png,image/webp;q=0", "text/html"];
    let takers = [BROWSER, "image/webp", "IMAGE/WEBP", "text/html, image/webp;q=0.3"];
    for (alpha, content_type) in [(255, "image/jpeg"), (0, "image/png")] {
        // Either is asked for first, on a picture of its own.
        for first_takes in [false, true] {
            let link = picture_of(&diagram(alpha)).await;
            for link in both_ways(&format!("{link}?size=128")) {
                let ask = async |accepts: &[&str], expected: &str| {
                    for accept in accepts {
                        let answer = get_with(&link, &[("accept", accept)]).await;
                        assert_eq!(
                            (answer.header("content-type"), answer.header("vary")),
                            (expected, "accept"),
                            "{accept}"
                        );
                        assert_eq!(image::load_from_memory(&answer.bytes).unwrap().width(), 128);
                    }
                };
                if first_takes {
                    ask(&takers, "image/webp").await;
                }
                ask(&plain, content_type).await;
                ask(&takers, "image/webp").await;
            }
        }
    }
    let photograph = picture_of(&drawn(ImageFormat::Jpeg, 300, 300)).await;
    let answer = get_with(&format!("{photograph}?size=256"), &[("accept", BROWSER)]).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "image/jpeg"));
}

/// A large picture in a few bytes.
fn plain(width: u32, height: u32) -> Vec<u8> {
    png(&RgbaImage::from_pixel(width, height, Rgba([90, 120, 200, 255])))
}

#[tokio::test]
async fn a_picture_whose_rendition_takes_too_much_memory_is_refused() {
    let directory = Scratch::new();
    let settings =
        [("STORAGE_URL", format!("file://{}", directory.text())), ("DECODE_MEMORY_BYTES", (32 * MIB).to_string())];
    let server = MediaServer::start(&settings.map(|(name, value)| (name.to_owned(), value))).await;
    // Four bytes a pixel for a rendition; an upload is decoded a few rows at a time.
    for (width, height, status) in [(3000, 3000, 422), (2000, 2000, 201)] {
        let (id, picture) = (ImageId::new(&Random::system()).hex(), plain(width, height));
        assert_eq!(server.put(&id, &picture).await.status, status, "{width}");
        for size in [256, 512, 256] {
            let expected = if status == 201 { 200 } else { 404 };
            assert_eq!(server.get(&format!("{id}.png?size={size}")).await.status, expected, "{width} {size}");
        }
    }
}

/// What is stored of a picture: of each file what its name has after the id.
fn stored(pictures: &Path, link: &str) -> Vec<String> {
    let (id, _) = link.rsplit('/').next().unwrap().split_once('.').unwrap();
    let entries = std::fs::read_dir(pictures.join(&id[..3])).unwrap().map(|entry| entry.unwrap().file_name());
    let mut endings: Vec<String> =
        entries.filter_map(|name| Some(name.to_str()?.strip_prefix(id)?.to_owned())).collect();
    endings.sort();
    endings
}

#[tokio::test(flavor = "multi_thread")]
async fn renditions_go_with_their_picture() {
    let options = Options::scratch().unwrap();
    let pictures = options.data.join("pictures");
    let stack = Stack::start(options).unwrap();
    let api = Api::at(&stack.env().base);
    let person = Person::with_picture(&api, &drawn(ImageFormat::Jpeg, 600, 600)).await;
    let link = person.picture().await.unwrap();
    let largest = || stored(&pictures, &link) == ["", ".512.jpg"];
    until("the largest is made after the upload", Duration::from_secs(5), async || largest()).await;
    let sized = SIZES.map(|size| format!("{link}?size={size}"));
    for link in &sized {
        assert_eq!(api.get(link).await.status, 200);
    }
    assert_eq!(stored(&pictures, &link), ["", ".128.jpg", ".256.jpg", ".512.jpg", ".64.jpg"]);
    person.update(&json!({ "profile_pic": null })).await.expect_status(200);
    until("all is gone", Duration::from_secs(5), async || stored(&pictures, &link).is_empty()).await;
    for link in &sized {
        assert_eq!(api.get(&directly(&stack.env().media_server, link)).await.status, 404);
        let is_gone = async || api.get(link).await.status == 404;
        until("nginx forgets it", Duration::from_millis(2500), is_gone).await;
    }
    assert!(stored(&pictures, &link).is_empty(), "nothing is made of a picture that is gone");
    stack.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_who_ask_at_once_cost_one_decode() {
    let stack = Stack::start(Options::scratch().unwrap().with("LOG_LEVEL", "debug")).unwrap();
    let api = Api::at(&stack.env().base);
    // Its largest is being made when they ask.
    let link = Person::with_picture(&api, &drawn(ImageFormat::Png, 2000, 1500)).await.picture().await.unwrap();
    let direct = directly(&stack.env().media_server, &format!("{link}?size=256"));
    let answers = join_all((0..100).map(|_| {
        tokio::spawn({
            let (api, direct) = (api.clone(), direct.clone());
            async move { api.get(&direct).await }
        })
    }))
    .await;
    let first = answers[0].as_ref().unwrap().bytes.clone();
    assert!(answers.iter().all(|answer| matches!(answer, Ok(answer) if answer.status == 200 && answer.bytes == first)));
    let made = |size: u32| {
        let log = stack.log(Part::MediaServer, usize::MAX);
        log.lines().filter(|line| line.contains("rendition made") && line.contains(&format!("\"size\":{size}"))).count()
    };
    assert_eq!((made(512), made(256)), (1, 1), "the largest of the picture, and the one asked for of it");
    stack.shutdown();
}
