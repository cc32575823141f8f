//! What decoding reserves of memory is never less than what it allocates.
//!
//! One test, in a process of its own: the allocator counts for all threads.

use std::io::Cursor;

use bytes::Bytes;
use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};
use media_server::hostile;
use media_server::images::work::Work;
use media_server::images::{self, PictureLimits, Refusal};
use media_server::renditions::Source;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const LIMITS: PictureLimits = PictureLimits { pixels_max: 40_000_000 };

/// Of a small heap, for strings and the like.
const SLACK_BYTES: usize = 64 * 1024;

/// The outcome of `work`, and how many more bytes than before it were allocated at once.
fn peak_bytes<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let outcome = work();
    (outcome, ALLOCATOR.peak_usage().saturating_sub(before + SLACK_BYTES) as u64)
}

fn check(name: &str, picture: &Bytes) {
    let Ok(cleaned) = images::clean(picture) else { panic!("{name} is cleaned") };
    let Ok(reserved) = cleaned.memory_bytes(LIMITS) else { return };
    let (accepted, used) = peak_bytes(|| cleaned.decode(&mut Work::default()));
    println!("{name}: verification {used} of {reserved}");
    assert!(used <= reserved, "{name}: verification took {used} bytes, {reserved} were reserved");
    let Ok(accepted) = accepted else { return };
    for size in [64, 512, 2048] {
        let source = Source::Picture(accepted.bytes.clone());
        let reserved = match source.memory_bytes(size) {
            Ok(reserved) => reserved,
            Err(Refusal::TooMuchWork { .. }) => return,
            Err(refusal) => panic!("{name}: {refusal}"),
        };
        let (rendition, used) = peak_bytes(|| source.rendition(size, &mut Work::default()).map(drop));
        println!("{name}: rendition of {size} {used} of {reserved}");
        rendition.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(used <= reserved, "{name}: a rendition of {size} took {used} bytes, {reserved} were reserved");
    }
}

/// `DynamicImage` in a format, and its name.
fn encoded(picture: &DynamicImage, format: ImageFormat) -> (String, Bytes) {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    (format!("{format:?} {:?} {}", picture.color(), picture.width()), bytes.into_inner().into())
}

fn ordinary(side: u32) -> Vec<(String, Bytes)> {
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

#[test]
fn what_is_reserved_covers_what_is_allocated() {
    for side in [40, 600, 1500] {
        for (name, picture) in ordinary(side) {
            check(&name, &picture);
        }
    }
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for kind in ["jpeg", "png", "gif", "webp"] {
        for file in std::fs::read_dir(seeds.join(kind)).unwrap() {
            let path = file.unwrap().path();
            check(&path.display().to_string(), &std::fs::read(&path).unwrap().into());
        }
    }
    for picture in hostile::ALL {
        let picture = picture();
        check(picture.name, &picture.bytes.into());
    }
}
