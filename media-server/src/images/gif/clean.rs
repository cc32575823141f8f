//! Metadata stripping of GIF (`GIF89a`, 1990): drops the blocks that are not the picture.
//!
//! Not looked for: entries of colour tables that no pixel uses, codes that say the same with more bits, and what the pixels
//! themselves may hold.

use bytes::Bytes;

use crate::images::rewrite::Rewrite;
use crate::images::{BLOCKS_MAX, Refusal, visits};

const HEADER_BYTES: usize = 6;
const SCREEN_BYTES: usize = 7;
pub(super) const DESCRIPTOR_BYTES: usize = 9;

pub(super) const EXTENSION: u8 = 0x21;
pub(super) const IMAGE: u8 = 0x2c;
pub(super) const TRAILER: u8 = 0x3b;
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
    rewrite.keep(0..blocks.at);
    let (mut control, mut repeat_at) = (None, None);
    for _ in 0..BLOCKS_MAX {
        match blocks.byte(0)? {
            EXTENSION => {
                let block = blocks.extension()?;
                match block {
                    [_, GRAPHIC_CONTROL, ..] => control = Some(graphic_control(block)?),
                    [_, APPLICATION, ..] => {
                        let Some(repeat) = repeat(block) else { continue };
                        if let Some(at) = repeat_at {
                            rewrite.patch(at, repeat.get(REPEAT_AT..REPEAT_AT + 2).unwrap_or_default());
                        } else {
                            repeat_at = Some(rewrite.len() + REPEAT_AT);
                            rewrite.put(&repeat);
                        }
                    }
                    _ => {}
                }
            }
            IMAGE => {
                let start = blocks.at;
                let image = blocks.image()?;
                rewrite.put(control.take().as_ref().map_or(&[], |control: &[u8; 8]| control));
                rewrite.keep(start..start + DESCRIPTOR_BYTES);
                // Without the two reserved bits.
                rewrite.put(&[image.flags & 0xe7]);
                rewrite.keep(start + DESCRIPTOR_BYTES + 1..blocks.at);
            }
            TRAILER => {
                rewrite.put(&[TRAILER]);
                return Ok(rewrite.finish().into_bytes(picture));
            }
            // A terminator too many, which decoders pass over.
            0 => blocks.at += 1,
            other => return Err(Refusal::Broken(format!("what block {other:#04x} is is not known"))),
        }
    }
    Err(Refusal::TooManyBlocks)
}

/// Reads the blocks of a GIF.
pub(super) struct Blocks<'a> {
    picture: &'a [u8],
    /// Where the next block begins.
    pub(super) at: usize,
    pub(super) has_colour_table: bool,
}

/// An image: its descriptor's flags and size, and where its parts stand.
pub(super) struct Image {
    pub(super) flags: u8,
    pub(super) pixels: usize,
    pub(super) has_colour_table: bool,
    /// Where the code size stands, before the sub-blocks of LZW codes.
    pub(super) code_size_at: usize,
}

impl<'a> Blocks<'a> {
    /// Passes over the header, the screen and its colour table.
    pub(super) fn new(picture: &'a [u8]) -> Result<Self, Refusal> {
        let flags = *picture.get(HEADER_BYTES + 4).ok_or(Refusal::Truncated)?;
        let at = HEADER_BYTES + SCREEN_BYTES + colour_table_bytes(flags);
        if at > picture.len() {
            Err(Refusal::Truncated)
        } else {
            Ok(Self { picture, at, has_colour_table: flags & 0x80 != 0 })
        }
    }

    /// The byte at this distance from the next block's first.
    pub(super) fn byte(&self, distance: usize) -> Result<u8, Refusal> {
        self.picture.get(self.at + distance).copied().ok_or(Refusal::Truncated)
    }

    /// Passes over an extension.
    pub(super) fn extension(&mut self) -> Result<&'a [u8], Refusal> {
        let start = self.at;
        self.at = self.sub_blocks_end(start + 2)?;
        Ok(self.picture.get(start..self.at).unwrap_or_default())
    }

    /// Passes over an image.
    pub(super) fn image(&mut self) -> Result<Image, Refusal> {
        let side = |low: usize| Ok(usize::from(u16::from_le_bytes([self.byte(low)?, self.byte(low + 1)?])));
        let (width, height, flags) = (side(5)?, side(7)?, self.byte(DESCRIPTOR_BYTES)?);
        let code_size_at = self.at + 1 + DESCRIPTOR_BYTES + colour_table_bytes(flags);
        self.at = self.sub_blocks_end(code_size_at + 1)?;
        Ok(Image {
            flags,
            pixels: width * height,
            has_colour_table: flags & 0x80 != 0 || self.has_colour_table,
            code_size_at,
        })
    }

    /// The end of the sub-blocks that begin at `at`: after the empty one.
    fn sub_blocks_end(&self, mut at: usize) -> Result<usize, Refusal> {
        loop {
            let length = *self.picture.get(at).ok_or(Refusal::Truncated)?;
            at += 1 + usize::from(length);
            visits::add(1);
            if length == 0 {
                return Ok(at);
            }
        }
    }
}

fn colour_table_bytes(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
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
