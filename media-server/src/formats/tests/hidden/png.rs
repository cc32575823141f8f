//! PNG (W3C PNG, third edition).

use super::icc::profile;
use super::*;
use crate::hostile::containers::{png_chunk as chunk, zlib_stored as zlib};

const HEADER_END: usize = 33;
const END_BYTES: usize = 12;

/// A picture of 4 × 4 pixels of this depth and color type, with chunks before its data.
fn picture(depth: u8, color: u8, before: &[u8], data: &[u8]) -> Vec<u8> {
    let header = chunk(b"IHDR", &[0, 0, 0, 4, 0, 0, 0, 4, depth, color, 0, 0, 0]);
    [&b"\x89PNG\r\n\x1a\n"[..], &header, before, data, &chunk(b"IEND", b"")].concat()
}

/// Filtered rows of a picture whose rows have so many bytes.
fn rows(bytes: u8) -> Vec<u8> {
    (0..4).flat_map(|y| (0..=bytes).map(move |x| if x == 0 { 0 } else { x * 16 + y })).collect()
}

fn gray(before: &[u8]) -> Vec<u8> {
    picture(8, 0, before, &chunk(b"IDAT", &zlib(&[&rows(4)])))
}

/// Chunks that describe gray pixels, with data of the right length.
const DESCRIPTIONS: [(&[u8; 4], usize); 10] = [
    (b"gAMA", 4),
    (b"cHRM", 32),
    (b"sRGB", 1),
    (b"cICP", 4),
    (b"mDCV", 24),
    (b"cLLI", 8),
    (b"sBIT", 1),
    (b"bKGD", 2),
    (b"pHYs", 9),
    (b"tRNS", 2),
];

fn description(kind: &[u8], length: usize) -> Vec<u8> {
    // BT.709 with the curve of sRGB; elsewhere a unit, an intent and numbers that there are.
    chunk(kind, if kind == b"cICP" { &[1, 13, 0, 1] } else { &[1; 32][..length] })
}

#[test]
fn ancillary_chunks_are_unique_before_idat_and_have_their_length() {
    let cases = DESCRIPTIONS.into_iter().flat_map(|(kind, length)| {
        let name = kind.escape_ascii().to_string();
        let once = gray(&description(kind, length));
        let after_data = once.len() - END_BYTES;
        [
            Case::dropped(format!("{name} alone"), &gray(b""), gray(&chunk(kind, &SECRET))),
            Case::dropped(
                format!("{name} longer"),
                &gray(b""),
                gray(&chunk(kind, &[&[1; 32][..length], &SECRET].concat())),
            ),
            Case::dropped(
                format!("{name} again"),
                &once,
                inserted(&once, HEADER_END + length + 12, &chunk(kind, &SECRET).repeat(2)),
            ),
            Case::dropped(
                format!("{name} again and again"),
                &once,
                inserted(
                    &once,
                    HEADER_END + length + 12,
                    &SECRET.chunks(length).flat_map(|part| chunk(kind, part)).collect::<Vec<_>>(),
                ),
            ),
            Case::dropped(format!("{name} late"), &once, inserted(&once, after_data, &chunk(kind, &SECRET))),
            Case::dropped(
                format!("{name} late, of its length"),
                &gray(b""),
                [&gray(b"")[..gray(b"").len() - END_BYTES], &chunk(kind, &SECRET[..length]), &chunk(b"IEND", b"")]
                    .concat(),
            ),
        ]
    });
    assert_all(cases);
}

#[test]
fn other_ancillary_chunks_go() {
    let kinds = [
        b"tEXt", b"zTXt", b"iTXt", b"tIME", b"hIST", b"sPLT", b"oFFs", b"pCAL", b"sCAL", b"sTER", b"gIFg", b"gIFx",
        b"dSIG", b"eXIf", b"fRAc", b"iDOT", b"caBX", b"vpAg", b"prVt", b"teXt", b"acTL", b"fcTL", b"fdAT",
    ];
    let clean = gray(b"");
    let cases = kinds.into_iter().flat_map(|kind| {
        let name = kind.escape_ascii().to_string();
        let [text, compressed] = [SECRET.to_vec(), [&b"Comment\0\0"[..], &zlib(&[&SECRET])].concat()];
        [("before", HEADER_END), ("after", clean.len() - END_BYTES)].into_iter().flat_map(move |(place, at)| {
            let clean = gray(b"");
            [&text, &compressed]
                .map(|data| Case::dropped(format!("{name} {place}"), &clean, inserted(&clean, at, &chunk(kind, data))))
        })
    });
    // An acTL before the pixels makes it an animation, of a wrong length.
    assert_all(cases.filter(|case| case.place != "acTL before"));
    assert_all([
        Case::rejected("acTL", &clean, gray(&chunk(b"acTL", &SECRET))),
        Case::rejected("an unknown critical chunk", &clean, gray(&chunk(b"PRIV", &SECRET))),
        Case::rejected("a longer header", &clean, {
            let header = chunk(b"IHDR", &[&clean[16..29], &SECRET].concat());
            [&clean[..8], &header, &clean[HEADER_END..]].concat()
        }),
        Case::dropped("after the end", &clean, [&clean[..], &SECRET].concat()),
        Case::dropped("in the end", &clean, [&clean[..clean.len() - END_BYTES], &chunk(b"IEND", &SECRET)].concat()),
        Case::dropped("EXIF with an orientation", &gray(&chunk(b"eXIf", &orientation::write(6))), {
            gray(&chunk(b"eXIf", &[&orientation::write(6)[..], &SECRET].concat()))
        }),
    ]);
}

#[test]
fn palettes_are_cut_to_the_largest_index() {
    let data = chunk(b"IDAT", &zlib(&[&rows(1)]));
    let indexed =
        |palette: &[u8], alpha: &[u8]| picture(2, 3, &[chunk(b"PLTE", palette), chunk(b"tRNS", alpha)].concat(), &data);
    let clean = indexed(&[7; 12], &[9; 4]);
    let rgb = |before: &[u8]| picture(8, 2, before, &chunk(b"IDAT", &zlib(&[&rows(12)])));
    let secret_entries = &SECRET[..63];
    assert_all([
        Case::dropped("a palette past the last index", &clean, indexed(&[&[7; 12], secret_entries].concat(), &[9; 4])),
        Case::dropped("alpha past the palette", &clean, indexed(&[7; 12], &[&[9; 4][..], &SECRET].concat())),
        Case::dropped("a suggested palette", &rgb(b""), rgb(&chunk(b"PLTE", secret_entries))),
        Case::dropped("a palette of gray", &gray(b""), gray(&chunk(b"PLTE", secret_entries))),
        Case::dropped("a background past one index", &clean, {
            inserted(&clean, clean.len() - END_BYTES - data.len(), &chunk(b"bKGD", &SECRET))
        }),
        Case::rejected("half an entry", &clean, indexed(&[&[7; 12][..], &SECRET].concat(), &[9; 4])),
        Case::rejected("a second palette", &clean, inserted(&clean, HEADER_END + 24, &chunk(b"PLTE", secret_entries))),
    ]);
}

#[test]
fn data_is_trimmed_after_the_zlib_checksum() {
    let (clean, stream) = (gray(b""), zlib(&[&rows(4)]));
    let of =
        |chunks: &[&[u8]]| picture(8, 0, b"", &chunks.iter().flat_map(|data| chunk(b"IDAT", data)).collect::<Vec<_>>());
    let (start, end) = stream.split_at(stream.len() - 2);
    let few = stream.repeat(1);
    assert_all([
        Case::dropped("after the checksum", &clean, of(&[&[&stream[..], &SECRET].concat()])),
        Case::dropped("in a second chunk", &clean, of(&[&stream, &SECRET])),
        Case::dropped("in chunks of their own", &clean, {
            of(&[&[&stream[..]], &SECRET.chunks(4).collect::<Vec<_>>()[..]].concat())
        }),
        Case::dropped("after a checksum of two chunks", &of(&[start, end]), of(&[start, &[end, &SECRET].concat()])),
        Case::dropped("in empty chunks", &clean, of(&[b"", &few, b"", b""])),
        Case::rejected("a row too many", &clean, of(&[&zlib(&[&rows(4), &SECRET])])),
        Case::rejected("a block that is not ended", &clean, {
            of(&[&[&stream[..2], b"\0", &stream[3..stream.len() - 4], b"\0\xff\xff\0\0", &SECRET].concat()])
        }),
        Case::rejected("a dictionary", &clean, of(&[&[b"\x78\x20", &SECRET[..], &stream[2..]].concat()])),
        Case::rejected("blocks without data", &clean, {
            let end = stream.len() - 4;
            let empty = b"\0\0\0\xff\xff".repeat(64);
            of(&[&[&stream[..2], b"\0", &stream[3..end], &empty, b"\x01\0\0\xff\xff", &stream[end..]].concat()])
        }),
    ]);
    // With three bytes or fewer after it the inflater has read them already.
    for length in 1..=8 {
        let followed = [&stream[..], &SECRET[..length]].concat();
        assert_all([Case::dropped(format!("{length} bytes after the checksum"), &clean, of(&[&followed]))]);
    }
}

#[test]
fn frames_are_trimmed_after_the_zlib_checksum() {
    let clean = seed("animated.png");
    let last = clean.len() - END_BYTES;
    let control = position(&clean, b"fcTL") - 4;
    // The first frame that is not the default image, and the one after it.
    let data = position(&clean, b"fdAT") - 4;
    let length = u32::from_be_bytes(clean[data..data + 4].try_into().unwrap()) as usize;
    let longer = chunk(b"fdAT", &[&clean[data + 8..data + 8 + length], &SECRET].concat());
    assert_all([
        Case::dropped("after the checksum of a frame", &clean, {
            [&clean[..data], &longer, &clean[data + length + 12..]].concat()
        }),
        Case::dropped("in chunks after the last frame", &clean, {
            let next =
                u32::try_from(clean.windows(4).filter(|kind| matches!(*kind, b"fcTL" | b"fdAT")).count()).unwrap();
            let more = (next..)
                .zip(SECRET.chunks(32))
                .map(|(number, part)| chunk(b"fdAT", &[&number.to_be_bytes(), part].concat()));
            inserted(&clean, last, &more.flatten().collect::<Vec<_>>())
        }),
        Case::rejected("a longer frame control", &clean, {
            let longer = chunk(b"fcTL", &[&clean[control + 8..control + 34], &SECRET].concat());
            [&clean[..control], &longer, &clean[control + 38..]].concat()
        }),
        Case::rejected("a frame without data", &clean, {
            inserted(&clean, last, &chunk(b"fcTL", &[&[0, 0, 0, 99], &SECRET[..22]].concat()))
        }),
    ]);
}

#[test]
fn profiles_are_reduced() {
    let of = |name: &[u8], stream: &[u8]| chunk(b"iCCP", &[name, b"\0\0", stream].concat());
    let (plain, name) = (profile(b"GRAY", &[], &[]), b"A name".as_slice());
    let clean = gray(&of(name, &zlib(&[&plain])));
    let again = of(name, &zlib(&[&profile(b"GRAY", &[(b"priv", &SECRET)], &[])]));
    assert_all([
        Case::dropped("a name", &clean, gray(&of(&SECRET.map(|byte| byte | 1), &zlib(&[&plain])))),
        Case::dropped("after the checksum", &clean, gray(&of(name, &[&zlib(&[&plain])[..], &SECRET].concat()))),
        Case::dropped("a tag", &clean, gray(&again)),
        Case::dropped("after the profile", &clean, gray(&of(name, &zlib(&[&plain, &SECRET])))),
        Case::dropped("a second profile", &clean, gray(&[of(name, &zlib(&[&plain])), again].concat())),
        Case::dropped("no profile", &gray(b""), gray(&of(name, &zlib(&[&SECRET])))),
        Case::dropped("no compressed data", &gray(b""), gray(&of(name, &SECRET))),
        Case::dropped("no method", &gray(b""), gray(&chunk(b"iCCP", &SECRET))),
        Case::dropped("a profile of other pixels", &gray(b""), {
            gray(&of(name, &zlib(&[&profile(b"CMYK", &[(b"priv", &SECRET)], &[])])))
        }),
    ]);
}
