//! WebP (RFC 9649, section 6.2) with costly prefix codes.

use shared::media_api::ImageKind;

use super::HostilePicture;
use super::bits::BitWriter;
use super::containers::{riff_chunk, webp_file};

/// Bits of the largest colour cache, which adds 2,048 symbols to an alphabet.
const CACHE_BITS: u32 = 11;

/// A code of symbol 0 alone, which takes no bits: 4 bits.
const ONE_SYMBOL: &[(u32, u32)] = &[(1, 1), (0, 1), (0, 1), (0, 1)];

/// A code of symbols 0 and 1, written as codeword lengths so that a decoder looks at the whole alphabet: 23 bits.
const TWO_SYMBOLS: &[(u32, u32)] = &[(0, 1), (0, 4), (0, 3), (0, 3), (0, 3), (1, 3), (1, 1), (0, 3), (0, 2)];

/// A code of as many codewords of one length as there are: `of_order` is where that length stands among the lengths of
/// codeword lengths, `number` what limits the symbols, as its size and its value.
fn uniform(bits: &mut BitWriter, of_order: u32, number: Option<(u32, u32)>) {
    bits.write_all(&[(0, 1), (of_order - 3, 4)]);
    (0..of_order).for_each(|_| bits.write(0, 3));
    bits.write(1, 3);
    match number {
        None => bits.write(0, 1),
        Some((size, value)) => bits.write_all(&[(1, 1), (size / 2 - 1, 3), (value - 2, size)]),
    }
}

/// The codes of a prefix code group.
#[derive(Clone, Copy)]
enum Group {
    /// Five codes of one symbol: 20 bits.
    Least,
    /// Five codes of two symbols in the largest alphabets: 115 bits.
    Wide,
    /// Codes of 2,048, 256, 256, 256 and 32 symbols: 35 bytes.
    Dense,
}

fn write_group(bits: &mut BitWriter, group: Group) {
    match group {
        Group::Least => (0..5).for_each(|_| bits.write_all(ONE_SYMBOL)),
        Group::Wide => (0..5).for_each(|_| bits.write_all(TWO_SYMBOLS)),
        Group::Dense => {
            uniform(bits, 14, Some((12, 2048)));
            (0..3).for_each(|_| uniform(bits, 11, None));
            uniform(bits, 7, Some((6, 32)));
        }
    }
}

/// A bitstream of one block and `count` groups of codes, of which the last one is used.
fn groups(side: u32, count: u32, group: Group, has_header: bool) -> Vec<u8> {
    let mut bits = BitWriter::default();
    if has_header {
        bits.write_all(&[(0x2f, 8), (side - 1, 14), (side - 1, 14), (0, 1), (0, 3)]);
    }
    // No transform, a cache, an entropy image of one pixel.
    bits.write_all(&[(0, 1), (1, 1), (CACHE_BITS, 4), (1, 1), (7, 3), (0, 1)]);
    let last = count - 1;
    for symbol in [last & 0xff, last >> 8] {
        bits.write_all(&[(1, 1), (0, 1), (1, 1), (symbol, 8)]);
    }
    (0..3).for_each(|_| bits.write_all(ONE_SYMBOL));
    (1..count).for_each(|_| write_group(&mut bits, group));
    write_group(&mut bits, Group::Least);
    bits.finish()
}

fn u24(value: u32) -> [u8; 3] {
    let [low, middle, high, _] = value.to_le_bytes();
    [low, middle, high]
}

fn extended(flags: u8, side: u32, rest: &[u8]) -> Vec<u8> {
    let header = [[flags, 0, 0, 0].as_slice(), &u24(side - 1), &u24(side - 1)].concat();
    webp_file(&[riff_chunk(b"VP8X", &header), rest.to_vec()].concat())
}

/// An animation of `count` frames that are all `image`.
fn animation(side: u32, count: usize, image: &[u8]) -> Vec<u8> {
    let place = [u24(0), u24(0), u24(side - 1), u24(side - 1), u24(40)].concat();
    let frame = riff_chunk(b"ANMF", &[place.as_slice(), &[0], image].concat());
    extended(0x12, side, &[riff_chunk(b"ANIM", &[0; 6]), frame.repeat(count)].concat())
}

fn lossless(data: &[u8]) -> Vec<u8> {
    riff_chunk(b"VP8L", data)
}

fn hostile(name: &'static str, picture: Vec<u8>, pixels: usize) -> HostilePicture {
    HostilePicture::new(name, ImageKind::Webp, picture, pixels)
}

/// One pixel, 65,536 groups of which one is used: 164 kB.
pub(super) fn unused_groups() -> HostilePicture {
    hostile("webp-unused-groups", webp_file(&lossless(&groups(1, 1 << 16, Group::Least, true))), 1)
}

/// One pixel and 5,000 groups of the largest alphabets: 72 kB.
pub(super) fn wide_groups() -> HostilePicture {
    hostile("webp-wide-groups", webp_file(&lossless(&groups(1, 5_000, Group::Wide, true))), 1)
}

/// The same 137 times in an animation: 9.9 MB.
pub(super) fn frames_of_groups() -> HostilePicture {
    let image = lossless(&groups(1, 5_000, Group::Wide, true));
    hostile("webp-frames-of-groups", animation(1, 137, &image), 137)
}

/// Groups of 2,848 codewords in 35 bytes each: 2.3 MB.
pub(super) fn dense_codes() -> HostilePicture {
    hostile("webp-dense-codes", webp_file(&lossless(&groups(1, 1 << 16, Group::Dense, true))), 1)
}

/// A megapixel of codewords that are all longer than a table of 8 bits resolves.
pub(super) fn long_codewords() -> HostilePicture {
    const SIDE: u32 = 1024;
    let mut bits = BitWriter::default();
    bits.write_all(&[(0x2f, 8), (SIDE - 1, 14), (SIDE - 1, 14), (0, 1), (0, 3)]);
    // No transform, no cache, one group: of each alphabet two symbols have 1 to 7 bits, and 128 have 15.
    bits.write_all(&[(0, 1), (0, 1), (0, 1)]);
    (0..4).for_each(|_| long_code(&mut bits));
    bits.write_all(ONE_SYMBOL);
    for codeword in (0..4 * SIDE * SIDE).map(|index| index % 128) {
        // A codeword of 15 bits, highest bit first: eight ones, and the number.
        bits.write(0xff, 8);
        bits.write(codeword.reverse_bits() >> 25, 7);
    }
    hostile("webp-long-codewords", webp_file(&lossless(&bits.finish())), (SIDE * SIDE) as usize)
}

/// Codeword lengths 1 to 8, and 128 of 15 bits.
fn long_code(bits: &mut BitWriter) {
    // All 16 lengths of 1 to 8 and 15 are codewords of 4 bits; the order is 17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, …, 15.
    bits.write_all(&[(0, 1), (15, 4), (0, 3), (0, 3), (4, 3)]);
    (0..5).for_each(|_| bits.write(4, 3));
    bits.write(0, 3);
    (0..10).for_each(|_| bits.write(4, 3));
    bits.write_all(&[(1, 1), (3, 3), (8 + 128 - 2, 8)]);
    // Of equal lengths the codewords are the numbers, highest bit first.
    let mut length = |length: u32| bits.write(length.reverse_bits() >> 28, 4);
    (1..=8).for_each(&mut length);
    (0..128).for_each(|_| length(15));
}

/// 65,000 lossless frames of one pixel: 2.6 MB.
pub(super) fn tiny_lossless_frames() -> HostilePicture {
    let mut bits = BitWriter::default();
    bits.write_all(&[(0x2f, 8), (0, 14), (0, 14), (0, 1), (0, 3), (0, 1), (0, 1), (0, 1)]);
    write_group(&mut bits, Group::Least);
    hostile("webp-tiny-lossless-frames", animation(1, 65_000, &lossless(&bits.finish())), 65_000)
}

/// 65,000 lossy frames of one pixel: 4.5 MB.
pub(super) fn tiny_lossy_frames() -> HostilePicture {
    hostile("webp-tiny-lossy-frames", animation(1, 65_000, &riff_chunk(b"VP8 ", LOSSY_PIXEL)), 65_000)
}

/// An alpha plane of 65,536 groups under a lossy pixel: 0.9 MB.
pub(super) fn groups_of_an_alpha_plane() -> HostilePicture {
    let alpha = [[1].as_slice(), &groups(1, 1 << 16, Group::Wide, false)].concat();
    let image = [riff_chunk(b"ALPH", &alpha), riff_chunk(b"VP8 ", LOSSY_PIXEL)].concat();
    hostile("webp-groups-of-alpha", extended(0x10, 1, &image), 1)
}

/// A gray pixel as a key frame of VP8, by libwebp.
const LOSSY_PIXEL: &[u8] = &[
    0x50, 0x01, 0x00, 0x9d, 0x01, 0x2a, 0x01, 0x00, 0x01, 0x00, 0x07, 0x40, 0x96, 0x25, 0xa4, 0x00, 0x04, 0x74, 0x00,
    0x00, 0xe4, 0x40, 0x00, 0x00,
];
