//! Center crop and downscaling with a Catmull-Rom filter as wide as the picture is reduced.
//!
//! Averages sRGB values, as browsers and libvips do: a rendition looks like the picture scaled by a browser. Averaging linear
//! light would be brighter in fine patterns.

use fast_image_resize::images::{CroppedImage, CroppedImageMut, Image, ImageRef};
use fast_image_resize::{
    FilterType, ImageBufferError, MulDiv, PixelType, ResizeAlg, ResizeError, ResizeOptions, Resizer,
};

use super::raster::{Raster, Samples, SquareImage};

/// Sharp, and without the second lobe of Lanczos, whose ringing shows next to bright edges.
const FILTER: ResizeAlg = ResizeAlg::Convolution(FilterType::CatmullRom);

/// Returns the center square, reduced to `side` pixels if it is larger. Frees the pixels of the raster.
pub(super) fn center_square(raster: &mut Raster, side: u32) -> Result<SquareImage, Error> {
    let Raster { width, height, samples, .. } = *raster;
    let (shorter, pixel_type) = (width.min(height), pixel_type(samples));
    let (left, top, side) = ((width - shorter) / 2, (height - shorter) / 2, side.min(shorter));
    let mut pixels = std::mem::take(&mut raster.pixels);
    let alpha = MulDiv::new();
    if samples.has_alpha() {
        let mut source = Image::from_slice_u8(width, height, &mut pixels, pixel_type)?;
        let mut source = CroppedImageMut::new(&mut source, left, top, shorter, shorter).map_err(ResizeError::from)?;
        alpha.multiply_alpha_inplace(&mut source).map_err(ResizeError::from)?;
    }
    let source = ImageRef::new(width, height, &pixels, pixel_type)?;
    let source = CroppedImage::new(&source, left, top, shorter, shorter).map_err(ResizeError::from)?;
    let mut square = Image::new(side, side, pixel_type);
    // Multiplied above, in place: the resizer would copy the picture for it.
    let options = ResizeOptions::new().resize_alg(FILTER).use_alpha(false);
    Resizer::new().resize(&source, &mut square, &options)?;
    if samples.has_alpha() {
        alpha.divide_alpha_inplace(&mut square).map_err(ResizeError::from)?;
    }
    Ok(SquareImage { side, samples, pixels: square.into_vec() })
}

/// Why a picture can't be resized: a bug.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Buffer(#[from] ImageBufferError),
    #[error(transparent)]
    Resize(#[from] ResizeError),
}

/// Returns the memory of [`center_square`] in addition to the raster, in bytes: the square, the crop after the vertical pass
/// and the coefficients of both passes.
pub(super) fn memory_bytes(width: u32, height: u32, samples: Samples, side: u32) -> u64 {
    /// Of a 64-bit coefficient and its rounded copy, for a filter of four lobes.
    const COEFFICIENT_BYTES: u64 = 64;
    let (shorter, count) = (u64::from(width.min(height)), samples.count() as u64);
    let side = u64::from(side).min(shorter);
    (side * side + side * shorter) * count + 2 * (shorter + side) * COEFFICIENT_BYTES
}

fn pixel_type(samples: Samples) -> PixelType {
    match samples {
        Samples::Gray => PixelType::U8,
        Samples::GrayAlpha => PixelType::U8x2,
        Samples::Rgb => PixelType::U8x3,
        Samples::Rgba | Samples::Cmyk => PixelType::U8x4,
    }
}

#[cfg(test)]
mod tests {
    use super::super::orient::Orientation;
    use super::*;

    fn square(raster: &Raster, side: u32) -> SquareImage {
        center_square(&mut raster.clone(), side).unwrap()
    }

    fn raster(width: u32, height: u32, samples: Samples, pixel: impl Fn(u32, u32) -> Vec<u8>) -> Raster {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| pixel(x, y)).collect();
        Raster { width, height, samples, pixels, profile: None, orientation: Orientation::default() }
    }

    #[test]
    fn a_square_is_the_center_and_never_larger_than_the_picture() {
        // Black, and white in the middle third.
        let wide = raster(300, 100, Samples::Gray, |x, _| vec![if (100..200).contains(&x) { 255 } else { 0 }]);
        let high = raster(100, 300, Samples::Gray, |_, y| vec![if (100..200).contains(&y) { 255 } else { 0 }]);
        for raster in [wide, high] {
            for (size, side) in [(512, 100), (100, 100), (99, 99), (50, 50), (7, 7), (1, 1)] {
                let square = square(&raster, size);
                assert_eq!((square.side, square.pixels.len()), (side, (side * side) as usize));
                assert!(square.pixels.iter().all(|value| *value == 255), "{size}");
            }
        }
    }

    #[test]
    fn a_single_color_is_unchanged_at_any_size() {
        for value in 0..=255 {
            let raster = raster(67, 61, Samples::Rgb, |_, _| vec![value, 255 - value, 128]);
            for side in [61, 60, 31, 16, 5, 3, 1] {
                let square = square(&raster, side);
                assert!(
                    square.pixels.chunks_exact(3).all(|pixel| pixel == [value, 255 - value, 128]),
                    "{value} {side}"
                );
            }
        }
    }

    #[test]
    fn values_are_averaged_as_browsers_do() {
        let raster = raster(64, 64, Samples::Gray, |x, y| vec![if (x + y) % 2 == 0 { 255 } else { 0 }]);
        assert!(square(&raster, 8).pixels.iter().all(|value| (126..=129).contains(value)));
    }

    #[test]
    fn transparent_pixels_give_no_color() {
        for samples in [Samples::Rgba, Samples::GrayAlpha] {
            let raster = raster(64, 64, samples, |x, _| {
                let (color, alpha) = if x % 4 == 0 { (200, 255) } else { (0, 0) };
                [vec![color; samples.count() - 1], vec![alpha]].concat()
            });
            for pixel in square(&raster, 4).pixels.chunks_exact(samples.count()) {
                let (alpha, colors) = pixel.split_last().unwrap();
                assert!((60..=68).contains(alpha), "{alpha}");
                assert!(colors.iter().all(|value| (199..=201).contains(value)), "{colors:?}");
            }
        }
    }
}
