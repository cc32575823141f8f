//! What a PNG's IHDR says (W3C PNG, 11.2.1): its size and how its pixels are stored.

use crate::images::Refusal;
use crate::images::icc::PixelSpace;

#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bits of a sample, or of a palette index.
    depth: u8,
    pub(super) color: Color,
    is_interlaced: bool,
}

/// The color type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Color {
    Gray,
    Rgb,
    Indexed,
    GrayAlpha,
    Rgba,
}

/// Bytes of a filtered row and how many such rows follow each other.
pub(super) type Pass = (u64, u32);

impl Header {
    pub(super) fn parse(data: &[u8]) -> Result<Self, Refusal> {
        let broken = || Refusal::Broken("its header is not well-formed".to_owned());
        let (width, rest) = data.split_first_chunk().ok_or_else(broken)?;
        let (height, rest) = rest.split_first_chunk().ok_or_else(broken)?;
        let [depth, color, 0, 0, interlace @ 0..=1] = *rest else { return Err(broken()) };
        let color = match (color, depth) {
            (0, 1 | 2 | 4 | 8 | 16) => Color::Gray,
            (2, 8 | 16) => Color::Rgb,
            (3, 1 | 2 | 4 | 8) => Color::Indexed,
            (4, 8 | 16) => Color::GrayAlpha,
            (6, 8 | 16) => Color::Rgba,
            _ => return Err(broken()),
        };
        let (width, height) = (u32::from_be_bytes(*width), u32::from_be_bytes(*height));
        Ok(Self { width, height, depth, color, is_interlaced: interlace == 1 })
    }

    /// The most entries of the palette.
    pub(super) fn palette_max(&self) -> usize {
        1 << self.depth.min(8)
    }

    pub(super) fn pixel_space(&self) -> PixelSpace {
        match self.color {
            Color::Gray | Color::GrayAlpha => PixelSpace::Gray,
            Color::Rgb | Color::Indexed | Color::Rgba => PixelSpace::Rgb,
        }
    }

    /// The header of a frame that is `width` × `height` pixels large.
    pub(super) fn with_size(self, width: u32, height: u32) -> Self {
        Self { width, height, ..self }
    }

    /// The rows of the filtered image data: a pass, or the seven of Adam7 (W3C PNG, 8.1), without those that are empty.
    pub(super) fn passes(&self) -> Vec<Pass> {
        /// First column and row, and steps.
        const ADAM7: [(u32, u32, u32, u32); 7] =
            [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
        let samples = match self.color {
            Color::Gray | Color::Indexed => 1,
            Color::GrayAlpha => 2,
            Color::Rgb => 3,
            Color::Rgba => 4,
        };
        let row_bytes = |width: u32| 1 + (u64::from(width) * samples * u64::from(self.depth)).div_ceil(8);
        if !self.is_interlaced {
            return vec![(row_bytes(self.width), self.height)];
        }
        let pass = |(x, y, dx, dy)| {
            let columns = self.width.saturating_sub(x).div_ceil(dx);
            let rows = self.height.saturating_sub(y).div_ceil(dy);
            (columns > 0 && rows > 0).then(|| (row_bytes(columns), rows))
        };
        ADAM7.into_iter().filter_map(pass).collect()
    }
}
