//! `GET /api/user/media/<image_name>`, and pictures from upload to delivery.

use std::time::Duration;

use image::{GrayImage, ImageFormat};
use serde_json::json;

use super::{both_ways, link_of};
use crate::support::{Api, TestUser, drawn, encoded, extension_of, jpeg, photographs, pixels, send, wait_until};

/// The message for bytes that are no valid picture.
pub const NOT_A_PICTURE: &str =
    "Upload a valid image. The file you uploaded was either not an image or a corrupted image.";

#[tokio::test]
async fn photographs_are_delivered_with_unchanged_pixels() {
    let user = TestUser::new().await;
    for (what, bytes) in photographs() {
        let link = user.upload(&bytes).await.expect_status(200).json()["profile_pic"].as_str().unwrap().to_owned();
        let response = user.api.get(&link).await;
        let content_type = if extension_of(&bytes) == "png" { "image/png" } else { "image/jpeg" };
        assert_eq!((response.status, response.header("content-type")), (200, content_type), "{what}");
        assert!(response.bytes == bytes || pixels(&response.bytes) == pixels(&bytes), "{what}: the pixels changed");
    }
}

#[tokio::test]
async fn the_content_type_is_detected_and_not_taken_from_the_client() {
    let api = Api::new();
    for (format, extension, content_type) in [
        (ImageFormat::Jpeg, "jpg", "image/jpeg"),
        (ImageFormat::Png, "png", "image/png"),
        (ImageFormat::Gif, "gif", "image/gif"),
        (ImageFormat::WebP, "webp", "image/webp"),
    ] {
        let link = link_of(&drawn(format, 30, 20)).await;
        let name = link.rsplit('/').next().unwrap();
        let (id, ending) = name.split_once('.').unwrap();
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) && ending == extension, "{name}");
        for link in [link.clone(), format!("{link}/")] {
            let response = api.get(&link).await;
            assert_eq!((response.status, response.header("content-type")), (200, content_type));
            assert_eq!(response.header("x-content-type-options"), "nosniff");
            assert!(response.header("content-security-policy").contains("default-src 'none'"));
            assert!(!response.header("cache-control").is_empty());
        }
    }
}

#[tokio::test]
async fn a_conditional_request_for_an_unchanged_picture_is_304() {
    for link in both_ways(&link_of(&jpeg()).await) {
        let response = Api::new().get(&link).await;
        let (etag, modified) = (response.header("etag"), response.header("last-modified"));
        assert!(etag.starts_with('"') && !modified.is_empty(), "{etag} {modified}");
        for (name, value, status) in [
            ("if-none-match", etag, 304),
            ("if-none-match", "*", 304),
            ("if-none-match", &format!("\"x\", W/{etag}"), 304),
            ("if-none-match", "\"x\"", 200),
            ("if-modified-since", modified, 304),
            ("if-modified-since", "Thu, 01 Jan 1998 00:00:00 GMT", 200),
        ] {
            let response = Api::new().get_with(&link, &[(name, value)]).await;
            assert_eq!(response.status, status, "{link} {name}: {value}");
            if status == 304 {
                assert_eq!((response.bytes.len(), response.header("etag")), (0, etag));
            }
        }
    }
}

#[tokio::test]
async fn a_range_is_206_or_416() {
    let api = Api::new();
    let bytes = drawn(ImageFormat::Png, 100, 100);
    let size = bytes.len();
    for link in both_ways(&link_of(&bytes).await) {
        let whole = api.get(&link).await.bytes;
        for (range, expected) in [
            ("bytes=0-9".to_owned(), 0..10),
            (format!("bytes={}-", size - 5), size - 5..size),
            ("bytes=-7".to_owned(), size - 7..size),
            (format!("bytes=5-{}", size * 2), 5..size),
        ] {
            let response = api.get_with(&link, &[("range", &range)]).await;
            let content_range = format!("bytes {}-{}/{size}", expected.start, expected.end - 1);
            assert_eq!((response.status, response.header("content-range")), (206, content_range.as_str()), "{range}");
            assert_eq!(response.bytes, whole[expected]);
        }
        let response = api.get_with(&link, &[("range", &format!("bytes={size}-"))]).await;
        response.expect_status(416);
        assert_eq!(response.header("content-range"), format!("bytes */{size}"));
        let response = api.get_with(&link, &[("range", "bites=1-2")]).await;
        assert_eq!((response.status, response.bytes.len()), (200, size));
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let api = Api::new();
    let link = link_of(&jpeg()).await;
    let (get, head) = (api.get(&link).await, api.head(&link).await);
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    for name in ["content-length", "content-type", "etag", "last-modified"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
}

#[tokio::test]
async fn an_unknown_or_malformed_name_is_404_in_json() {
    let id = "0123456789abcdef0123456789abcdef";
    for name in [
        &format!("{id}.jpg"),
        id,
        &format!("{id}.svg"),
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/secret",
        ".",
        "%ff%fe",
        &"x".repeat(10_000),
        "x.jpg?size=64",
        "a%00b",
    ] {
        let request = format!("GET /api/user/media/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let response = Api::new().raw(request.as_bytes()).await;
        // nginx itself refuses NUL.
        let (status, body) = if name == "a%00b" { ("4", "") } else { ("404 ", r#""Not found."}"#) };
        let is_expected = response.starts_with(&format!("HTTP/1.1 {status}"));
        assert!(is_expected && response.contains(&format!(r#"{{"detail":{body}"#)), "{name}: {response}");
    }
}

#[tokio::test]
async fn the_internal_api_is_not_reachable_through_nginx() {
    let api = Api::new();
    for path in ["/images/0123456789abcdef0123456789abcdef", "/images/check", "/api/user/media/images/check"] {
        for method in ["PUT", "POST", "DELETE"] {
            let response = send(api.request(method, path).body(jpeg())).await;
            assert!(matches!(response.status, 404 | 405), "{method} {path}: {}", response.status);
            response.expect_status(response.status);
        }
    }
    let link = link_of(&jpeg()).await;
    for method in ["PUT", "POST", "DELETE", "PATCH"] {
        let response = send(api.request(method, &link).body(jpeg())).await;
        response.expect(405, &json!({ "detail": format!("Method \"{method}\" not allowed.") }));
        assert_eq!(response.header("allow"), "GET, HEAD, OPTIONS");
    }
    assert_eq!(api.get(&link).await.status, 200);
}

#[tokio::test]
async fn a_deleted_picture_is_404_within_two_seconds_even_if_cached() {
    let user = TestUser::with_picture(&Api::new(), &jpeg()).await;
    let link = user.picture().await.unwrap();
    assert_eq!(user.api.get(&link).await.status, 200);
    user.update(&json!({ "profile_pic": null })).await.expect_status(200);
    let is_gone = async || user.api.get(&link).await.status == 404;
    wait_until("the picture is gone", Duration::from_secs(2), is_gone).await;
}

#[tokio::test]
async fn a_decompression_bomb_is_rejected() {
    let user = TestUser::new().await;
    let megapixels_41 = encoded(ImageFormat::Png, GrayImage::new(8200, 5000));
    for bomb in [megapixels_41, png_header(50_000, 50_000)] {
        user.upload(&bomb).await.expect_field("profile_pic", &[NOT_A_PICTURE]);
    }
}

/// A PNG that ends after its dimensions.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let ihdr = [b"IHDR", &width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    [b"\x89PNG\r\n\x1a\n\0\0\0\x0d", &ihdr[..], &crc32(&ihdr).to_be_bytes()].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(!0, step)
}
