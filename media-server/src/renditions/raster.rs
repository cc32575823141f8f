//! Pixels between decoding and encoding.

use crate::formats::icc::PixelSpace;

/// Samples of a pixel, of eight bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Samples {
    Gray,
    GrayAlpha,
    Rgb,
    /// Alpha is not premultiplied.
    Rgba,
    /// Inverted, as Adobe writes CMYK in a JPEG: 255 is no ink.
    Cmyk,
}

impl Samples {
    /// Returns the samples of a pixel, which are its bytes.
    pub(super) const fn count(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::GrayAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba | Self::Cmyk => 4,
        }
    }

    /// Returns the color space that a profile must have.
    pub(super) const fn pixel_space(self) -> PixelSpace {
        match self {
            Self::Gray | Self::GrayAlpha => PixelSpace::Gray,
            Self::Rgb | Self::Rgba => PixelSpace::Rgb,
            Self::Cmyk => PixelSpace::Cmyk,
        }
    }

    /// Whether the last sample is alpha.
    pub(super) const fn has_alpha(self) -> bool {
        matches!(self, Self::GrayAlpha | Self::Rgba)
    }
}

/// Square image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SquareImage {
    pub side: u32,
    pub samples: Samples,
    /// Row by row, without gaps.
    pub pixels: Vec<u8>,
}

impl SquareImage {
    /// Drops the alpha channel if all of it is opaque.
    #[must_use]
    pub(super) fn without_opaque_alpha(self) -> Self {
        let samples = match self.samples {
            Samples::GrayAlpha => Samples::Gray,
            Samples::Rgba => Samples::Rgb,
            _ => return self,
        };
        let pixels = self.pixels.chunks_exact(self.samples.count());
        if pixels.clone().any(|pixel| pixel.last() != Some(&u8::MAX)) {
            return self;
        }
        let pixels = pixels.flat_map(|pixel| pixel.iter().take(samples.count())).copied().collect();
        Self { side: self.side, samples, pixels }
    }
}
