//! Decoded pixels, from a decoder to an encoder.

use super::orientation::Orientation;
use crate::images::icc::PixelSpace;

/// What the samples of a pixel say, eight bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Samples {
    /// Light.
    Gray,
    /// Light and opacity.
    GrayAlpha,
    /// Red, green, blue.
    Rgb,
    /// Red, green, blue and opacity, none multiplied by it.
    Rgba,
    /// Cyan, magenta, yellow and black as Adobe writes them in a JPEG: 255 is no ink.
    Cmyk,
}

impl Samples {
    /// How many a pixel has, which is its bytes.
    pub(super) const fn count(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::GrayAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba | Self::Cmyk => 4,
        }
    }

    /// What a profile may apply to.
    pub(super) const fn pixel_space(self) -> PixelSpace {
        match self {
            Self::Gray | Self::GrayAlpha => PixelSpace::Gray,
            Self::Rgb | Self::Rgba => PixelSpace::Rgb,
            Self::Cmyk => PixelSpace::Cmyk,
        }
    }

    /// Whether the last one is opacity.
    pub(super) const fn has_alpha(self) -> bool {
        matches!(self, Self::GrayAlpha | Self::Rgba)
    }
}

/// The first frame of a picture, as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// What `pixels` are.
    pub samples: Samples,
    /// Row by row, without gaps.
    pub pixels: Vec<u8>,
    /// What its colours mean, as ICC.1 has it; none: sRGB.
    pub profile: Option<Vec<u8>>,
    /// How it is to be turned.
    pub orientation: Orientation,
}

/// A square of pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Square {
    /// In pixels.
    pub side: u32,
    /// What `pixels` are.
    pub samples: Samples,
    /// Row by row, without gaps.
    pub pixels: Vec<u8>,
}

impl Square {
    /// Without the opacity, where nothing shines through.
    #[must_use]
    pub(super) fn without_needless_alpha(self) -> Self {
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
