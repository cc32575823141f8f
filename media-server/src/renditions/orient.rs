//! Orientation: the Exif tag that says how a picture is turned (CIPA DC-008, 4.6.5).

use super::raster::SquareImage;
use crate::formats::orientation;

/// Steps that turn a picture upright, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orientation {
    transpose: bool,
    /// Left to right.
    mirror: bool,
    /// Top to bottom.
    flip: bool,
}

impl Orientation {
    /// Returns the steps for a value of the tag; for an invalid one, none.
    pub(super) const fn from_tag(value: u8) -> Self {
        let (transpose, mirror, flip) = match value {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => (false, false, false),
        };
        Self { transpose, mirror, flip }
    }

    /// Returns the steps for Exif data; for invalid data, none.
    pub(super) fn from_exif(exif: &[u8]) -> Self {
        orientation::read(exif).map_or_else(Self::default, Self::from_tag)
    }

    /// Turns a square image upright.
    pub(super) fn upright(self, square: SquareImage) -> SquareImage {
        if self == Self::default() {
            return square;
        }
        let SquareImage { side, samples, pixels } = square;
        let stride = samples.count();
        let last = (side as usize).saturating_sub(1);
        let source = |x: usize, y: usize| {
            let x = if self.mirror { last - x } else { x };
            let y = if self.flip { last - y } else { y };
            let (x, y) = if self.transpose { (y, x) } else { (x, y) };
            let at = (y * (last + 1) + x) * stride;
            pixels.get(at..at + stride).unwrap_or_default()
        };
        let turned = (0..=last).flat_map(|y| (0..=last).flat_map(move |x| source(x, y))).copied().collect();
        SquareImage { side, samples, pixels: turned }
    }
}

#[cfg(test)]
mod tests {
    use super::super::raster::Samples;
    use super::*;

    fn square(pixels: &[u8]) -> SquareImage {
        SquareImage { side: 2, samples: Samples::Gray, pixels: pixels.to_vec() }
    }

    /// A scene whose corners are 1 2 / 3 4, stored with each value of the tag: row 0 and column 0 lie as the standard says,
    /// "top left" for 1, "top right" for 2, …
    const STORED: [(u8, [u8; 4]); 9] = [
        (0, [1, 2, 3, 4]),
        (1, [1, 2, 3, 4]),
        (2, [2, 1, 4, 3]),
        (3, [4, 3, 2, 1]),
        (4, [3, 4, 1, 2]),
        (5, [1, 3, 2, 4]),
        (6, [2, 4, 1, 3]),
        (7, [4, 2, 3, 1]),
        (8, [3, 1, 4, 2]),
    ];

    #[test]
    fn every_orientation_is_turned_upright() {
        for (value, stored) in STORED {
            let upright = Orientation::from_tag(value).upright(square(&stored));
            assert_eq!(upright.pixels, [1, 2, 3, 4], "{value}");
        }
    }
}
