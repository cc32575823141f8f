//! The cost of stripping is linear in the file, whatever it repeats: each test counts bytes that are looked at.

use super::cleaning::seed;
use super::*;
use crate::images::visits;

/// How often each byte may be looked at.
const VISITS_MAX: usize = 4;

/// So many repetitions of what may be there once.
const MANY: usize = 2_400;

/// EXIF of 14 bytes that claims 65,535 entries.
const LONG_EXIF: &[u8] = b"MM\0\x2a\0\0\0\x08\xff\xff\0\0\0\0";

/// A profile of 256 kB, of which nothing is used.
fn large_profile() -> Vec<u8> {
    let mut profile = vec![0; 256 * 1024];
    profile[..4].copy_from_slice(&(256u32 * 1024).to_be_bytes());
    profile[16..20].copy_from_slice(b"RGB ");
    profile[36..40].copy_from_slice(b"acsp");
    profile
}

/// `unpacked` bytes may be looked at in addition.
fn assert_linear(name: &str, picture: Vec<u8>, unpacked: usize) {
    let picture = Bytes::from(picture);
    let visits = visits::during(|| drop(clean(&picture).unwrap_or_else(|refusal| panic!("{name}: {refusal}"))));
    let most = VISITS_MAX * picture.len() + unpacked;
    assert!(visits <= most, "{name}: {visits} bytes were looked at, and {most} may be");
}

#[test]
fn png_chunks_are_looked_at_once() {
    let clean = seed("png/rgb.png");
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let crc = crc32fast::hash(&[&kind[..], data].concat()).to_be_bytes();
        [&u32::try_from(data.len()).unwrap().to_be_bytes(), &kind[..], data, &crc].concat()
    };
    let many = |chunk: &[u8]| [&clean[..33], &chunk.repeat(MANY), &clean[33..]].concat();
    let profile = chunk(b"iCCP", &[b"name\0\0", &fdeflate::compress_to_vec(&large_profile())[..]].concat());
    assert_linear("profiles", many(&profile), 2 * large_profile().len());
    assert_linear("broken profiles", many(&chunk(b"iCCP", b"name\0\0no stream")), 0);
    assert_linear("EXIF", many(&chunk(b"eXIf", LONG_EXIF)), 0);
    for kind in [b"tEXt", b"zTXt", b"gAMA", b"tRNS", b"sRGB", b"prVt"] {
        assert_linear(&kind.escape_ascii().to_string(), many(&chunk(kind, &[0; 4])), 0);
    }
}

#[test]
fn jpeg_segments_are_looked_at_once() {
    let clean = seed("baseline-420.jpg");
    let segment = |marker: u8, data: &[u8]| {
        [&[0xff, marker][..], &u16::try_from(data.len() + 2).unwrap().to_be_bytes(), data].concat()
    };
    let many = |segment: &[u8]| [&clean[..20], &segment.repeat(MANY), &clean[20..]].concat();
    assert_linear("EXIF", many(&segment(0xe1, &[b"Exif\0\0", LONG_EXIF].concat())), 0);
    assert_linear("parts of a profile", many(&segment(0xe2, b"ICC_PROFILE\0\x01\x01part")), 0);
    assert_linear(
        "large parts",
        [
            &clean[..20],
            &segment(0xe2, &[b"ICC_PROFILE\0\x01\x01", &large_profile()[..60_000]].concat()).repeat(60),
            &clean[20..],
        ]
        .concat(),
        0,
    );
    assert_linear("Adobe", many(&segment(0xee, b"Adobe\0\x64\0\0\0\0\x01")), 0);
    assert_linear("steps", many(&segment(0xdb, &[1; 65].repeat(4))), 0);
    assert_linear("words", many(&segment(0xc4, &[0; 17].repeat(8))), 0);
    assert_linear("restart intervals", many(&segment(0xdd, &[0, 0])), 0);
}

#[test]
fn gif_blocks_are_looked_at_once() {
    let clean = seed("animated.gif");
    let first = 13 + (3 << ((clean[10] & 7) + 1));
    let many = |block: &[u8]| [&clean[..first], &block.repeat(MANY), &clean[first..]].concat();
    assert_linear("repetitions", many(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"), 0);
    assert_linear("graphic controls", many(b"\x21\xf9\x04\0\0\0\0\0"), 0);
    assert_linear("small sub-blocks", many(&[&b"\x21\xfe"[..], &b"\x01a".repeat(64), b"\0"].concat()), 0);
    assert_linear("terminators", many(b"\0"), 0);
}

#[test]
fn webp_chunks_are_looked_at_once() {
    let clean = seed("animated-alpha.webp");
    let chunk =
        |name: &[u8; 4], data: &[u8]| [name, &u32::try_from(data.len()).unwrap().to_le_bytes()[..], data].concat();
    let many = |chunk: &[u8]| {
        let body = [&clean[8..30], &chunk.repeat(MANY), &clean[30..]].concat();
        [&b"RIFF"[..], &u32::try_from(body.len()).unwrap().to_le_bytes(), &body].concat()
    };
    assert_linear("EXIF", many(&chunk(b"EXIF", LONG_EXIF)), 0);
    assert_linear("profiles", many(&chunk(b"ICCP", &large_profile()[..1024])), 0);
    assert_linear("ANIM", many(&chunk(b"ANIM", &[0; 6])), 0);
    assert_linear("empty chunks", many(&chunk(b"none", b"").repeat(20)), 0);
    let frame = [&[0; 16][..], &chunk(b"none", b"").repeat(20)].concat();
    assert_linear("frames of empty chunks", many(&chunk(b"ANMF", &frame)), 0);
}

#[test]
fn more_blocks_than_any_picture_has_are_refused() {
    let clean = seed("animated-alpha.webp");
    let body = [&clean[8..30], &b"none\0\0\0\0".repeat(BLOCKS_MAX), &clean[30..]].concat();
    let webp = [&b"RIFF"[..], &u32::try_from(body.len()).unwrap().to_le_bytes(), &body].concat();
    assert_eq!(super::clean(&webp.into()).map(drop), Err(Refusal::TooManyBlocks));
    let clean = seed("baseline-420.jpg");
    let tables = [&[0xff, 0xc4, 0x88, 0x02][..], &[0; 17].repeat(2048)].concat().repeat(33);
    let jpeg = [&clean[..20], &tables, &clean[20..]].concat();
    assert_eq!(super::clean(&jpeg.into()).map(drop), Err(Refusal::TooManyBlocks));
}
