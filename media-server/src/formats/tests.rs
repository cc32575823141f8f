//! Images from the encoders of the `image` crate, intact and damaged.

use std::io::Cursor;

use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, Frame, ImageFormat, RgbaImage};

use super::*;

/// Strips and verifies; returns the detected kind.
fn check(picture: &[u8], limits: PictureLimits) -> Result<ImageKind, ImageError> {
    verify(&Bytes::copy_from_slice(picture), limits).map(|image| image.kind)
}

const LIMITS: PictureLimits = PictureLimits { pixels_max: 100 * 100 };

/// A pattern whose compressed data is larger than the headers.
fn picture(width: u32, height: u32) -> DynamicImage {
    let pixel = |x: u32, y: u32| {
        let shade = |by: u32| u8::try_from((x * by) ^ (y * 7) & 0xff).unwrap_or(u8::MAX);
        image::Rgba([shade(3), shade(5), shade(1), u8::MAX])
    };
    RgbaImage::from_fn(width, height, pixel).into()
}

fn encode(width: u32, height: u32, kind: ImageKind) -> Vec<u8> {
    let mut bytes = Vec::new();
    let picture = picture(width, height);
    match kind {
        ImageKind::Jpeg => picture.to_rgb8().write_with_encoder(JpegEncoder::new(&mut bytes)).unwrap(),
        ImageKind::Png => picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap(),
        ImageKind::Gif => picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Gif).unwrap(),
        ImageKind::Webp => picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::WebP).unwrap(),
    }
    bytes
}

#[test]
fn kinds_are_detected_by_content() {
    for expected in ImageKind::ALL {
        assert_eq!(check(&encode(64, 48, expected), LIMITS), Ok(expected));
    }
    for other in [b"".as_slice(), b"\xff\xd8", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"RIFF0000WAVE", b"GIF88a"]
    {
        assert_eq!(check(other, LIMITS), Err(ImageError::UnknownKind), "{other:?}");
    }
}

#[test]
fn truncated_images_are_rejected() {
    for kind in ImageKind::ALL {
        let whole = encode(64, 48, kind);
        for length in 0..whole.len() {
            assert!(check(&whole[..length], LIMITS).is_err(), "{kind:?} cut to {length} of {}", whole.len());
        }
    }
}

#[test]
fn bytes_after_the_end_are_accepted() {
    for kind in ImageKind::ALL {
        let mut followed = encode(64, 48, kind);
        followed.extend_from_slice(b"<script>");
        assert_eq!(check(&followed, LIMITS), Ok(kind));
    }
}

#[test]
fn images_above_the_pixel_limit_are_rejected() {
    for kind in ImageKind::ALL {
        assert_eq!(check(&encode(100, 100, kind), LIMITS), Ok(kind));
        assert_eq!(
            check(&encode(101, 100, kind), LIMITS),
            Err(ImageError::TooManyPixels(LIMITS.pixels_max)),
            "{kind:?}"
        );
    }
}

#[test]
fn all_frames_count_toward_the_pixel_limit() {
    let animation = |frames: usize| {
        let mut bytes = Vec::new();
        let frame = Frame::new(picture(50, 50).to_rgba8());
        GifEncoder::new(&mut bytes).encode_frames(std::iter::repeat_n(frame, frames)).unwrap();
        bytes
    };
    assert_eq!(check(&animation(4), LIMITS), Ok(ImageKind::Gif));
    assert_eq!(check(&animation(5), LIMITS), Err(ImageError::TooManyPixels(LIMITS.pixels_max)));
}

#[test]
fn huge_png_is_rejected_by_its_header() {
    // 50,000 × 50,000 in a header whose checksum is right; there is no data behind it.
    let mut header = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    header.extend_from_slice(b"\0\0\xc3\x50\0\0\xc3\x50\x08\x02\0\0\0\xc4\xcd\xaa\x9d");
    header.extend_from_slice(b"\0\0\0\0IEND\xaeB`\x82");
    assert_eq!(check(&header, LIMITS), Err(ImageError::TooManyPixels(LIMITS.pixels_max)));
}

#[test]
fn wrong_crc_is_rejected() {
    let mut png = encode(64, 48, ImageKind::Png);
    let middle = png.len() / 2;
    png[middle] ^= 1;
    assert!(matches!(check(&png, LIMITS), Err(ImageError::Malformed(_))));
}

#[test]
fn too_many_scans_are_rejected_before_decoding() {
    let mut jpeg = encode(16, 16, ImageKind::Jpeg);
    let end = jpeg.split_off(jpeg.len() - 2);
    for _ in 0..64 {
        jpeg.extend_from_slice(b"\xff\xda\0\x08\x01\x01\0\0\x3f\0");
    }
    jpeg.extend_from_slice(&end);
    assert_eq!(check(&jpeg, LIMITS), Err(ImageError::malformed("more than 64 scans")));
}

mod cost;
mod hidden;
mod stripping;
mod visits;
