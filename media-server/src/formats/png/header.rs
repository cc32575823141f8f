//! IHDR of a PNG (W3C PNG, 11.2.1).

use crate::formats::ImageError;
use crate::formats::icc::PixelSpace;

#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bits per sample or palette index.
    depth: u8,
    pub(super) color: ColorType,
    is_interlaced: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ColorType {
    Gray,
    Rgb,
    Indexed,
    GrayAlpha,
    Rgba,
}

/// Bytes of a filtered row, and number of rows.
pub(super) type Pass = (u64, u32);

impl Header {
    pub(super) fn parse(data: &[u8]) -> Result<Self, ImageError> {
        let malformed = || ImageError::malformed("malformed IHDR");
        let (width, rest) = data.split_first_chunk().ok_or_else(malformed)?;
        let (height, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        let [depth, color, 0, 0, interlace @ 0..=1] = *rest else { return Err(malformed()) };
        let color = match (color, depth) {
            (0, 1 | 2 | 4 | 8 | 16) => ColorType::Gray,
            (2, 8 | 16) => ColorType::Rgb,
            (3, 1 | 2 | 4 | 8) => ColorType::Indexed,
            (4, 8 | 16) => ColorType::GrayAlpha,
            (6, 8 | 16) => ColorType::Rgba,
            _ => return Err(malformed()),
        };
        let (width, height) = (u32::from_be_bytes(*width), u32::from_be_bytes(*height));
        Ok(Self { width, height, depth, color, is_interlaced: interlace == 1 })
    }

    /// Returns the most entries of a palette.
    pub(super) fn palette_max(&self) -> usize {
        1 << self.depth.min(8)
    }

    pub(super) fn pixel_space(&self) -> PixelSpace {
        match self.color {
            ColorType::Gray | ColorType::GrayAlpha => PixelSpace::Gray,
            ColorType::Rgb | ColorType::Indexed | ColorType::Rgba => PixelSpace::Rgb,
        }
    }

    /// Returns the header of a frame of the animation.
    pub(super) fn with_size(self, width: u32, height: u32) -> Self {
        Self { width, height, ..self }
    }

    /// Returns the nonempty passes: one, or the seven of Adam7 (W3C PNG, 8.1).
    pub(super) fn passes(&self) -> Vec<Pass> {
        /// First column and row, column and row increment.
        const ADAM7: [(u32, u32, u32, u32); 7] =
            [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
        let samples = match self.color {
            ColorType::Gray | ColorType::Indexed => 1,
            ColorType::GrayAlpha => 2,
            ColorType::Rgb => 3,
            ColorType::Rgba => 4,
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
