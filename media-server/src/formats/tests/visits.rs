//! Metadata stripping takes time linear in the file, also of one that repeats chunks. Each test counts visited bytes.

use super::stripping::seed;
use super::*;
use crate::formats::visits;
use crate::hostile::containers::{jpeg_segment, png_chunk, riff_chunk, webp_file};

/// The most visits of a byte.
const VISITS_MAX: usize = 4;

/// Repetitions of what may occur once.
const MANY: usize = 2_400;

/// EXIF of 14 bytes that claims 65,535 entries.
const LONG_EXIF: &[u8] = b"MM\0\x2a\0\0\0\x08\xff\xff\0\0\0\0";

/// A profile of 256 kB without used tags.
fn large_profile() -> Vec<u8> {
    let mut profile = vec![0; 256 * 1024];
    profile[..4].copy_from_slice(&(256u32 * 1024).to_be_bytes());
    profile[16..20].copy_from_slice(b"RGB ");
    profile[36..40].copy_from_slice(b"acsp");
    profile
}

/// Asserts the bound, plus `unpacked` bytes.
fn assert_linear(name: &str, picture: Vec<u8>, unpacked: usize) {
    let picture = Bytes::from(picture);
    let visits = visits::during(|| drop(strip_metadata(&picture).unwrap_or_else(|error| panic!("{name}: {error}"))));
    let most = VISITS_MAX * picture.len() + unpacked;
    assert!(visits <= most, "{name}: {visits} bytes visited, at most {most} allowed");
}

#[test]
fn png_chunks_are_visited_once() {
    let clean = seed("png/rgb.png");
    let many = |chunk: &[u8]| [&clean[..33], &chunk.repeat(MANY), &clean[33..]].concat();
    let profile = png_chunk(b"iCCP", &[b"name\0\0", &fdeflate::compress_to_vec(&large_profile())[..]].concat());
    assert_linear("profiles", many(&profile), 2 * large_profile().len());
    assert_linear("broken profiles", many(&png_chunk(b"iCCP", b"name\0\0no stream")), 0);
    assert_linear("EXIF", many(&png_chunk(b"eXIf", LONG_EXIF)), 0);
    for kind in [b"tEXt", b"zTXt", b"gAMA", b"tRNS", b"sRGB", b"prVt"] {
        assert_linear(&kind.escape_ascii().to_string(), many(&png_chunk(kind, &[0; 4])), 0);
    }
}

#[test]
fn jpeg_segments_are_visited_once() {
    let clean = seed("baseline-420.jpg");
    let many = |segment: &[u8]| [&clean[..20], &segment.repeat(MANY), &clean[20..]].concat();
    assert_linear("EXIF", many(&jpeg_segment(0xe1, &[b"Exif\0\0", LONG_EXIF])), 0);
    assert_linear("parts of a profile", many(&jpeg_segment(0xe2, &[b"ICC_PROFILE\0\x01\x01part"])), 0);
    assert_linear(
        "large parts",
        [
            &clean[..20],
            &jpeg_segment(0xe2, &[b"ICC_PROFILE\0\x01\x01", &large_profile()[..60_000]]).repeat(60),
            &clean[20..],
        ]
        .concat(),
        0,
    );
    assert_linear("Adobe", many(&jpeg_segment(0xee, &[b"Adobe\0\x64\0\0\0\0\x01"])), 0);
    assert_linear("quantization tables", many(&jpeg_segment(0xdb, &[&[1; 65].repeat(4)])), 0);
    assert_linear("Huffman tables", many(&jpeg_segment(0xc4, &[&[0; 17].repeat(8)])), 0);
    assert_linear("restart intervals", many(&jpeg_segment(0xdd, &[&[0, 0]])), 0);
}

#[test]
fn gif_blocks_are_visited_once() {
    let clean = seed("animated.gif");
    let first = 13 + (3 << ((clean[10] & 7) + 1));
    let many = |block: &[u8]| [&clean[..first], &block.repeat(MANY), &clean[first..]].concat();
    assert_linear("repetitions", many(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"), 0);
    assert_linear("graphic controls", many(b"\x21\xf9\x04\0\0\0\0\0"), 0);
    assert_linear("small sub-blocks", many(&[&b"\x21\xfe"[..], &b"\x01a".repeat(64), b"\0"].concat()), 0);
    assert_linear("terminators", many(b"\0"), 0);
}

#[test]
fn webp_chunks_are_visited_once() {
    let clean = seed("animated-alpha.webp");
    let many = |chunk: &[u8]| webp_file(&[&clean[12..30], &chunk.repeat(MANY), &clean[30..]].concat());
    assert_linear("EXIF", many(&riff_chunk(b"EXIF", LONG_EXIF)), 0);
    assert_linear("profiles", many(&riff_chunk(b"ICCP", &large_profile()[..1024])), 0);
    assert_linear("ANIM", many(&riff_chunk(b"ANIM", &[0; 6])), 0);
    assert_linear("empty chunks", many(&riff_chunk(b"none", b"").repeat(20)), 0);
    let frame = [&[0; 16][..], &riff_chunk(b"none", b"").repeat(20)].concat();
    assert_linear("frames of empty chunks", many(&riff_chunk(b"ANMF", &frame)), 0);
}

#[test]
fn too_many_blocks_are_rejected() {
    let clean = seed("animated-alpha.webp");
    let webp = webp_file(&[&clean[12..30], &b"none\0\0\0\0".repeat(BLOCKS_MAX), &clean[30..]].concat());
    assert_eq!(strip_metadata(&webp.into()).map(drop), Err(ImageError::TooManyBlocks));
    let clean = seed("baseline-420.jpg");
    let tables = [&[0xff, 0xc4, 0x88, 0x02][..], &[0; 17].repeat(2048)].concat().repeat(33);
    let jpeg = [&clean[..20], &tables, &clean[20..]].concat();
    assert_eq!(strip_metadata(&jpeg.into()).map(drop), Err(ImageError::TooManyBlocks));
}
