//! `GET /api/user/media/<image_name>`, and pictures from upload to delivery.

use std::time::Duration;

use image::ImageFormat;
use serde_json::json;

use crate::support::{Answer, Api, Form, Person, drawn, jpeg, photographs, send, stack};

/// What a client reads of bytes that are no picture.
pub const NOT_A_PICTURE: &str =
    "Upload a valid image. The file you uploaded was either not an image or a corrupted image.";

async fn get_with(link: &str, name: &str, value: &str) -> Answer {
    send(Api::new().request("GET", link).header(name, value)).await
}

/// The path of a link, for media-server's own address.
fn path_of(link: &str) -> &str {
    &link[link.find("/api/").unwrap()..]
}

#[tokio::test]
async fn real_photographs_are_taken_and_delivered() {
    let person = Person::new().await;
    for (what, bytes) in photographs() {
        let form = Form::new().file("profile_pic", "photo", "application/octet-stream", &bytes);
        let answer = person.api.put_form("/api/user/update/", &person.access, form).await;
        let link = answer.expect_status(200).json()["profile_pic"].as_str().unwrap().to_owned();
        let answer = person.api.get(&link).await;
        let content_type = if bytes.starts_with(b"\x89PNG") { "image/png" } else { "image/jpeg" };
        assert_eq!((answer.status, answer.header("content-type")), (200, content_type), "{what}");
        assert!(answer.bytes == bytes || pixels(&answer.bytes) == pixels(&bytes), "{what}: the pixels changed");
    }
}

fn pixels(bytes: &[u8]) -> image::DynamicImage {
    image::load_from_memory(bytes).unwrap()
}

#[tokio::test]
async fn a_picture_has_its_true_type_whatever_it_was_called() {
    let api = Api::new();
    for (format, extension, content_type) in [
        (ImageFormat::Jpeg, "jpg", "image/jpeg"),
        (ImageFormat::Png, "png", "image/png"),
        (ImageFormat::Gif, "gif", "image/gif"),
        (ImageFormat::WebP, "webp", "image/webp"),
    ] {
        let link = Person::with_picture(&api, &drawn(format, 30, 20)).await.picture().await.unwrap();
        let name = link.rsplit('/').next().unwrap();
        let (id, ending) = name.split_once('.').unwrap();
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) && ending == extension, "{name}");
        for link in [link.clone(), format!("{link}/")] {
            let answer = api.get(&link).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, content_type));
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            assert!(answer.header("content-security-policy").contains("default-src 'none'"));
            assert!(!answer.header("cache-control").is_empty());
        }
    }
}

#[tokio::test]
async fn a_picture_that_is_known_is_304() {
    let picture = Person::with_picture(&Api::new(), &jpeg()).await.picture().await.unwrap();
    for link in [picture.clone(), format!("{}{}", stack().media_server, path_of(&picture))] {
        let answer = Api::new().get(&link).await;
        let (etag, modified) = (answer.header("etag"), answer.header("last-modified"));
        assert!(etag.starts_with('"') && !modified.is_empty(), "{etag} {modified}");
        for (name, value, status) in [
            ("if-none-match", etag, 304),
            ("if-none-match", "*", 304),
            ("if-none-match", &format!("\"x\", W/{etag}"), 304),
            ("if-none-match", "\"x\"", 200),
            ("if-modified-since", modified, 304),
            ("if-modified-since", "Thu, 01 Jan 1998 00:00:00 GMT", 200),
        ] {
            let answer = get_with(&link, name, value).await;
            assert_eq!(answer.status, status, "{link} {name}: {value}");
            if status == 304 {
                assert_eq!((answer.bytes.len(), answer.header("etag")), (0, etag));
            }
        }
    }
}

#[tokio::test]
async fn a_range_is_206_or_416() {
    let bytes = drawn(ImageFormat::Png, 100, 100);
    let size = bytes.len();
    let picture = Person::with_picture(&Api::new(), &bytes).await.picture().await.unwrap();
    for link in [picture.clone(), format!("{}{}", stack().media_server, path_of(&picture))] {
        let whole = Api::new().get(&link).await.bytes;
        for (range, expected) in [
            ("bytes=0-9".to_owned(), 0..10),
            (format!("bytes={}-", size - 5), size - 5..size),
            ("bytes=-7".to_owned(), size - 7..size),
            (format!("bytes=5-{}", size * 2), 5..size),
        ] {
            let answer = get_with(&link, "range", &range).await;
            let content_range = format!("bytes {}-{}/{size}", expected.start, expected.end - 1);
            assert_eq!((answer.status, answer.header("content-range")), (206, content_range.as_str()), "{range}");
            assert_eq!(answer.bytes, whole[expected]);
        }
        let answer = get_with(&link, "range", &format!("bytes={size}-")).await;
        answer.expect_status(416);
        assert_eq!(answer.header("content-range"), format!("bytes */{size}"));
        let answer = get_with(&link, "range", "bites=1-2").await;
        assert_eq!((answer.status, answer.bytes.len()), (200, size));
    }
}

#[tokio::test]
async fn head_tells_of_a_picture_without_it() {
    let api = Api::new();
    let link = Person::with_picture(&api, &jpeg()).await.picture().await.unwrap();
    let (get, head) = (api.get(&link).await, send(api.request("HEAD", &link)).await);
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    for name in ["content-length", "content-type", "etag", "last-modified"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
}

#[tokio::test]
async fn a_name_that_is_none_is_404_in_json() {
    let api = Api::new();
    let id = "0123456789abcdef0123456789abcdef";
    let names = [
        format!("{id}.jpg"),
        id.to_owned(),
        format!("{id}.svg"),
        "..%2f..%2f..%2fetc%2fpasswd".to_owned(),
        "%2e%2e/secret".to_owned(),
        ".".to_owned(),
        "%ff%fe".to_owned(),
        "x".repeat(10_000),
        "x.jpg?size=64".to_owned(),
    ];
    for name in names {
        let request = format!("GET /api/user/media/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = api.raw(request.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 404 ") && answer.contains(r#"{"detail":"Not found."}"#),
            "{name}: {answer}"
        );
    }
    let answer = api.raw(b"GET /api/user/media/a%00b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 4") && answer.contains(r#"{"detail":"#), "{answer}");
}

#[tokio::test]
async fn the_writing_side_is_not_reachable_through_nginx() {
    let api = Api::new();
    for path in ["/images/0123456789abcdef0123456789abcdef", "/images/check", "/api/user/media/images/check"] {
        for method in ["PUT", "POST", "DELETE"] {
            let answer = send(api.request(method, path).body(jpeg())).await;
            assert!(matches!(answer.status, 404 | 405), "{method} {path}: {}", answer.status);
            answer.expect_status(answer.status);
        }
    }
    let link = Person::with_picture(&api, &jpeg()).await.picture().await.unwrap();
    for method in ["PUT", "POST", "DELETE", "PATCH"] {
        let answer = send(api.request(method, &link).body(jpeg())).await;
        answer.expect(405, &json!({ "detail": format!("Method \"{method}\" not allowed.") }));
        assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS");
    }
    assert_eq!(api.get(&link).await.status, 200);
}

#[tokio::test]
async fn a_deleted_picture_is_gone_for_those_who_have_just_seen_it_too() {
    let person = Person::with_picture(&Api::new(), &jpeg()).await;
    let link = person.picture().await.unwrap();
    assert_eq!(person.api.get(&link).await.status, 200);
    person.update(&json!({ "profile_pic": null })).await.expect_status(200);
    let mut status = 0;
    for _ in 0..20 {
        status = person.api.get(&link).await.status;
        if status == 404 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(status, 404, "still there after 2 s");
}

#[tokio::test]
async fn a_bomb_is_refused() {
    let person = Person::new().await;
    for (what, bytes) in [("41 megapixels", blank(8200, 5000)), ("a header alone", png_header(50_000, 50_000))] {
        let form = Form::new().file("profile_pic", "a.png", "image/png", &bytes);
        let answer = person.api.put_form("/api/user/update/", &person.access, form).await;
        assert_eq!(answer.status, 400, "{what}");
        answer.expect_field("profile_pic", &[NOT_A_PICTURE]);
    }
}

/// A PNG of one colour: many pixels in few bytes.
fn blank(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::GrayImage::new(width, height).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A PNG that says how large it is, and no more.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut ihdr = b"IHDR".to_vec();
    ihdr.extend_from_slice(&width.to_be_bytes());
    ihdr.extend_from_slice(&height.to_be_bytes());
    ihdr.extend_from_slice(&[8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    png.extend_from_slice(&ihdr);
    png.extend_from_slice(&crc32(&ihdr).to_be_bytes());
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(!0, step)
}
