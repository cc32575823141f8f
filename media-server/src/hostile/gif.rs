//! GIF (`GIF89a`, 1990) with costly frames, codes and blocks.

use shared::media_api::ImageKind;

use super::bits::BitWriter;
use super::{HostilePicture, ordinary};

/// The largest code size that decoders accept: tables start with 2,050 entries.
const CODE_SIZE_MAX: u8 = 11;

/// A screen of `side` pixels and two colours, without an image.
fn screen(side: u16) -> Vec<u8> {
    let side = side.to_le_bytes();
    [b"GIF89a", side.as_slice(), &side, &[0x80, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff]].concat()
}

/// An image whose data is in blocks of `block_bytes`.
fn image(side: u16, code_size: u8, data: &[u8], block_bytes: usize) -> Vec<u8> {
    let side = side.to_le_bytes();
    let mut image = [&[0x2c, 0, 0, 0, 0], side.as_slice(), &side, &[0, code_size]].concat();
    for block in data.chunks(block_bytes) {
        image.push(block.len() as u8);
        image.extend_from_slice(block);
    }
    image.push(0);
    image
}

fn hostile(name: &'static str, blocks: &[u8], side: u16, pixels: usize) -> HostilePicture {
    let picture = [screen(side).as_slice(), blocks, &[0x3b]].concat();
    HostilePicture::new(name, ImageKind::Gif, picture, pixels)
}

/// 65,000 frames of one pixel with alternating code sizes, so that a decoder allocates new tables: 1 MB.
pub(super) fn tiny_frames() -> HostilePicture {
    let frame = |code_size: u8| {
        let bits = u32::from(code_size) + 1;
        let mut data = BitWriter::default();
        data.write_all(&[(1 << code_size, bits), (0, bits), ((1 << code_size) + 1, bits)]);
        image(1, code_size, &data.finish(), 255)
    };
    let pair = [frame(CODE_SIZE_MAX), frame(CODE_SIZE_MAX - 1)].concat();
    hostile("gif-tiny-frames", &pair.repeat(32_500), 1, 65_000)
}

/// 6.6 million clear codes before one pixel: 10 MB.
pub(super) fn clear_codes() -> HostilePicture {
    let mut data = BitWriter::default();
    let (clear, bits) = (1 << CODE_SIZE_MAX, u32::from(CODE_SIZE_MAX) + 1);
    (0..6_600_000).for_each(|_| data.write(clear, bits));
    data.write_all(&[(0, bits), (clear + 1, bits)]);
    hostile("gif-clear-codes", &image(1, CODE_SIZE_MAX, &data.finish(), 255), 1, 1)
}

/// 2,048 × 2,048 pixels of noise whose data is in blocks of one byte: 9 MB.
pub(super) fn short_sub_blocks() -> HostilePicture {
    const SIDE: u16 = 2048;
    let mut data = BitWriter::default();
    // Cleared before it grows, so that each pixel has a code of 9 bits.
    for (index, sample) in ordinary::noise(usize::from(SIDE) * usize::from(SIDE)).into_iter().enumerate() {
        if index % 250 == 0 {
            data.write(256, 9);
        }
        data.write(sample.into(), 9);
    }
    data.write(257, 9);
    let pixels = usize::from(SIDE) * usize::from(SIDE);
    hostile("gif-short-sub-blocks", &image(SIDE, 8, &data.finish(), 1), SIDE, pixels)
}
