//! PNG (W3C PNG, third edition; RFC 1951) with costly blocks, chunks and frames.

use shared::media_api::ImageKind;

use super::HostilePicture;
use super::bits::BitWriter;
use super::containers::png_chunk;

/// Two bytes that begin a zlib stream (RFC 1950).
const ZLIB_HEADER: [u8; 2] = [0x78, 0x01];

/// A gray pixel with its filter, as a last stored block and the checksum of the stream.
const LAST_PIXEL: [u8; 11] = [0x01, 2, 0, 0xfd, 0xff, 0, 0x80, 0, 0x82, 0, 0x81];

/// A gray picture of one pixel, of these chunks.
fn pixel(chunks: &[u8]) -> Vec<u8> {
    let header = [0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0];
    [b"\x89PNG\r\n\x1a\n", png_chunk(b"IHDR", &header).as_slice(), chunks, &png_chunk(b"IEND", &[])].concat()
}

fn hostile(name: &'static str, picture: Vec<u8>, pixels: usize) -> HostilePicture {
    HostilePicture::new(name, ImageKind::Png, picture, pixels)
}

/// 870,000 empty dynamic deflate blocks: 9.9 MB.
pub(super) fn empty_deflate_blocks() -> HostilePicture {
    let mut bits = BitWriter::default();
    for _ in 0..870_000 {
        empty_block(&mut bits);
    }
    // An empty stored block aligns what follows to a byte.
    bits.write(0, 3);
    let data = [ZLIB_HEADER.as_slice(), &bits.finish(), &[0, 0, 0xff, 0xff], &LAST_PIXEL].concat();
    hostile("png-empty-deflate-blocks", pixel(&png_chunk(b"IDAT", &data)), 1)
}

/// A dynamic block of codes for the literal 255, the end of the block and one distance, then the end of the block: 91 bits.
fn empty_block(bits: &mut BitWriter) {
    // Not final, dynamic; 257 literals and lengths, 1 distance, 18 lengths of codeword lengths.
    bits.write_all(&[(0, 1), (2, 2), (0, 5), (0, 5), (14, 4)]);
    // In the order 16, 17, 18, 0, …, 1: those of 18 and of 1 have one bit.
    for place in 0..18 {
        bits.write(u32::from(place == 2 || place == 17), 3);
    }
    // 138 and 117 zeros, three codewords of one bit.
    bits.write_all(&[(1, 1), (127, 7), (1, 1), (106, 7), (0, 3)]);
    bits.write(1, 1);
}

/// 32,000 frames of one pixel: 2.5 MB.
pub(super) fn tiny_frames() -> HostilePicture {
    const FRAMES: u32 = 32_000;
    let data = [ZLIB_HEADER.as_slice(), &LAST_PIXEL].concat();
    let mut chunks = png_chunk(b"acTL", &[FRAMES.to_be_bytes(), [0; 4]].concat());
    let mut sequence = 0u32;
    let mut next = || {
        sequence += 1;
        (sequence - 1).to_be_bytes()
    };
    for frame in 0..FRAMES {
        let place = [[0, 0, 0, 1], [0, 0, 0, 1], [0; 4], [0; 4], [0, 1, 0, 10]].concat();
        chunks.extend(png_chunk(b"fcTL", &[next().as_slice(), &place, &[0, 0]].concat()));
        if frame == 0 {
            chunks.extend(png_chunk(b"IDAT", &data));
        } else {
            chunks.extend(png_chunk(b"fdAT", &[next().as_slice(), &data].concat()));
        }
    }
    hostile("png-tiny-frames", pixel(&chunks), FRAMES as usize)
}

/// A pixel whose data is in 65,000 chunks, nearly all of them empty: 0.8 MB.
pub(super) fn tiny_data_chunks() -> HostilePicture {
    let data = [ZLIB_HEADER.as_slice(), &LAST_PIXEL].concat();
    let chunks = [png_chunk(b"IDAT", &[]).repeat(65_000), png_chunk(b"IDAT", &data)].concat();
    hostile("png-tiny-data-chunks", pixel(&chunks), 1)
}

/// A pixel after two million empty stored blocks: 10 MB.
pub(super) fn stored_blocks() -> HostilePicture {
    let data = [ZLIB_HEADER.as_slice(), &[0, 0, 0, 0xff, 0xff].repeat(2_000_000), &LAST_PIXEL].concat();
    hostile("png-stored-blocks", pixel(&png_chunk(b"IDAT", &data)), 1)
}
