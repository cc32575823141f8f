//! Pictures: real photographs, and drawn ones where only the format matters.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};

use super::files_below;

/// Where Debian's package `mate-backgrounds` installs photographs.
pub const PHOTOGRAPHS: &str = "/usr/share/backgrounds/mate";

/// The upload limit, in bytes.
const PICTURE_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Names and bytes of photographs of several cameras, 0.3 to 8 megapixels; those above the upload limit are cropped to
/// 12 megapixels.
pub fn photographs() -> Vec<(String, Vec<u8>)> {
    let mut paths = files_below(Path::new(PHOTOGRAPHS));
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jpg" || extension == "png"));
    assert!(paths.len() >= 20, "install Debian's mate-backgrounds");
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let (name, bytes) = (path.display().to_string(), std::fs::read(path).expect("a photograph is read"));
        if bytes.len() <= PICTURE_BYTES_MAX {
            (name, bytes)
        } else {
            (format!("12 megapixels of {name}"), twelve_megapixels(&bytes))
        }
    };
    paths.iter().map(read).collect()
}

pub fn largest_photograph() -> Vec<u8> {
    photographs().into_iter().map(|(_, bytes)| bytes).max_by_key(Vec::len).expect("a photograph")
}

/// The file name extension of a photograph.
pub fn extension_of(photograph: &[u8]) -> &'static str {
    if photograph.starts_with(b"\x89PNG") { "png" } else { "jpg" }
}

fn twelve_megapixels(photograph: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 85);
    pixels(photograph).crop(820, 86, 4000, 3000).write_with_encoder(encoder).expect("a photograph is written");
    bytes
}

/// A small JPEG.
pub fn jpeg() -> Vec<u8> {
    drawn(ImageFormat::Jpeg, 64, 48)
}

/// A drawn picture.
pub fn drawn(format: ImageFormat, width: u32, height: u32) -> Vec<u8> {
    let shade = |value: u32| u8::try_from(value % 256).unwrap_or_default();
    let picture = RgbaImage::from_fn(width, height, |x, y| Rgba([shade(x * 7), shade(y * 5), shade(x * y), 255]));
    let picture = DynamicImage::from(picture);
    encoded(format, if format == ImageFormat::Jpeg { picture.to_rgb8().into() } else { picture })
}

pub fn encoded(format: ImageFormat, picture: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).expect("a picture is encoded");
    bytes.into_inner()
}

/// Decodes a picture.
pub fn pixels(bytes: &[u8]) -> DynamicImage {
    image::load_from_memory(bytes).expect("a picture")
}

/// The path of a picture's link: for media-server's own address.
pub fn path_of(link: &str) -> &str {
    &link[link.find("/api/").expect("a link")..]
}
