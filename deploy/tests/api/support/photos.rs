//! Pictures: real photographs, and drawn ones where the format matters and the motif does not.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{ImageFormat, Rgba, RgbaImage};

/// Of each picture its name and bytes: the photographs of Debian's package `mate-backgrounds`, of several cameras, 0.3 to 8
/// megapixels, and the middle 12 megapixels of its largest.
pub fn photographs() -> Vec<(String, Vec<u8>)> {
    let mut paths = Vec::new();
    collect(Path::new("/usr/share/backgrounds/mate"), &mut paths);
    assert!(paths.len() >= 20, "install Debian's mate-backgrounds: its photographs are what is uploaded");
    paths.sort();
    let mut photographs = Vec::new();
    for path in paths {
        let (name, bytes) = (path.display().to_string(), std::fs::read(&path).expect("a photograph is read"));
        if bytes.len() <= PICTURE_BYTES_MAX {
            photographs.push((name, bytes));
        } else {
            photographs.push((format!("12 megapixels of {name}"), twelve_megapixels(&bytes)));
        }
    }
    photographs
}

/// What is uploaded at most, in bytes.
const PICTURE_BYTES_MAX: usize = 10 * 1024 * 1024;

fn twelve_megapixels(bytes: &[u8]) -> Vec<u8> {
    let mut whole = image::load_from_memory(bytes).expect("a photograph");
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 85);
    whole.crop(820, 86, 4000, 3000).write_with_encoder(encoder).expect("a photograph is written");
    bytes
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "jpg" || extension == "png") {
            found.push(path);
        }
    }
}

/// A small photograph.
pub fn jpeg() -> Vec<u8> {
    drawn(ImageFormat::Jpeg, 64, 48)
}

/// A drawn picture in a format.
pub fn drawn(format: ImageFormat, width: u32, height: u32) -> Vec<u8> {
    let shade = |value: u32| u8::try_from(value % 256).unwrap_or_default();
    let picture = RgbaImage::from_fn(width, height, |x, y| Rgba([shade(x * 7), shade(y * 5), shade(x * y), 255]));
    let mut bytes = Cursor::new(Vec::new());
    let picture = image::DynamicImage::ImageRgba8(picture);
    let picture = if format == ImageFormat::Jpeg { picture.to_rgb8().into() } else { picture };
    picture.write_to(&mut bytes, format).expect("a picture is drawn");
    bytes.into_inner()
}
