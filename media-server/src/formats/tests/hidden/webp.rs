//! WebP (RFC 9649), with VP8 (RFC 6386).

use super::icc::profile;
use super::*;
use crate::hostile::containers::{riff_chunk as chunk, webp_file};

/// Names and data of the chunks in `bytes`.
fn chunks(mut bytes: &[u8]) -> Vec<([u8; 4], Vec<u8>)> {
    let mut chunks = Vec::new();
    while let [a, b, c, d, l0, l1, l2, l3, rest @ ..] = bytes {
        let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
        chunks.push(([*a, *b, *c, *d], rest[..length].to_vec()));
        bytes = &rest[length + length % 2..];
    }
    chunks
}

/// The file with other data for its chunks of a name.
fn with(webp: &[u8], name: &[u8], change: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let change =
        |(other, data): ([u8; 4], Vec<u8>)| chunk(&other, &if other[..] == *name { change(&data) } else { data });
    webp_file(&chunks(&webp[12..]).into_iter().flat_map(change).collect::<Vec<_>>())
}

/// The file with a chunk after its `after`th.
fn with_more(webp: &[u8], after: usize, more: &[u8]) -> Vec<u8> {
    let mut all: Vec<_> = chunks(&webp[12..]).into_iter().map(|(name, data)| chunk(&name, &data)).collect();
    all.insert(after, more.to_vec());
    webp_file(&all.concat())
}

fn longer(data: &[u8]) -> Vec<u8> {
    [data, &SECRET].concat()
}

/// A VP8L picture in a file with VP8X.
fn extended() -> Vec<u8> {
    let plain = seed("/lossless.webp");
    let (width, height) = image_webp::WebPDecoder::new(Cursor::new(&plain)).unwrap().dimensions();
    let sides = [&(width - 1).to_le_bytes()[..3], &(height - 1).to_le_bytes()[..3]].concat();
    with_more(&plain, 0, &chunk(b"VP8X", &[&[0; 4][..], &sides].concat()))
}

#[test]
fn other_chunks_are_dropped() {
    for clean in [extended(), seed("lossy-alpha.webp"), seed("animated-lossy.webp")] {
        let count = chunks(&clean[12..]).len();
        for name in [b"XMP ", b"EXIF", b"ICCP", b"FRGM", b"priv"] {
            assert_all((1..=count).map(|after| {
                let place = format!("{} after {after}", name.escape_ascii());
                Case::dropped(place, &clean, with_more(&clean, after, &chunk(name, &SECRET)))
            }));
        }
        assert_all([
            Case::dropped("after the file", &clean, longer(&clean)),
            Case::dropped("reserved bytes of VP8X", &clean, {
                with(&clean, b"VP8X", |data| [&[data[0] | 0xc1], &SECRET[..3], &data[4..]].concat())
            }),
            Case::rejected("a longer VP8X", &clean, with(&clean, b"VP8X", longer)),
            Case::dropped(
                "in many empty chunks",
                &clean,
                with_more(&clean, count, &SECRET.map(|byte| chunk(&[byte; 4], b"")).concat()),
            ),
        ]);
    }
    for name in ["/lossless.webp", "/lossy.webp"] {
        let clean = seed(name);
        assert_all([Case::dropped(
            "after a picture without VP8X",
            &clean,
            with_more(&clean, 1, &chunk(b"priv", &SECRET)),
        )]);
    }
}

#[test]
fn kept_chunks_are_unique_and_have_their_length() {
    let exif = |more: &[u8]| chunk(b"EXIF", &[&orientation::write(6)[..], more].concat());
    let turned = with_more(&extended(), 2, &exif(b""));
    let animated = seed("animated-alpha.webp");
    let plain = profile(b"RGB ", &[], &[]);
    let with_profile = |profile: &[u8]| with_more(&extended(), 1, &chunk(b"ICCP", profile));
    assert_all([
        Case::dropped("EXIF", &turned, with_more(&extended(), 2, &exif(&SECRET))),
        Case::dropped("EXIF again", &turned, with_more(&turned, 3, &exif(&SECRET))),
        Case::dropped("ANIM", &animated, with(&animated, b"ANIM", longer)),
        Case::dropped("ANIM again", &animated, with_more(&animated, 2, &chunk(b"ANIM", &SECRET))),
        Case::dropped("a tag of a profile", &with_profile(&plain), {
            with_profile(&profile(b"RGB ", &[(b"priv", &SECRET)], &[]))
        }),
        Case::dropped("after a profile", &with_profile(&plain), with_profile(&longer(&plain))),
        Case::dropped("a second profile", &with_profile(&plain), {
            with_more(&with_profile(&plain), 2, &chunk(b"ICCP", &profile(b"RGB ", &[(b"priv", &SECRET)], &[])))
        }),
        Case::dropped("no profile", &extended(), with_profile(&SECRET)),
        Case::dropped("a second picture", &extended(), with_more(&extended(), 2, &chunk(b"VP8L", &SECRET))),
        Case::dropped("a picture besides the frames", &animated, with_more(&animated, 2, &chunk(b"VP8L", &SECRET))),
        Case::dropped("frames besides the picture", &extended(), with_more(&extended(), 2, &chunk(b"ANMF", &SECRET))),
        Case::dropped("alpha of a lossless picture", &extended(), with_more(&extended(), 1, &chunk(b"ALPH", &SECRET))),
        Case::dropped("alpha after the picture", &seed("lossy-alpha.webp"), {
            with_more(&seed("lossy-alpha.webp"), 3, &chunk(b"ALPH", &SECRET))
        }),
    ]);
}

#[test]
fn frames_keep_only_their_image() {
    let animated = seed("animated-alpha.webp");
    let of_frames = |change: &dyn Fn(&[u8]) -> Vec<u8>| with(&animated, b"ANMF", change);
    let image_data = |frame: &[u8], name: &[u8]| {
        let change =
            |(other, data): ([u8; 4], Vec<u8>)| chunk(&other, &if other[..] == *name { longer(&data) } else { data });
        [&frame[..16], &chunks(&frame[16..]).into_iter().flat_map(change).collect::<Vec<_>>()].concat()
    };
    assert_all([
        Case::dropped("a chunk of a frame", &animated, of_frames(&|frame| [frame, &chunk(b"priv", &SECRET)].concat())),
        Case::dropped("metadata of a frame", &animated, of_frames(&|frame| [frame, &chunk(b"EXIF", &SECRET)].concat())),
        Case::dropped("a second image", &animated, of_frames(&|frame| [frame, &chunk(b"VP8 ", &SECRET)].concat())),
        Case::dropped("reserved bits", &animated, {
            of_frames(&|frame| [&frame[..15], &[frame[15] | 0xfc], &frame[16..]].concat())
        }),
        Case::dropped("after alpha", &animated, of_frames(&|frame| image_data(frame, b"ALPH"))),
        Case::dropped("after the image", &animated, of_frames(&|frame| image_data(frame, b"VP8 "))),
    ]);
    let lossless = seed("animated-lossless.webp");
    let hiding = with(&lossless, b"ANMF", |frame| image_data(frame, b"VP8L"));
    assert_all([Case::dropped("after a lossless image", &lossless, hiding)]);
}

#[test]
fn lossless_data_is_trimmed_after_the_last_pixel() {
    for name in ["/lossless.webp", "lossless-alpha.webp", "lossless-palette.webp", "lossless-groups.webp"] {
        let clean = seed(name);
        assert_all([Case::dropped(name, &clean, with(&clean, b"VP8L", longer))]);
    }
    let clean = seed("lossy-alpha.webp");
    let raw = with(&clean, b"ALPH", |_| {
        let (width, height) = image_webp::WebPDecoder::new(Cursor::new(&clean)).unwrap().dimensions();
        [&[0][..], &vec![200; (width * height) as usize]].concat()
    });
    assert_all([
        Case::dropped("what pads alpha", &raw, {
            let (mut hiding, image) = (raw.clone(), position(&raw, b"VP8 "));
            hiding[image - 1] = 0x55;
            hiding
        }),
        Case::dropped("after compressed alpha", &clean, with(&clean, b"ALPH", longer)),
        Case::dropped("after alpha as it is", &raw, with(&raw, b"ALPH", longer)),
        Case::dropped(
            "reserved bits of alpha",
            &clean,
            with(&clean, b"ALPH", |data| [&[data[0] | 0xc0], &data[1..]].concat()),
        ),
    ]);
}

#[test]
fn lossy_partitions_are_trimmed_after_the_last_byte_read() {
    for name in ["/lossy.webp", "lossy-alpha.webp"] {
        let clean = seed(name);
        let after_first = |data: &[u8]| {
            let tag = u32::from_le_bytes([data[0], data[1], data[2], 0]);
            let first_end = 10 + (tag >> 5) as usize;
            let tag = (tag + (64 << 5)).to_le_bytes();
            [&tag[..3], &data[3..first_end], &SECRET, &data[first_end..]].concat()
        };
        assert_all([
            Case::dropped(format!("{name}: the last partition"), &clean, with(&clean, b"VP8 ", longer)),
            Case::dropped(format!("{name}: the first partition"), &clean, with(&clean, b"VP8 ", after_first)),
        ]);
    }
}
