//! GIF (`GIF89a`, 1990).

use super::*;

/// A sub-block of up to 255 bytes.
fn sub_block(data: &[u8]) -> Vec<u8> {
    [&[u8::try_from(data.len()).unwrap()], data].concat()
}

fn extension(label: u8, sub_blocks: &[&[u8]]) -> Vec<u8> {
    [&[0x21, label][..], &sub_blocks.iter().flat_map(|data| sub_block(data)).collect::<Vec<_>>(), &[0]].concat()
}

/// A picture of 2 × 2 pixels and two colours, with blocks before its image, these codes of three bits, and blocks after it.
fn picture(before: &[u8], codes: &[u8], after: &[u8]) -> Vec<u8> {
    let screen = b"GIF89a\x02\0\x02\0\x80\0\0\x10\x20\x30\xf0\xe0\xd0";
    let image = b"\x2c\0\0\0\0\x02\0\x02\0\0\x02";
    [&screen[..], before, image, codes, &[0], after, &[0x3b]].concat()
}

fn still(before: &[u8], after: &[u8]) -> Vec<u8> {
    picture(before, &codes(&[4, 0, 1, 1, 0], true), after)
}

/// Codes as an encoder writes them, and the one that ends them.
fn codes(codes: &[usize], has_end: bool) -> Vec<u8> {
    let (mut bits, mut count, mut size, mut next, mut is_first) = (0u128, 0, 3, 6, true);
    for code in codes.iter().copied().chain(has_end.then_some(5)) {
        bits |= (code as u128) << count;
        count += size;
        if code == 4 {
            (size, next, is_first) = (3, 6, true);
            continue;
        }
        next += usize::from(!std::mem::take(&mut is_first));
        size += usize::from(next == 1 << size);
    }
    sub_block(&bits.to_le_bytes()[..count.div_ceil(8)])
}

#[test]
fn other_extensions_are_dropped() {
    let clean = still(b"", b"");
    let named = |name: &[u8; 11], data: &[&[u8]]| extension(0xff, &[&[&name[..]], data].concat());
    let blocks = [
        ("a comment", extension(0xfe, &[&SECRET])),
        ("plain text", extension(0x01, &[&[0; 12], &SECRET])),
        ("an unknown extension", extension(0x77, &[&SECRET])),
        ("XMP", named(b"XMP DataXMP", &[&SECRET])),
        ("a profile", named(b"ICCRGBG1012", &[&SECRET])),
        ("another application", named(b"SECRETS 1.0", &[&SECRET])),
        ("repetition, cut", named(b"NETSCAPE2.0", &[&SECRET])),
        ("a longer application name", extension(0xff, &[&[b"NETSCAPE2.0", &SECRET[..]].concat(), &[1, 0, 0]])),
    ];
    for (name, block) in blocks {
        assert_all([
            Case::dropped(format!("{name} before"), &clean, still(&block, b"")),
            Case::dropped(format!("{name} after"), &clean, still(b"", &block)),
        ]);
    }
    assert_all([
        Case::dropped("after the trailer", &clean, [&clean[..], &SECRET].concat()),
        Case::dropped("terminators", &clean, still(&[0; 64], &[0; 64])),
    ]);
}

#[test]
fn looping_extension_is_kept_once() {
    let repeat = |times: u8, more: &[&[u8]]| extension(0xff, &[&[&b"NETSCAPE2.0"[..], &[1, times, 0]], more].concat());
    let clean = still(&repeat(7, &[]), b"");
    assert_all(
        [
            Case::dropped("more sub-blocks", &clean, still(&repeat(7, &[&SECRET]), b"")),
            Case::dropped("a longer sub-block", &clean, {
                still(&extension(0xff, &[b"NETSCAPE2.0", &[&[1, 7, 0], &SECRET[..]].concat()]), b"")
            }),
            Case::dropped("repeated", &clean, {
                let parts = SECRET.iter().flat_map(|times| repeat(*times, &[])).chain(repeat(7, &[]));
                still(&parts.collect::<Vec<_>>(), b"")
            }),
            Case::dropped(
                "repeated after the image",
                &clean,
                still(&repeat(1, &[]), &[repeat(3, &[&SECRET]), repeat(7, &[])].concat()),
            ),
        ]
        .into_iter()
        // A longer sub-block is no repetition.
        .map(|case| if case.place == "a longer sub-block" { Case { clean: still(b"", b""), ..case } } else { case }),
    );
}

#[test]
fn image_keeps_one_graphic_control() {
    let control =
        |flags: u8, delay: u8, more: &[&[u8]]| extension(0xf9, &[&[&[flags, delay, 0, 0][..]], more].concat());
    let clean = still(&control(4, 5, &[]), b"");
    let many = SECRET.chunks(4).flat_map(|part| extension(0xf9, &[part])).collect::<Vec<_>>();
    assert_all([
        Case::dropped("more sub-blocks", &clean, still(&control(4, 5, &[&SECRET]), b"")),
        Case::dropped("several", &clean, still(&[&many[..], &control(4, 5, &[])].concat(), b"")),
        Case::dropped("without an image", &clean, still(&control(4, 5, &[]), &many)),
        Case::dropped("reserved bits", &clean, still(&control(0xe4, 5, &[]), b"")),
        Case::rejected("longer", &clean, still(&extension(0xf9, &[&SECRET]), b"")),
    ]);
    let mut reserved = still(b"", b"");
    let flags = position(&reserved, b"\x2c\0\0\0\0") + 9;
    reserved[flags] |= 0x18;
    assert_all([Case::dropped("reserved bits of the image", &still(b"", b""), reserved)]);
}

#[test]
fn codes_are_trimmed_after_the_last_pixel() {
    let of = |codes: &[u8]| picture(b"", codes, b"");
    let (clean, complete) = (still(b"", b""), codes(&[4, 0, 1, 1, 0], true));
    let in_sub_block = |codes: &[u8], more: &[u8]| sub_block(&[&codes[1..], more].concat());
    assert_all([
        Case::dropped("in the last sub-block", &clean, of(&in_sub_block(&complete, &SECRET))),
        Case::dropped("in a sub-block of its own", &clean, of(&[&complete[..], &sub_block(&SECRET)].concat())),
        Case::dropped("in many sub-blocks", &clean, {
            of(&[&complete[..], &SECRET.map(|byte| [1, byte]).concat()].concat())
        }),
        Case::dropped("without an end", &clean, of(&codes(&[4, 0, 1, 1, 0], false))),
        Case::dropped("pixels too many", &clean, of(&codes(&[4, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1, 0], true))),
        Case::dropped("pixels too many, and no end", &clean, {
            of(&in_sub_block(&codes(&[4, 0, 1, 1, 0], false), &SECRET))
        }),
        Case::dropped("bits after the end", &clean, {
            let mut codes = complete.clone();
            *codes.last_mut().unwrap() |= 0xc0;
            of(&codes)
        }),
    ]);
    let animated = seed("animated.gif");
    let last = animated.len() - 2;
    assert_eq!(animated[last..], [0, 0x3b]);
    assert_all([Case::dropped("in the last frame", &animated, inserted(&animated, last, &sub_block(&SECRET)))]);
}
