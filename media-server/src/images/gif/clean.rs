//! Drops the blocks of a GIF that are not the picture (`GIF89a`, 1990).

use bytes::Bytes;

use crate::images::rewrite::Rewrite;
use crate::images::{BLOCKS_MAX, Refusal};

const HEADER_BYTES: usize = 6;
const SCREEN_BYTES: usize = 7;
const DESCRIPTOR_BYTES: usize = 9;

const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2c;
const TRAILER: u8 = 0x3b;
const GRAPHIC_CONTROL: u8 = 0xf9;
const APPLICATION: u8 = 0xff;

/// Keeps the screen, the colour tables, the images with their graphic controls, and how often an animation is repeated.
/// Plain text goes with the comments: no decoder in use draws it, and the graphic control before it stays, which those
/// decoders take for the next image's.
pub(in crate::images) fn clean(picture: &Bytes) -> Result<Bytes, Refusal> {
    let mut cleaner = Cleaner { rewrite: Rewrite::new(picture), picture, at: HEADER_BYTES };
    let flags = cleaner.byte(HEADER_BYTES + 4)?;
    cleaner.keep(SCREEN_BYTES + colour_table_bytes(flags), HEADER_BYTES)?;
    for _ in 0..BLOCKS_MAX {
        match cleaner.byte(cleaner.at)? {
            EXTENSION => cleaner.extension()?,
            IMAGE => cleaner.image()?,
            TRAILER => {
                cleaner.keep(1, 0)?;
                return Ok(cleaner.rewrite.finish());
            }
            // A terminator too many, which decoders pass over.
            0 => cleaner.at += 1,
            other => return Err(Refusal::Broken(format!("what block {other:#04x} is is not known"))),
        }
    }
    Err(Refusal::TooManyBlocks)
}

struct Cleaner<'a> {
    rewrite: Rewrite<'a>,
    picture: &'a [u8],
    at: usize,
}

impl Cleaner<'_> {
    fn byte(&self, at: usize) -> Result<u8, Refusal> {
        self.picture.get(at).copied().ok_or(Refusal::Truncated)
    }

    /// Keeps `length` bytes and the `before` bytes before them.
    fn keep(&mut self, length: usize, before: usize) -> Result<(), Refusal> {
        let (start, end) = (self.at - before, self.at + length);
        if end > self.picture.len() {
            return Err(Refusal::Truncated);
        }
        self.rewrite.keep(start..end);
        self.at = end;
        Ok(())
    }

    fn extension(&mut self) -> Result<(), Refusal> {
        let start = self.at;
        let label = self.byte(start + 1)?;
        let end = self.sub_blocks_end(start + 2)?;
        let block = self.picture.get(start..end).unwrap_or_default();
        match label {
            GRAPHIC_CONTROL => self.rewrite.keep(start..end),
            APPLICATION => {
                if let Some(repeat) = repeat(block) {
                    self.rewrite.replace(start..end, repeat);
                }
            }
            _ => {}
        }
        self.at = end;
        Ok(())
    }

    fn image(&mut self) -> Result<(), Refusal> {
        let flags = self.byte(self.at + DESCRIPTOR_BYTES)?;
        // The last byte is the code size, before the data.
        let data = self.at + 1 + DESCRIPTOR_BYTES + colour_table_bytes(flags) + 1;
        let end = self.sub_blocks_end(data)?;
        self.keep(end - self.at, 0)
    }

    /// The end of the sub-blocks that begin at `at`: after the empty one.
    fn sub_blocks_end(&self, mut at: usize) -> Result<usize, Refusal> {
        loop {
            let length = self.byte(at)?;
            at += 1 + usize::from(length);
            if length == 0 {
                return Ok(at);
            }
        }
    }
}

fn colour_table_bytes(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
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
