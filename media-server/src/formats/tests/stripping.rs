//! Metadata stripping, of the files in `fuzz/seeds` with metadata of all kinds inserted.

use std::io::BufReader;
use std::sync::LazyLock;

use image::codecs::gif::GifDecoder;
use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{AnimationDecoder as _, ImageDecoder};
use proptest::prelude::*;

use super::*;
use crate::formats::icc::{self, PixelSpace};
use crate::hostile::containers::{jpeg_segment, png_chunk, riff_chunk, webp_file, zlib_stored};

pub(super) const LIMITS: PictureLimits = PictureLimits { pixels_max: 100_000 };

/// In no stripped file.
const SECRET: &[u8] = b"N 48.2082 E 16.3738";

/// An RGB profile that is kept.
static PROFILE: LazyLock<Vec<u8>> =
    LazyLock::new(|| icc::reduced(&moxcms::ColorProfile::new_display_p3().encode().unwrap(), PixelSpace::Rgb).unwrap());

/// Returns the files in `fuzz/seeds` and their paths.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let files = |directory: std::path::PathBuf| std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let paths = files(seeds).flat_map(files);
    let mut seeds: Vec<_> = paths.map(|path| (path.display().to_string(), std::fs::read(path).unwrap())).collect();
    seeds.sort();
    assert!(seeds.len() >= 20);
    seeds
}

pub(super) fn seed(name: &str) -> Vec<u8> {
    seeds().into_iter().find(|(path, _)| path.ends_with(name)).unwrap().1
}

pub(super) fn strip_and_verify(picture: &[u8]) -> Result<VerifiedImage, ImageError> {
    verify(&Bytes::copy_from_slice(picture), LIMITS)
}

#[test]
fn clean_files_are_not_copied() {
    for (name, picture) in seeds() {
        let picture = Bytes::from(picture);
        let verified = verify(&picture, LIMITS).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((verified.bytes.as_ptr(), verified.bytes.len()), (picture.as_ptr(), picture.len()), "{name}");
    }
}

#[test]
fn truncated_jpeg_closed_with_eoi_is_rejected() {
    for name in ["baseline-420.jpg", "baseline-422-restarts.jpg", "baseline-gray.jpg", "baseline-cmyk.jpg"] {
        let whole = seed(name);
        for length in 2..whole.len() - 2 {
            let cut = [&whole[..length], b"\xff\xd9"].concat();
            assert!(strip_and_verify(&cut).is_err(), "{name} cut to {length} of {}", whole.len());
        }
    }
}

#[test]
fn second_scan_of_a_sequential_component_is_rejected() {
    let whole = seed("baseline-gray.jpg");
    let scan = whole.windows(2).position(|marker| marker == b"\xff\xda").unwrap();
    let twice = [&whole[..whole.len() - 2], &whole[scan..]].concat();
    assert_eq!(strip_and_verify(&twice), Err(ImageError::malformed("two scans of one component")));
}

#[test]
fn stray_bytes_after_a_scan_are_rejected() {
    let whole = seed("baseline-gray.jpg");
    let scans = &whole[..whole.len() - 2];
    let ended = |between: &[u8]| strip_and_verify(&[scans, b"\xff\xfe\0\x02", between, b"\xff\xd9"].concat());
    assert!(ended(b"").is_ok() && ended(b"\xff\xff").is_ok());
    assert_eq!(ended(b"\0"), Err(ImageError::malformed("stray bytes after a scan")));
    assert!(ended(b"\xff\x01").is_err(), "TEM");
}

#[test]
fn progressive_jpeg_is_complete_only_after_a_scan() {
    for name in ["progressive-420.jpg", "progressive-444-restarts.jpg", "progressive-cmyk.jpg", "progressive-gray.jpg"]
    {
        let whole = seed(name);
        // Between two scans, their tables included; the first byte of a marker may be a fill byte of the next.
        let is_marker = |at: usize| matches!(whole[at..], [0xff, 0xc4 | 0xda, ..]);
        for length in 2..whole.len() - 2 {
            let is_whole = strip_and_verify(&[&whole[..length], b"\xff\xd9"].concat()).is_ok();
            assert!(!is_whole || is_marker(length) || is_marker(length - 1), "{name} cut to {length}");
        }
    }
}

#[test]
fn verified_damaged_files_are_stable() {
    for (name, whole) in seeds() {
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            if let Ok(verified) = strip_and_verify(&damaged) {
                assert_eq!(strip_and_verify(&verified.bytes).as_ref(), Ok(&verified), "{name} damaged at {at}");
            }
        }
    }
}

proptest! {
    #[test]
    fn metadata_is_stripped_and_pixels_are_kept(which in 0..seeds().len(), chosen in any::<u16>(), orientation in 1u8..=8) {
        let (name, clean) = seeds().swap_remove(which);
        let dirty = dirtied(&clean, chosen, orientation);
        let verified = strip_and_verify(&dirty).unwrap();
        let bytes = &verified.bytes;
        prop_assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET), "{}", name);
        prop_assert_eq!(&strip_and_verify(bytes).unwrap().bytes, bytes);
        prop_assert!(frames(bytes) == frames(&clean), "{}: the pixels changed", name);
        if verified.kind != ImageKind::Gif {
            let expected = if chosen & 1 == 1 { orientation } else { 1 };
            // It does not apply to CMYK.
            let has_profile = chosen & 2 == 2 && !name.contains("cmyk");
            prop_assert_eq!(orientation_and_profile(bytes), (Orientation::from_exif(expected).unwrap(), has_profile), "{}", name);
        }
    }
}

/// All frames as RGBA.
pub(super) fn frames(picture: &[u8]) -> Vec<Vec<u8>> {
    let picture = Cursor::new(picture);
    let all = |frames: image::Frames<'_>| -> Vec<Vec<u8>> {
        let pixels = |frame: image::ImageResult<Frame>| frame.unwrap().into_buffer().into_raw();
        frames.map(pixels).collect()
    };
    match detect_kind(picture.get_ref()).unwrap() {
        ImageKind::Gif => all(GifDecoder::new(picture).unwrap().into_frames()),
        ImageKind::Webp if WebPDecoder::new(picture.clone()).unwrap().has_animation() => {
            all(WebPDecoder::new(picture).unwrap().into_frames())
        }
        ImageKind::Png if PngDecoder::new(picture.clone()).unwrap().is_apng().unwrap() => {
            all(PngDecoder::new(picture).unwrap().apng().unwrap().into_frames())
        }
        _ => vec![
            image::load(BufReader::new(picture.clone()), image::guess_format(picture.get_ref()).unwrap())
                .unwrap()
                .to_rgba8()
                .into_raw(),
        ],
    }
}

/// Returns the orientation, and whether the profile is present.
fn orientation_and_profile(picture: &[u8]) -> (Orientation, bool) {
    fn read(mut decoder: impl ImageDecoder) -> (Orientation, bool) {
        let profile = decoder.icc_profile().unwrap();
        (decoder.orientation().unwrap(), profile.is_some_and(|profile| profile == *PROFILE))
    }
    match detect_kind(picture).unwrap() {
        ImageKind::Jpeg => read(JpegDecoder::new(Cursor::new(picture)).unwrap()),
        ImageKind::Png => read(PngDecoder::new(Cursor::new(picture)).unwrap()),
        ImageKind::Webp => read(WebPDecoder::new(Cursor::new(picture)).unwrap()),
        ImageKind::Gif => unreachable!("it has neither"),
    }
}

/// Inserts the kinds of metadata whose bit is set: bit 0 is EXIF, bit 1 the ICC profile.
fn dirtied(clean: &[u8], chosen: u16, orientation: u8) -> Vec<u8> {
    let exif = [orientation::write(orientation), SECRET.to_vec()].concat();
    let mut dirty = match detect_kind(clean).unwrap() {
        ImageKind::Jpeg => jpeg(clean, chosen, &exif),
        ImageKind::Png => png(clean, chosen, &exif),
        ImageKind::Gif => gif(clean, chosen),
        ImageKind::Webp => webp(clean, chosen, &exif),
    };
    if chosen & 1 << 15 != 0 {
        dirty.extend_from_slice(&[b"<script>PK\x03\x04%PDF-1.7", SECRET].concat());
    }
    dirty
}

/// Those of `pieces` whose bit is set.
fn choose(chosen: u16, pieces: &[Vec<u8>]) -> Vec<u8> {
    let chosen = pieces.iter().enumerate().filter(|(bit, _)| chosen >> bit & 1 == 1);
    chosen.flat_map(|(_, piece)| piece.clone()).collect()
}

fn jpeg(clean: &[u8], chosen: u16, exif: &[u8]) -> Vec<u8> {
    let pieces = [
        jpeg_segment(0xe1, &[b"Exif\0\0", exif]),
        jpeg_segment(0xe2, &[b"ICC_PROFILE\0\x01\x01", &PROFILE]),
        jpeg_segment(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0", SECRET]),
        jpeg_segment(0xe1, &[b"http://ns.adobe.com/xmp/extension/\0", SECRET]),
        jpeg_segment(0xed, &[b"Photoshop 3.0\0", SECRET]),
        jpeg_segment(0xe2, &[b"MPF\0", SECRET]),
        jpeg_segment(0xfe, &[SECRET]),
        jpeg_segment(0xe0, &[b"JFXX\0\x10", SECRET]),
        jpeg_segment(0xef, &[SECRET]),
        // Stray and fill bytes. Not at the start, where they would break the detection of the format.
        [&jpeg_segment(0xfe, &[]), SECRET, b"\xff\xff"].concat(),
    ];
    // After JFIF's, or where there is none (CMYK) first; and once more before the last scan.
    let last_scan = clean.windows(2).rposition(|marker| marker == b"\xff\xda").unwrap();
    let first = if clean[3] == 0xe0 { 20 } else { 2 };
    let between = jpeg_segment(0xfe, &[SECRET]);
    [&clean[..first], &choose(chosen, &pieces), &clean[first..last_scan], &between, &clean[last_scan..]].concat()
}

fn png(clean: &[u8], chosen: u16, exif: &[u8]) -> Vec<u8> {
    const HEADER_END: usize = 33;
    let pieces = [
        png_chunk(b"eXIf", exif),
        png_chunk(b"iCCP", &[b"name\0\0", &zlib_stored(&[&PROFILE])[..]].concat()),
        png_chunk(b"tEXt", &[b"Comment\0", SECRET].concat()),
        png_chunk(b"zTXt", &[b"Comment\0\0", &zlib_stored(&[SECRET])[..]].concat()),
        png_chunk(b"iTXt", &[b"XML:com.adobe.xmp\0\0\0\0\0", SECRET].concat()),
        png_chunk(b"tIME", &[7, 232, 1, 2, 3, 4, 5]),
        png_chunk(b"prVt", SECRET),
        png_chunk(b"eXIf", SECRET),
    ];
    [&clean[..HEADER_END], &choose(chosen, &pieces), &clean[HEADER_END..]].concat()
}

fn gif(clean: &[u8], chosen: u16) -> Vec<u8> {
    let sub_block = [&[u8::try_from(SECRET.len()).unwrap()], SECRET, b"\0"].concat();
    let pieces = [
        [b"\x21\xfe", &sub_block[..]].concat(),
        [b"\x21\xff\x0bXMP DataXMP", &sub_block[..]].concat(),
        [b"\x21\x01\x0c\0\0\0\0\x01\0\x01\0\x08\x08\x01\0", &sub_block[..]].concat(),
        [b"\x21\x77", &sub_block[..]].concat(),
    ];
    let table_bytes = if clean[10] & 0x80 == 0 { 0 } else { 3 << ((clean[10] & 7) + 1) };
    let first = 13 + table_bytes;
    [&clean[..first], &choose(chosen, &pieces), &clean[first..]].concat()
}

fn webp(clean: &[u8], chosen: u16, exif: &[u8]) -> Vec<u8> {
    let decoder = image_webp::WebPDecoder::new(Cursor::new(clean)).unwrap();
    let (width, height) = decoder.dimensions();
    let has_header = &clean[12..16] == b"VP8X";
    let flags = if has_header {
        clean[20]
    } else if decoder.has_alpha() {
        0x10
    } else {
        0
    };
    let flags = flags
        | [8, 0x20, 4]
            .iter()
            .enumerate()
            .fold(0, |all, (bit, flag)| all | if chosen >> bit & 1 == 1 { *flag } else { 0 });
    let sides = [&(width - 1).to_le_bytes()[..3], &(height - 1).to_le_bytes()[..3]].concat();
    let header = riff_chunk(b"VP8X", &[&[flags, 0, 0, 0], &sides[..]].concat());
    let rest = if has_header { &clean[30..] } else { &clean[12..] };
    let (before, after) = (chosen & 2, chosen & !2);
    let none = Vec::new;
    let profile = choose(before, &[none(), riff_chunk(b"ICCP", &PROFILE)]);
    let others =
        choose(after, &[riff_chunk(b"EXIF", exif), none(), riff_chunk(b"XMP ", SECRET), riff_chunk(b"priv", SECRET)]);
    webp_file(&[&header, &profile[..], rest, &others].concat())
}
