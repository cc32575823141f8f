//! Metadata stripping of GIF (`GIF89a`, 1990).
//!
//! Not removed: unused color table entries, redundant LZW codes, and data hidden in the pixels.

use bytes::Bytes;

use super::blocks::{DESCRIPTOR_BYTES, EXTENSION, GifBlock, GifBlocks, TRAILER};
use crate::formats::ImageError;
use crate::formats::rewrite::Rewrite;

const GRAPHIC_CONTROL: u8 = 0xf9;
const APPLICATION: u8 = 0xff;

/// Offset of the loop count in the result of [`looping`].
const LOOP_COUNT_AT: usize = 16;

/// Keeps the screen, color tables, images, each with the last graphic control before it, and one looping extension with the
/// last loop count. Clears reserved bits. Drops plain text: no decoder in use draws it. The graphic control before it stays,
/// since those decoders apply it to the next image.
pub(in crate::formats) fn strip_metadata(picture: &Bytes) -> Result<Bytes, ImageError> {
    let mut rewrite = Rewrite::new(picture);
    let mut blocks = GifBlocks::new(picture)?;
    rewrite.keep(0..blocks.at());
    let (mut control, mut loop_count_at) = (None, None);
    loop {
        match blocks.next()? {
            GifBlock::Extension(block @ [_, GRAPHIC_CONTROL, ..]) => control = Some(graphic_control(block)?),
            GifBlock::Extension(block @ [_, APPLICATION, ..]) => {
                let Some(looping) = looping(block) else { continue };
                if let Some(at) = loop_count_at {
                    rewrite.patch(at, looping.get(LOOP_COUNT_AT..LOOP_COUNT_AT + 2).unwrap_or_default());
                } else {
                    loop_count_at = Some(rewrite.len() + LOOP_COUNT_AT);
                    rewrite.put(&looping);
                }
            }
            GifBlock::Extension(_) => {}
            GifBlock::Image(image) => {
                rewrite.put(control.take().as_ref().map_or(&[], |control: &[u8; 8]| control));
                let flags_at = image.range.start + DESCRIPTOR_BYTES - 1;
                rewrite.keep(image.range.start..flags_at);
                // Clears the two reserved bits.
                rewrite.put(&[image.flags & 0xe7]);
                rewrite.keep(flags_at + 1..image.range.end);
            }
            GifBlock::Trailer => {
                rewrite.put(&[TRAILER]);
                return Ok(rewrite.finish().into_bytes(picture));
            }
        }
    }
}

/// Returns a graphic control without its reserved bits and surplus sub-blocks.
fn graphic_control(block: &[u8]) -> Result<[u8; 8], ImageError> {
    match block {
        [_, _, 4, flags, low, high, transparent, ..] => {
            Ok([EXTENSION, GRAPHIC_CONTROL, 4, flags & 0x1f, *low, *high, *transparent, 0])
        }
        _ => Err(ImageError::malformed("a graphic control of a wrong length")),
    }
}

/// Returns a looping extension without surplus sub-blocks; `None` for other application extensions.
fn looping(block: &[u8]) -> Option<Vec<u8>> {
    const NAME_END: usize = 14;
    let (name, data) = block.split_at_checked(NAME_END)?;
    let (b"\x21\xff\x0bNETSCAPE2.0" | b"\x21\xff\x0bANIMEXTS1.0", [3, 1, low, high, ..]) = (name, data) else {
        return None;
    };
    Some([name, &[3, 1, *low, *high, 0]].concat())
}
