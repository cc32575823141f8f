//! Blocks of a GIF (`GIF89a`, 1990).

use std::ops::Range;

use crate::formats::{BLOCKS_MAX, ImageError, visits};

const HEADER_BYTES: usize = 6;
const SCREEN_BYTES: usize = 7;
/// Length of the image separator and descriptor, whose last byte is the flags.
pub(super) const DESCRIPTOR_BYTES: usize = 10;

pub(super) const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2c;
pub(super) const TRAILER: u8 = 0x3b;

pub(super) enum GifBlock<'a> {
    Extension(&'a [u8]),
    Image(GifImage<'a>),
    Trailer,
}

/// An image on the logical screen.
pub(super) struct GifImage<'a> {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) flags: u8,
    /// LZW minimum code size.
    pub(super) code_size: u8,
    /// Sub-blocks, the terminator included.
    pub(super) data: &'a [u8],
    /// Of the whole image, descriptor included.
    pub(super) range: Range<usize>,
}

/// Iterates over the blocks up to the trailer.
pub(super) struct GifBlocks<'a> {
    picture: &'a [u8],
    at: usize,
    count: usize,
    screen: (u32, u32),
    has_color_table: bool,
}

impl<'a> GifBlocks<'a> {
    pub(super) fn new(picture: &'a [u8]) -> Result<Self, ImageError> {
        let mut blocks = Self { picture, at: HEADER_BYTES, count: 0, screen: (0, 0), has_color_table: false };
        let [w0, w1, h0, h1, flags, ..] = blocks.take(SCREEN_BYTES)? else { return Err(ImageError::Truncated) };
        blocks.screen = (number(*w0, *w1), number(*h0, *h1));
        blocks.has_color_table = !blocks.take(color_table_bytes(*flags))?.is_empty();
        Ok(blocks)
    }

    /// Returns width and height of the logical screen.
    pub(super) fn screen(&self) -> (u32, u32) {
        self.screen
    }

    /// Returns the offset of the next block, or of a terminator before it.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn next(&mut self) -> Result<GifBlock<'a>, ImageError> {
        self.count += 1;
        if self.count > BLOCKS_MAX {
            return Err(ImageError::TooManyBlocks);
        }
        loop {
            let start = self.at;
            match self.take(1)? {
                [EXTENSION] => {
                    self.take(1)?;
                    self.sub_blocks()?;
                    return Ok(GifBlock::Extension(self.picture.get(start..self.at).unwrap_or_default()));
                }
                [IMAGE] => return self.image(start).map(GifBlock::Image),
                [TRAILER] => return Ok(GifBlock::Trailer),
                // A surplus terminator, which decoders skip.
                [0] => visits::add(1),
                _ => return Err(ImageError::malformed("an unknown block")),
            }
        }
    }

    fn image(&mut self, start: usize) -> Result<GifImage<'a>, ImageError> {
        let [x0, x1, y0, y1, w0, w1, h0, h1, flags] = self.take(DESCRIPTOR_BYTES - 1)? else {
            return Err(ImageError::Truncated);
        };
        let has_color_table = !self.take(color_table_bytes(*flags))?.is_empty() || self.has_color_table;
        if !has_color_table {
            return Err(ImageError::malformed("an image without a color table"));
        }
        let [code_size] = self.take(1)? else { return Err(ImageError::Truncated) };
        let data = self.sub_blocks()?;
        // The gif crate takes what follows empty data for the data.
        if data.len() < 2 {
            return Err(ImageError::Truncated);
        }
        Ok(GifImage {
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

    fn sub_blocks(&mut self) -> Result<&'a [u8], ImageError> {
        let rest = self.picture.get(self.at..).unwrap_or_default();
        let mut length = 0;
        while let Some(block) = rest.get(length).filter(|block| **block > 0) {
            visits::add(1);
            length += 1 + usize::from(*block);
        }
        self.take(length + 1)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], ImageError> {
        let taken = self.picture.get(self.at..).and_then(|rest| rest.get(..count)).ok_or(ImageError::Truncated)?;
        self.at += count;
        Ok(taken)
    }
}

fn number(low: u8, high: u8) -> u32 {
    u16::from_le_bytes([low, high]).into()
}

fn color_table_bytes(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}
