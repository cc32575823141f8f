//! Metadata stripping of GIF (`GIF89a`, 1990): drops the blocks that are not the picture.
//!
//! Not looked for: entries of colour tables that no pixel uses, codes that say the same with more bits, and what the pixels
//! themselves may hold.

use bytes::Bytes;

use super::blocks::{Block, Blocks, DESCRIPTOR_BYTES, EXTENSION, TRAILER};
use crate::images::Refusal;
use crate::images::rewrite::Rewrite;

const GRAPHIC_CONTROL: u8 = 0xf9;
const APPLICATION: u8 = 0xff;

/// Where in what [`repeat`] returns the number of repetitions stands.
const REPEAT_AT: usize = 16;

/// Keeps the screen, the colour tables, the images, each with the last graphic control before it, and how often an animation
/// is repeated: once, with the last number that is given. Reserved bits become 0. Plain text goes with the comments: no
/// decoder in use draws it, and the graphic control before it stays, which those decoders take for the next image's.
pub(in crate::images) fn clean(picture: &Bytes) -> Result<Bytes, Refusal> {
    let mut rewrite = Rewrite::new(picture);
    let mut blocks = Blocks::new(picture)?;
    rewrite.keep(0..blocks.at());
    let (mut control, mut repeat_at) = (None, None);
    loop {
        match blocks.next()? {
            Block::Extension(block @ [_, GRAPHIC_CONTROL, ..]) => control = Some(graphic_control(block)?),
            Block::Extension(block @ [_, APPLICATION, ..]) => {
                let Some(repeat) = repeat(block) else { continue };
                if let Some(at) = repeat_at {
                    rewrite.patch(at, repeat.get(REPEAT_AT..REPEAT_AT + 2).unwrap_or_default());
                } else {
                    repeat_at = Some(rewrite.len() + REPEAT_AT);
                    rewrite.put(&repeat);
                }
            }
            Block::Extension(_) => {}
            Block::Image(image) => {
                rewrite.put(control.take().as_ref().map_or(&[], |control: &[u8; 8]| control));
                let flags_at = image.range.start + DESCRIPTOR_BYTES - 1;
                rewrite.keep(image.range.start..flags_at);
                // Without the two reserved bits.
                rewrite.put(&[image.flags & 0xe7]);
                rewrite.keep(flags_at + 1..image.range.end);
            }
            Block::Trailer => {
                rewrite.put(&[TRAILER]);
                return Ok(rewrite.finish().into_bytes(picture));
            }
        }
    }
}

/// A graphic control without its reserved bits, and what may follow its one sub-block.
fn graphic_control(block: &[u8]) -> Result<[u8; 8], Refusal> {
    match block {
        [_, _, 4, flags, low, high, transparent, ..] => {
            Ok([EXTENSION, GRAPHIC_CONTROL, 4, flags & 0x1f, *low, *high, *transparent, 0])
        }
        _ => Err(Refusal::Broken("a graphic control of a wrong length".to_owned())),
    }
}

/// The block that tells how often to repeat, without what else it may hold.
fn repeat(block: &[u8]) -> Option<Vec<u8>> {
    const NAME_END: usize = 14;
    let (name, data) = block.split_at_checked(NAME_END)?;
    let (b"\x21\xff\x0bNETSCAPE2.0" | b"\x21\xff\x0bANIMEXTS1.0", [3, 1, low, high, ..]) = (name, data) else {
        return None;
    };
    Some([name, &[3, 1, *low, *high, 0]].concat())
}
