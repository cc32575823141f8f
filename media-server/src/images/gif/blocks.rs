//! The blocks of a GIF (`GIF89a`, 1990), one after the other.

use std::ops::Range;

use crate::images::{BLOCKS_MAX, Refusal, visits};

const HEADER_BYTES: usize = 6;
const SCREEN_BYTES: usize = 7;
/// An image's separator and descriptor, the last byte of which are its flags.
pub(super) const DESCRIPTOR_BYTES: usize = 10;

pub(super) const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2c;
pub(super) const TRAILER: u8 = 0x3b;

pub(super) enum Block<'a> {
    /// A whole extension.
    Extension(&'a [u8]),
    Image(Image<'a>),
    Trailer,
}

/// An image's place on the screen, in pixels, and its data.
pub(super) struct Image<'a> {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) flags: u8,
    /// Bits of a literal.
    pub(super) code_size: u8,
    /// Sub-blocks, the empty last one included.
    pub(super) data: &'a [u8],
    /// All of it, and where in the file.
    pub(super) range: Range<usize>,
}

/// Reads blocks up to the trailer.
pub(super) struct Blocks<'a> {
    picture: &'a [u8],
    at: usize,
    count: usize,
    screen: (u32, u32),
    has_colours: bool,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(picture: &'a [u8]) -> Result<Self, Refusal> {
        let mut blocks = Self { picture, at: HEADER_BYTES, count: 0, screen: (0, 0), has_colours: false };
        let [w0, w1, h0, h1, flags, ..] = blocks.take(SCREEN_BYTES)? else { return Err(Refusal::Truncated) };
        blocks.screen = (number(*w0, *w1), number(*h0, *h1));
        blocks.has_colours = !blocks.take(colour_table_bytes(*flags))?.is_empty();
        Ok(blocks)
    }

    /// Width and height of the screen.
    pub(super) fn screen(&self) -> (u32, u32) {
        self.screen
    }

    /// Where the next block begins, or a terminator before it.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn next(&mut self) -> Result<Block<'a>, Refusal> {
        self.count += 1;
        if self.count > BLOCKS_MAX {
            return Err(Refusal::TooManyBlocks);
        }
        loop {
            let start = self.at;
            match self.take(1)? {
                [EXTENSION] => {
                    self.take(1)?;
                    self.sub_blocks()?;
                    return Ok(Block::Extension(self.picture.get(start..self.at).unwrap_or_default()));
                }
                [IMAGE] => return self.image(start).map(Block::Image),
                [TRAILER] => return Ok(Block::Trailer),
                // A terminator too many, which decoders pass over.
                [0] => visits::add(1),
                _ => return Err(Refusal::Broken("a block of an unknown kind".to_owned())),
            }
        }
    }

    fn image(&mut self, start: usize) -> Result<Image<'a>, Refusal> {
        let [x0, x1, y0, y1, w0, w1, h0, h1, flags] = self.take(DESCRIPTOR_BYTES - 1)? else {
            return Err(Refusal::Truncated);
        };
        let has_colours = !self.take(colour_table_bytes(*flags))?.is_empty() || self.has_colours;
        if !has_colours {
            return Err(Refusal::Broken("an image without a colour table".to_owned()));
        }
        let [code_size] = self.take(1)? else { return Err(Refusal::Truncated) };
        let data = self.sub_blocks()?;
        // The gif crate takes what follows an empty one for its data.
        if data.len() < 2 {
            return Err(Refusal::Truncated);
        }
        Ok(Image {
            left: number(*x0, *x1),
            top: number(*y0, *y1),
            width: number(*w0, *w1),
            height: number(*h0, *h1),
            flags: *flags,
            code_size: *code_size,
            data,
            range: start..self.at,
        })
    }

    fn sub_blocks(&mut self) -> Result<&'a [u8], Refusal> {
        let rest = self.picture.get(self.at..).unwrap_or_default();
        let mut length = 0;
        while let Some(block) = rest.get(length).filter(|block| **block > 0) {
            visits::add(1);
            length += 1 + usize::from(*block);
        }
        self.take(length + 1)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let taken = self.picture.get(self.at..).and_then(|rest| rest.get(..count)).ok_or(Refusal::Truncated)?;
        self.at += count;
        Ok(taken)
    }
}

fn number(low: u8, high: u8) -> u32 {
    u16::from_le_bytes([low, high]).into()
}

fn colour_table_bytes(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}
