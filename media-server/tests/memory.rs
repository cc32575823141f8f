//! Decoding allocates no more memory than it reserves.
//!
//! A single test in its own process: the allocator counts for all threads.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
#![expect(clippy::cast_possible_truncation, reason = "all sizes here are small constants")]

use std::io::Cursor;

use bytes::Bytes;
use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};
use media_server::formats::work::Work;
use media_server::formats::{self, ImageError, PictureLimits};
use media_server::hostile;
use media_server::renditions::RenderInput;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const LIMITS: PictureLimits = PictureLimits { pixels_max: 40_000_000 };

/// Strings and the like.
const SLACK_BYTES: usize = 64 * 1024;

/// Returns the outcome of `work` and the peak of its allocations, in bytes.
fn peak_bytes<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let outcome = work();
    (outcome, ALLOCATOR.peak_usage().saturating_sub(before + SLACK_BYTES) as u64)
}

/// Returns a line for each step that allocated more than it reserved.
fn excesses(name: &str, picture: &Bytes) -> Vec<String> {
    let mut excesses = Vec::new();
    let mut compare = |what: &str, used: u64, reserved: u64| {
        if used > reserved {
            excesses.push(format!("{name}: {what} took {used} bytes, {reserved} were reserved"));
        }
    };
    let stripped = match formats::strip_metadata(picture) {
        Ok(stripped) => stripped,
        Err(ImageError::TooManyBlocks) => return excesses,
        Err(error) => panic!("{name}: {error}"),
    };
    let Ok(reserved) = stripped.memory_bytes(LIMITS) else { return excesses };
    let (verified, used) = peak_bytes(|| stripped.verify(&mut Work::default()));
    compare("verification", used, reserved);
    let Ok(verified) = verified else { return excesses };
    for size in [64, 512, 2048] {
        let source = RenderInput::Original(verified.bytes.clone());
        let reserved = match source.memory_bytes(size) {
            Ok(reserved) => reserved,
            Err(ImageError::TooMuchWork { .. }) => return excesses,
            Err(error) => panic!("{name}: {error}"),
        };
        let (rendition, used) = peak_bytes(|| source.render(size, &mut Work::default()).map(drop));
        rendition.unwrap_or_else(|error| panic!("{name}: {error}"));
        compare(&format!("a rendition of {size}"), used, reserved);
    }
    excesses
}

/// Encodes an image; returns it with a name.
fn encoded(picture: &DynamicImage, format: ImageFormat) -> (String, Bytes) {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    (format!("{format:?} {:?} {}", picture.color(), picture.width()), bytes.into_inner().into())
}

fn ordinary_pictures(side: u32) -> Vec<(String, Bytes)> {
    let transparent: DynamicImage = RgbaImage::from_fn(side, side * 3 / 4, |x, y| {
        let mixed = (x * 7919 + y * 104_729).wrapping_mul(2_654_435_761).to_be_bytes();
        Rgba([mixed[0], (x / 3) as u8, mixed[1] / 4, (y / 2) as u8])
    })
    .into();
    let opaque = DynamicImage::from(transparent.to_rgb8());
    let deep = DynamicImage::from(transparent.to_rgba16());
    let gray = DynamicImage::from(transparent.to_luma8());
    vec![
        encoded(&opaque, ImageFormat::Jpeg),
        encoded(&gray, ImageFormat::Jpeg),
        encoded(&opaque, ImageFormat::Png),
        encoded(&deep, ImageFormat::Png),
        encoded(&gray, ImageFormat::Png),
        encoded(&opaque, ImageFormat::WebP),
        encoded(&transparent, ImageFormat::WebP),
        encoded(&transparent, ImageFormat::Gif),
    ]
}

/// A color profile of 4 MB: a lookup table (ICC.1, lut8Type).
fn profile() -> Vec<u8> {
    const GRID: u8 = 110;
    let mut table = [b"mft1".as_slice(), &[0; 4], &[3, 3, GRID, 0]].concat();
    (0..9).for_each(|index| table.extend_from_slice(&u32::from(index % 4 == 0).wrapping_mul(65_536).to_be_bytes()));
    (0..3).for_each(|_| table.extend(0..=255_u8));
    table.extend((0..usize::from(GRID).pow(3) * 3).map(|index| (index * 37) as u8));
    (0..3).for_each(|_| table.extend(0..=255_u8));
    let mut profile = vec![0; 128];
    profile[8] = 2;
    profile[12..24].copy_from_slice(b"prtrRGB Lab ");
    profile[36..40].copy_from_slice(b"acsp");
    profile[68..80].copy_from_slice(&[0, 0, 0xf6, 0xd6, 0, 1, 0, 0, 0, 0, 0xd3, 0x2d]);
    profile.extend_from_slice(&[0, 0, 0, 1]);
    profile
        .extend_from_slice(&[b"A2B0".as_slice(), &144_u32.to_be_bytes(), &(table.len() as u32).to_be_bytes()].concat());
    profile.extend(table);
    let length = (profile.len() as u32).to_be_bytes();
    profile[..4].copy_from_slice(&length);
    profile
}

fn with_profile() -> Vec<(String, Bytes)> {
    const SIDE: u16 = 700;
    let samples = vec![77; usize::from(SIDE) * usize::from(SIDE) * 3];
    let mut webp = Vec::new();
    let mut encoder = image_webp::WebPEncoder::new(&mut webp);
    encoder.set_icc_profile(profile());
    encoder.encode(&samples, SIDE.into(), SIDE.into(), image_webp::ColorType::Rgb8).unwrap();
    let mut jpeg = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut jpeg, 80);
    encoder.add_icc_profile(&profile()).unwrap();
    encoder.encode(&samples, SIDE, SIDE, jpeg_encoder::ColorType::Rgb).unwrap();
    let mut png = Vec::new();
    let mut info = png::Info::with_size(SIDE.into(), SIDE.into());
    info.color_type = png::ColorType::Rgb;
    info.icc_profile = Some(profile().into());
    let encoder = png::Encoder::with_info(&mut png, info).unwrap();
    encoder.write_header().unwrap().write_image_data(&samples).unwrap();
    [("WebP", webp), ("JPEG", jpeg), ("PNG", png)]
        .map(|(name, bytes)| (format!("{name} with a profile"), bytes.into()))
        .to_vec()
}

/// A lossless WebP with data after its stream: trimming copies the image, and then the file.
fn with_trailing_data((name, picture): &(String, Bytes)) -> (String, Bytes) {
    const TRAILING: [u8; 64] = [0x55; 64];
    let mut longer = picture.to_vec();
    assert_eq!(&picture[12..16], b"VP8L");
    for size in [4, 16] {
        let bytes = u32::from_le_bytes(picture[size..size + 4].try_into().unwrap()) + TRAILING.len() as u32;
        longer[size..size + 4].copy_from_slice(&bytes.to_le_bytes());
    }
    longer.extend(TRAILING);
    (format!("{name} with trailing data"), longer.into())
}

#[test]
fn reserved_memory_covers_allocations() {
    let mut all: Vec<String> = Vec::new();
    let ordinary: Vec<_> = [40, 600, 1500].into_iter().flat_map(ordinary_pictures).collect();
    let trailing: Vec<_> =
        ordinary.iter().filter(|(name, _)| name.starts_with("WebP")).map(with_trailing_data).collect();
    for (name, picture) in ordinary.into_iter().chain(trailing).chain(with_profile()) {
        all.extend(excesses(&name, &picture));
    }
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for kind in ["jpeg", "png", "gif", "webp"] {
        for file in std::fs::read_dir(seeds.join(kind)).unwrap() {
            let path = file.unwrap().path();
            all.extend(excesses(&path.display().to_string(), &std::fs::read(&path).unwrap().into()));
        }
    }
    for picture in hostile::ALL {
        let picture = picture();
        all.extend(excesses(picture.name, &picture.bytes.into()));
    }
    assert!(all.is_empty(), "{all:#?}");
}
