//! Profiles (ICC.1:2022), as each format has them.

use proptest::prelude::*;

use super::*;
use crate::formats::icc::{PixelSpace, reduced};

/// A profile of gray or RGB pixels with other tags, and bytes that no tag refers to.
pub(super) fn profile(space: &[u8], others: &[(&[u8; 4], &[u8])], gap: &[u8]) -> Vec<u8> {
    let curve = b"curv\0\0\0\0\0\0\0\x01\x02\x33".to_vec();
    let xyz = |x: u8, y: u8, z: u8| [&b"XYZ \0\0\0\0"[..], &[0, 0, x, 0, 0, 0, y, 0, 0, 0, z, 0]].concat();
    let mut tags: Vec<(&[u8; 4], Vec<u8>)> = vec![(b"wtpt", xyz(0xf6, 0xff, 0xd3))];
    if space == b"GRAY" {
        tags.push((b"kTRC", curve));
    } else {
        tags.extend([(b"rXYZ", xyz(0x6f, 0x38, 3)), (b"gXYZ", xyz(0x62, 0xb7, 0x18)), (b"bXYZ", xyz(0x24, 0xf, 0xb6))]);
        tags.extend([(b"rTRC", curve.clone()), (b"gTRC", curve.clone()), (b"bTRC", curve)]);
    }
    tags.extend(others.iter().map(|(name, data)| (*name, data.to_vec())));
    assembled(space, &tags, gap)
}

fn assembled(space: &[u8], tags: &[(&[u8; 4], Vec<u8>)], gap: &[u8]) -> Vec<u8> {
    let count = u32::try_from(tags.len()).unwrap();
    let mut table = count.to_be_bytes().to_vec();
    let mut data = gap.to_vec();
    for (name, tag) in tags {
        let offset = u32::try_from(132 + 12 * tags.len() + data.len()).unwrap();
        table.extend_from_slice(
            &[&name[..], &offset.to_be_bytes(), &u32::try_from(tag.len()).unwrap().to_be_bytes()].concat(),
        );
        data.extend_from_slice(tag);
        data.resize(data.len().next_multiple_of(4), 0);
    }
    let mut profile = [&[0; 128][..], &table, &data].concat();
    let size = u32::try_from(profile.len()).unwrap().to_be_bytes();
    profile[..4].copy_from_slice(&size);
    profile[8..24].copy_from_slice(&[b"\x02\x10\0\0mntr", space, b"XYZ "].concat());
    profile[36..40].copy_from_slice(b"acsp");
    profile[68..80].copy_from_slice(b"\0\0\xf6\xd6\0\x01\0\0\0\0\xd3\x2d");
    profile
}

fn rgb(profile: &[u8]) -> Option<Vec<u8>> {
    reduced(profile, PixelSpace::Rgb)
}

#[test]
fn reduced_profile_has_only_color_tags() {
    let clean = rgb(&profile(b"RGB ", &[], &[])).unwrap();
    assert_eq!(rgb(&clean).as_ref(), Some(&clean));
    let text = [&b"text\0\0\0\0"[..], &SECRET].concat();
    for name in
        [b"desc", b"cprt", b"dmnd", b"dmdd", b"mmod", b"vcgt", b"calt", b"targ", b"tech", b"lumi", b"meas", b"priv"]
    {
        assert_eq!(rgb(&profile(b"RGB ", &[(name, &text)], &[])).as_ref(), Some(&clean), "{}", name.escape_ascii());
    }
    assert_eq!(rgb(&profile(b"RGB ", &[], &SECRET)).as_ref(), Some(&clean), "a gap");
    assert_eq!(rgb(&[profile(b"RGB ", &[], &[]), SECRET.to_vec()].concat()).as_ref(), Some(&clean), "after the end");
    let header = |range: std::ops::Range<usize>| {
        let mut profile = profile(b"RGB ", &[], &[]);
        let length = range.len();
        profile[range].copy_from_slice(&SECRET[..length]);
        rgb(&profile)
    };
    for range in [4..8, 24..36, 40..64, 80..128] {
        assert_eq!(header(range.clone()).as_ref(), Some(&clean), "the header's bytes {range:?}");
    }
    for name in [b"rXYZ", b"gTRC"] {
        let twice = profile(b"RGB ", &[(name, &text)], &[]);
        assert_eq!(rgb(&twice).as_ref(), Some(&clean), "a second {}", name.escape_ascii());
    }
}

#[test]
fn tags_are_as_long_as_their_types_say() {
    let short = |tag: &[u8]| profile(b"RGB ", &[(b"bkpt", tag), (b"chad", &[b"sf32", &[0; 40][..]].concat())], &[]);
    let xyz = [&b"XYZ \0\0\0\0"[..], &[0; 12]].concat();
    let clean = rgb(&short(&xyz)).unwrap();
    assert_eq!(rgb(&short(&[&xyz[..], &SECRET].concat())).as_ref(), Some(&clean));
    // Of another type, or cut: no decoder knows what it says.
    assert_eq!(rgb(&short(&[b"text\0\0\0\0", &SECRET[..]].concat())), None);
    assert_eq!(rgb(&short(&xyz[..19])), None);
}

#[test]
fn tables_hide_nothing_between_their_parts() {
    let curve = b"curv\0\0\0\0\0\0\0\0".repeat(3);
    let lut = |gap: &[u8]| {
        let offset = |at: usize| u32::try_from(at + gap.len()).unwrap().to_be_bytes();
        // B curves, no matrix and no M curves, a grid of 2 × 2 × 2 points of 8 bits, A curves.
        let offsets = [offset(32), [0; 4], [0; 4], offset(68), offset(112)].concat();
        let grid = [&[2, 2, 2][..], &[0; 13], &[1, 0, 0, 0], &[7; 24]].concat();
        [&b"mAB \0\0\0\0\x03\x03\0\0"[..], &offsets, gap, &curve, &grid, &curve].concat()
    };
    let of = |gap: &[u8]| rgb(&profile(b"RGB ", &[(b"A2B0", &lut(gap))], &[])).unwrap();
    assert_eq!(of(&SECRET), of(&[0; 64]));
    let old = [&b"mft1\0\0\0\0\x03\x03\x02\0"[..], &[0; 36], &[5; 3 * 256 + 24 + 3 * 256]].concat();
    let of = |more: &[u8]| rgb(&profile(b"RGB ", &[(b"A2B0", &[&old[..], more].concat())], &[])).unwrap();
    assert_eq!(of(&SECRET), of(&[]));
}

#[test]
fn invalid_or_inapplicable_profile_is_dropped() {
    let plain = profile(b"RGB ", &[], &[]);
    assert!(reduced(&plain, PixelSpace::Gray).is_some(), "browsers apply it to three equal samples");
    assert_eq!(reduced(&plain, PixelSpace::Cmyk), None);
    assert_eq!(rgb(&profile(b"GRAY", &[], &[])), None);
    for length in 0..plain.len() {
        assert_eq!(rgb(&plain[..length]), None, "cut to {length}");
    }
    assert_eq!(rgb(&SECRET), None);
}

#[test]
fn overlapping_tags_do_not_grow_a_profile() {
    let curve = [&b"curv\0\0\0\0\0\0\x02\0"[..], &[0; 1024]].concat();
    let mut overlapping = assembled(b"RGB ", &[b"rTRC", b"gTRC", b"bTRC"].map(|name| (name, curve.clone())), &[]);
    overlapping.truncate(132 + 36 + curve.len() + 4);
    let size = u32::try_from(overlapping.len()).unwrap().to_be_bytes();
    overlapping[..4].copy_from_slice(&size);
    for (number, entry) in overlapping[132..168].chunks_mut(12).enumerate() {
        entry[7] = 168;
        entry[11] += u8::try_from(number).unwrap();
    }
    assert_eq!(rgb(&overlapping), None);
}

#[test]
fn repeated_tag_is_copied_once() {
    let tags: Vec<_> = (0..128).map(|_| (b"rTRC", b"curv\0\0\0\0\0\0\0\0".to_vec())).collect();
    assert!(rgb(&assembled(b"RGB ", &tags, &[])).unwrap().len() < 400);
    assert_eq!(
        rgb(&assembled(b"RGB ", &[&tags[..], &tags[..1]].concat(), &[])),
        None,
        "more tags than any profile has"
    );
}

proptest! {
    #[test]
    fn damaged_profile_is_dropped_or_reduced(at in 0usize..400, byte in any::<u8>()) {
        let mut damaged = profile(b"RGB ", &[(b"A2B0", &[0; 64])], &[]);
        let at = at % damaged.len();
        damaged[at] = byte;
        if let Some(reduced) = rgb(&damaged) {
            prop_assert_eq!(rgb(&reduced), Some(reduced));
        }
    }
}
