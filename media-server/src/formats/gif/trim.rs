//! Trims the LZW codes of a GIF image after its last pixel.

use super::lzw::CodeEnd;
use crate::formats::rewrite::Rewrite;

const SUB_BLOCK_BYTES_MAX: usize = 255;

/// Appends the codes in `sub_blocks` up to `end`, the end-of-information code, and zero padding.
pub(super) fn put(rewrite: &mut Rewrite<'_>, mut sub_blocks: &[u8], end: &CodeEnd) {
    let mut codes = Vec::new();
    while let Some((length @ 1.., rest)) = sub_blocks.split_first() {
        let (block, rest) = rest.split_at_checked(usize::from(*length)).unwrap_or((rest, &[]));
        codes.extend_from_slice(block);
        sub_blocks = rest;
    }
    let (last, shift) = (end.bits / 8, end.bits % 8);
    let begun = codes.get(last).copied().map_or(0, usize::from) & ((1 << shift) - 1);
    let ending = (begun | end.code << shift).to_le_bytes();
    codes.truncate(last);
    codes.extend(ending.iter().take((shift + end.code_bits as usize).div_ceil(8)));
    for block in codes.chunks(SUB_BLOCK_BYTES_MAX) {
        rewrite.put(&[u8::try_from(block.len()).unwrap_or(u8::MAX)]);
        rewrite.put(block);
    }
    rewrite.put(&[0]);
}
