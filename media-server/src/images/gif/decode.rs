//! Follows the codes of all images of a GIF that has been stripped, and drops what follows the end of each.

use std::ops::Range;

use bytes::Bytes;

use super::clean::{Blocks, EXTENSION, IMAGE, TRAILER};
use super::lzw::{Codes, End};
use crate::images::Refusal;
use crate::images::rewrite::Rewrite;

const SUB_BLOCK_BYTES_MAX: usize = 255;

/// Decodes all frames; returns the picture with the codes of each ending where its last pixel is made.
pub(in crate::images) fn decode(picture: &Bytes) -> Result<Bytes, Refusal> {
    let mut rewrite = Rewrite::new(picture);
    let mut blocks = Blocks::new(picture)?;
    rewrite.keep(0..blocks.at);
    let (mut codes, mut data) = (Codes::new(), Vec::new());
    loop {
        let start = blocks.at;
        match blocks.byte(0)? {
            EXTENSION => drop(blocks.extension()?),
            IMAGE => {
                let image = blocks.image()?;
                if !image.has_colour_table {
                    return Err(Refusal::Broken("an image without a colour table".to_owned()));
                }
                let first = image.code_size_at + 1;
                gather(picture, first..blocks.at, &mut data);
                let code_size = picture.get(image.code_size_at).copied().unwrap_or_default();
                let end = codes.follow(code_size, &data, image.pixels)?;
                rewrite.keep(start..first);
                let (last, ending) = (end.bits / 8, ending(&data, &end));
                if data.get(last..) == Some(&ending) {
                    rewrite.keep(first..blocks.at);
                } else {
                    data.truncate(last);
                    data.extend_from_slice(&ending);
                    put_sub_blocks(&mut rewrite, &data);
                }
                continue;
            }
            TRAILER => {
                rewrite.keep(start..start + 1);
                return Ok(rewrite.finish().into_bytes(picture));
            }
            other => return Err(Refusal::Broken(format!("what block {other:#04x} is is not known"))),
        }
        rewrite.keep(start..blocks.at);
    }
}

/// Writes the data of sub-blocks into `data`.
fn gather(picture: &[u8], Range { start, end }: Range<usize>, data: &mut Vec<u8>) {
    data.clear();
    let mut at = start;
    while let Some(length @ 1..) = picture.get(at).copied().filter(|_| at < end).map(usize::from) {
        data.extend_from_slice(picture.get(at + 1..at + 1 + length).unwrap_or_default());
        at += 1 + length;
    }
}

/// The last bytes of `data`, from the one on in which the code for its end begins; zeros follow that.
fn ending(data: &[u8], end: &End) -> Vec<u8> {
    let (first, shift) = (end.bits / 8, end.bits % 8);
    let kept = data.get(first).copied().map_or(0, usize::from) & ((1 << shift) - 1);
    let mut ending = (kept | end.code << shift).to_le_bytes().to_vec();
    ending.truncate((shift + end.code_bits as usize).div_ceil(8));
    ending
}

/// Writes `data` in sub-blocks.
fn put_sub_blocks(rewrite: &mut Rewrite<'_>, data: &[u8]) {
    for block in data.chunks(SUB_BLOCK_BYTES_MAX) {
        rewrite.put(&[u8::try_from(block.len()).unwrap_or(u8::MAX)]);
        rewrite.put(block);
    }
    rewrite.put(&[0]);
}
