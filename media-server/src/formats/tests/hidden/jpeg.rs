//! JPEG (T.81), with JFIF (T.871), Adobe's segment (T.872), EXIF and profiles.

use super::icc::profile;
use super::*;
use crate::hostile::containers::jpeg_segment as segment;

const SOS: u8 = 0xda;

fn marker(jpeg: &[u8], marker: u8) -> usize {
    position(jpeg, &[0xff, marker])
}

/// Where segments may stand: after JFIF's, and right before the first scan.
fn places(jpeg: &[u8]) -> [(&'static str, usize); 2] {
    [("first", if jpeg[3] == 0xe0 { 20 } else { 2 }), ("before the scan", marker(jpeg, SOS))]
}

#[test]
fn other_application_segments_are_dropped() {
    let clean = seed("progressive-420.jpg");
    let exif = |rest: &[u8]| segment(0xe1, &[b"Exif\0\0", rest, &SECRET]);
    let mut segments = vec![
        ("XMP".to_owned(), segment(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0", &SECRET])),
        ("EXIF".to_owned(), exif(b"MM\0\x2a\0\0\0\x08\0\0\0\0\0\0")),
        ("no EXIF".to_owned(), exif(b"")),
        ("a thumbnail".to_owned(), segment(0xe0, &[b"JFXX\0\x13\x08\x08", &SECRET.repeat(3)])),
        ("other pictures".to_owned(), segment(0xe2, &[b"MPF\0", &SECRET])),
        ("a part of a profile".to_owned(), segment(0xe2, &[b"ICC_PROFILE\0\x01\x02", &SECRET])),
        ("no profile".to_owned(), segment(0xe2, &[b"ICC_PROFILE\0\x01\x01", &SECRET])),
        ("a short Adobe".to_owned(), segment(0xee, &[b"Adobe", &SECRET[..6]]).repeat(10)),
        ("a comment".to_owned(), segment(0xfe, &[&SECRET])),
        (
            "bytes between segments".to_owned(),
            [&segment(0xfe, &[])[..], &SECRET.map(|byte| byte & 0x7f), &[0xff; 64]].concat(),
        ),
        ("restarts between segments".to_owned(), SECRET.iter().flat_map(|byte| [0xff, 0xd0 | byte & 7]).collect()),
    ];
    segments.extend((0xe0..=0xef).map(|marker| (format!("APP{}", marker & 15), segment(marker, &[&SECRET]))));
    for (name, segment) in segments {
        let cases = places(&clean)
            .map(|(place, at)| Case::dropped(format!("{name} {place}"), &clean, inserted(&clean, at, &segment)));
        assert_all(cases);
        // Between scans nothing but segments may stand.
        let last_scan = clean.windows(2).rposition(|pair| pair == [0xff, 0xc4]).unwrap();
        let is_rejected = name.ends_with("between segments");
        let hiding = inserted(&clean, last_scan, &segment);
        assert_all([Case { is_rejected, ..Case::dropped(format!("{name} after a scan"), &clean, hiding) }]);
    }
    assert_all([Case::dropped("after the end", &clean, [&clean[..], &SECRET].concat())]);
}

#[test]
fn kept_segments_are_unique_and_have_their_length() {
    let clean = seed("baseline-420.jpg");
    assert_eq!(clean[2..4], [0xff, 0xe0]);
    let thumbnail = segment(0xe0, &[&clean[6..18], &[8, 8], &SECRET.repeat(3)]);
    let adobe = |rest: &[u8]| inserted(&clean, 20, &segment(0xee, &[b"Adobe", rest]));
    let exif = |more: &[u8]| segment(0xe1, &[b"Exif\0\0", &orientation::write(6), more]);
    let turned = inserted(&clean, 20, &exif(b""));
    let jfif = SECRET.chunks(9).flat_map(|part| segment(0xe0, &[b"JFIF\0", &[part, &[0; 9]].concat()]));
    assert_all([
        Case::dropped("a thumbnail", &clean, [&clean[..2], &thumbnail, &clean[20..]].concat()),
        Case::dropped("JFIF again", &clean, inserted(&clean, 20, &jfif.collect::<Vec<_>>())),
        Case::dropped(
            "a longer Adobe",
            &adobe(b"\0\x64\0\0\0\0\x01"),
            adobe(&[b"\0\x64\0\0\0\0\x01", &SECRET[..]].concat()),
        ),
        Case::dropped("flags of Adobe", &adobe(b"\0\x64\0\0\0\0\x01"), adobe(&[&SECRET[..6], b"\x01"].concat())),
        Case::dropped("Adobe again", &adobe(b"\0\x64\0\0\0\0\x01"), {
            let others = SECRET.chunks(8).flat_map(|part| segment(0xee, &[b"Adobe", &[part, &[0; 8]].concat()]));
            inserted(&adobe(b"\0\x64\0\0\0\0\x01"), 20, &others.collect::<Vec<_>>())
        }),
        Case::dropped("EXIF with an orientation", &turned, inserted(&clean, 20, &exif(&SECRET))),
        Case::dropped("EXIF again", &turned, inserted(&turned, 20 + exif(b"").len(), &exif(&SECRET))),
        Case::rejected("a longer frame header", &clean, {
            let at = marker(&clean, 0xc0);
            let longer = segment(0xc0, &[&clean[at + 4..at + 19], &SECRET]);
            [&clean[..at], &longer, &clean[at + 19..]].concat()
        }),
        Case::rejected("a longer scan header", &clean, {
            let at = marker(&clean, SOS);
            let longer = segment(SOS, &[&clean[at + 4..at + 14], &SECRET]);
            [&clean[..at], &longer, &clean[at + 14..]].concat()
        }),
        Case::rejected("a number of lines", &clean, inserted(&clean, clean.len() - 2, &segment(0xdc, &[&SECRET]))),
    ]);
}

#[test]
fn unused_tables_are_dropped() {
    let clean = seed("baseline-420.jpg");
    let steps = |id: u8| [&[id][..], &SECRET.map(|byte| byte | 1)].concat();
    // A code of 64 words of 8 bits.
    let words = |id: u8| [&[id, 0, 0, 0, 0, 0, 0, 0, 64][..], &[0; 8], &SECRET].concat();
    let first = marker(&clean, 0xdb);
    let scan = marker(&clean, SOS);
    let last = clean.len() - 2;
    let interval =
        |count: usize| SECRET[..2 * count].chunks(2).flat_map(|part| segment(0xdd, &[part])).collect::<Vec<_>>();
    assert_all([
        Case::dropped("steps of no component", &clean, inserted(&clean, scan, &segment(0xdb, &[&steps(3)]))),
        Case::dropped(
            "steps that are redefined",
            &clean,
            inserted(&clean, first, &segment(0xdb, &[&steps(0), &steps(1)])),
        ),
        Case::dropped("steps after the scan", &clean, inserted(&clean, last, &segment(0xdb, &[&steps(0)]))),
        Case::dropped("steps in one segment with others", &clean, {
            let end = first + 2 + usize::from(clean[first + 3]);
            let both = segment(0xdb, &[&steps(2), &clean[first + 4..end]]);
            [&clean[..first], &both, &clean[end..]].concat()
        }),
        Case::dropped(
            "words of no component",
            &clean,
            inserted(&clean, scan, &segment(0xc4, &[&words(3), &words(0x13)])),
        ),
        Case::dropped(
            "words that are redefined",
            &clean,
            inserted(&clean, first, &segment(0xc4, &[&words(0), &words(0x10)])),
        ),
        Case::dropped("words after the scan", &clean, inserted(&clean, last, &segment(0xc4, &[&words(0)]))),
        Case::dropped("intervals after the scan", &clean, inserted(&clean, last, &interval(32))),
        Case::dropped("intervals that are redefined", &inserted(&clean, scan, &segment(0xdd, &[&[0, 0]])), {
            inserted(&clean, scan, &[interval(32), segment(0xdd, &[&[0, 0]])].concat())
        }),
        Case::rejected("half a table", &clean, inserted(&clean, scan, &segment(0xdb, &[&steps(3)[..40]]))),
    ]);
    let progressive = seed("progressive-420.jpg");
    let scan = marker(&progressive, SOS);
    let unused = segment(0xc4, &[&words(0x12), &words(2)]);
    assert_all([Case::dropped("words before a scan of DC", &progressive, inserted(&progressive, scan, &unused))]);
}

#[test]
fn entropy_coded_data_is_padded_with_ones() {
    let clean = seed("baseline-422-restarts.jpg");
    let ends: Vec<usize> = (0..clean.len() - 1)
        .filter(|at| matches!(clean[at + 1..], [0xff, 0xd0..=0xd7 | 0xd9, ..]) && *at > marker(&clean, SOS))
        .collect();
    assert!(ends.len() > 2);
    // One bit of padding, where there is one.
    let padded = ends.iter().copied().filter(|at| clean[*at] & 1 == 1 && clean[at - 1] != 0xff).collect::<Vec<_>>();
    let cases = padded.into_iter().filter_map(|at| {
        let mut hiding = clean.clone();
        hiding[at] ^= 1;
        // Otherwise it is the last bit of a codeword.
        (frames(&hiding) == frames(&clean)).then(|| Case::dropped(format!("padding at {at}"), &clean, hiding))
    });
    assert_all(cases);
    let end = clean.len() - 2;
    assert_all([
        Case::rejected("after the last block", &clean, inserted(&clean, end, &SECRET.map(|byte| byte & 0x7f))),
        Case::rejected("in an interval too many", &clean, {
            inserted(&clean, end, &[&[0xff, 0xd0], &SECRET.map(|byte| byte & 0x7f)[..]].concat())
        }),
        Case::rejected("between the scan and the end", &clean, {
            inserted(&clean, end, &[&segment(0xfe, &[])[..], &SECRET.map(|byte| byte & 0x7f)].concat())
        }),
        Case::dropped("fill bytes", &clean, inserted(&clean, end, &[0xff; 64])),
    ]);
}

#[test]
fn profiles_are_reduced() {
    let seed = seed("baseline-444-optimized.jpg");
    let with = |parts: &[&[u8]]| {
        let count = u8::try_from(parts.len()).unwrap();
        let segments =
            (1..).zip(parts).map(|(number, part)| segment(0xe2, &[b"ICC_PROFILE\0", &[number, count], part]));
        inserted(&seed, 20, &segments.flatten().collect::<Vec<_>>())
    };
    let plain = profile(b"RGB ", &[], &[]);
    let clean = with(&[&plain]);
    let (start, end) = plain.split_at(100);
    assert_all([
        Case::dropped("two parts", &clean, with(&[start, end])),
        Case::dropped("a tag", &clean, with(&[&profile(b"RGB ", &[(b"mmod", &SECRET)], &[])])),
        Case::dropped("after the profile", &clean, with(&[start, end, &SECRET])),
        Case::dropped("a profile of other pixels", &seed, with(&[&profile(b"GRAY", &[(b"priv", &SECRET)], &[])])),
        Case::dropped(
            "a part that is there twice",
            &seed,
            inserted(&clean, 20, &segment(0xe2, &[b"ICC_PROFILE\0\x01\x01", &SECRET])),
        ),
    ]);
}
