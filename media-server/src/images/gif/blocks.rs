//! The images of a GIF (`GIF89a`, 1990), one after the other.

use crate::images::Refusal;

const HEADER_BYTES: usize = 6;
const SCREEN_BYTES: usize = 7;
const DESCRIPTOR_BYTES: usize = 9;

const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2c;
const TRAILER: u8 = 0x3b;

/// An image's place on the screen, in pixels, and its data.
pub(super) struct Image<'a> {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bits of a literal.
    pub(super) code_size: u8,
    /// Sub-blocks, the empty last one included.
    pub(super) data: &'a [u8],
}

/// Reads images up to the trailer.
pub(super) struct Images<'a> {
    rest: &'a [u8],
    screen: (u32, u32),
    has_colours: bool,
}

impl<'a> Images<'a> {
    pub(super) fn new(picture: &'a [u8]) -> Result<Self, Refusal> {
        let mut images = Self { rest: picture, screen: (0, 0), has_colours: false };
        images.take(HEADER_BYTES)?;
        let [w0, w1, h0, h1, flags, ..] = images.take(SCREEN_BYTES)? else { return Err(Refusal::Truncated) };
        images.screen = (u16::from_le_bytes([*w0, *w1]).into(), u16::from_le_bytes([*h0, *h1]).into());
        images.has_colours = !images.take(colour_table_bytes(*flags))?.is_empty();
        Ok(images)
    }

    /// Width and height of the screen.
    pub(super) fn screen(&self) -> (u32, u32) {
        self.screen
    }

    pub(super) fn next(&mut self) -> Result<Option<Image<'a>>, Refusal> {
        loop {
            match self.take(1)? {
                [EXTENSION] => {
                    self.take(1)?;
                    self.sub_blocks()?;
                }
                [IMAGE] => return self.image().map(Some),
                [TRAILER] => return Ok(None),
                _ => return Err(Refusal::Broken("a block of an unknown kind".to_owned())),
            }
        }
    }

    fn image(&mut self) -> Result<Image<'a>, Refusal> {
        let [x0, x1, y0, y1, w0, w1, h0, h1, flags] = self.take(DESCRIPTOR_BYTES)? else {
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
        let number = |low: &u8, high: &u8| u32::from(u16::from_le_bytes([*low, *high]));
        Ok(Image {
            left: number(x0, x1),
            top: number(y0, y1),
            width: number(w0, w1),
            height: number(h0, h1),
            code_size: *code_size,
            data,
        })
    }

    fn sub_blocks(&mut self) -> Result<&'a [u8], Refusal> {
        let mut length = 0;
        while let Some(block) = self.rest.get(length).filter(|block| **block > 0) {
            length += 1 + usize::from(*block);
        }
        self.take(length + 1)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Refusal::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn colour_table_bytes(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}
