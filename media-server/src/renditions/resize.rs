//! Center crop and downscaling: a box filter by an integer factor, then a Catmull-Rom resampler.
//!
//! Both average in linear light, which is about the square of an sRGB value; averaging the values would darken fine patterns.
//! The box filter costs a tenth of decoding the picture. A large JPEG has been downscaled by its decoder before (scaled IDCT),
//! in sRGB values: linear light there would take a full decode, four times as long.

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::raster::{Raster, Samples, SquareImage};
use crate::formats::rounded;

/// Sharp, and without the second lobe of Lanczos, whose ringing shows next to bright edges.
const RESAMPLER: ResizeAlg = ResizeAlg::Convolution(FilterType::CatmullRom);

/// The box filter stops at 1.5 times the target size; the resampler does the rest.
const MIN_RESAMPLE_RATIO_X2: u32 = 3;

/// Sums of squares in a larger box, weighted by alpha, may exceed 32 bits.
const BOX_SIDE_MAX: u32 = 8;

/// Center crop after the box filter.
pub(super) struct Boxed {
    /// In linear light.
    values: Vec<u16>,
    width: u32,
    target_side: u32,
    samples: Samples,
}

/// Crops and box-filters for a square of `side` pixels, or of the shorter side where that is less.
pub(super) fn box_downscale(raster: &Raster, side: u32) -> Boxed {
    let (target_side, box_side, boxed_side) = sides(raster.width.min(raster.height), side);
    let values = boxes(raster, box_side as usize, boxed_side as usize);
    Boxed { values, width: boxed_side, target_side, samples: raster.samples }
}

impl Boxed {
    /// Resamples to the target size.
    pub(super) fn resample(self) -> SquareImage {
        let resampled = resample(self.values, self.width, self.target_side, self.samples);
        SquareImage { side: self.target_side, samples: self.samples, pixels: from_linear(&resampled, self.samples) }
    }
}

/// Returns the memory of [`box_downscale`] and of [`Boxed::resample`], in bytes. The resampler holds its source twice, an
/// image that is resampled in one direction, and the target.
pub(super) fn memory_bytes(width: u32, height: u32, samples: Samples, side: u32) -> (u64, u64) {
    let (side, _, boxed_side) = sides(width.min(height), side);
    let (side, boxed_side, count) = (u64::from(side), u64::from(boxed_side), samples.count() as u64);
    let rows_bytes = (size_of::<&[u8]>() as u64 + size_of::<u32>() as u64 * count) * u64::from(width.max(height));
    let value_bytes = size_of::<u16>() as u64 * count;
    let filtering = boxed_side * boxed_side * 2 + boxed_side * side + side * side * 3;
    (boxed_side * boxed_side * value_bytes + rows_bytes, filtering * value_bytes)
}

/// Returns the side of the target, of a box, and of the box-filtered crop.
fn sides(shorter: u32, side: u32) -> (u32, u32, u32) {
    let side = side.min(shorter).max(1);
    let box_side = (shorter * 2 / (side * MIN_RESAMPLE_RATIO_X2)).clamp(1, BOX_SIDE_MAX);
    (side, box_side, shorter / box_side)
}

/// Averages boxes of the center crop, in linear light.
fn boxes(raster: &Raster, box_side: usize, boxed_side: usize) -> Vec<u16> {
    let (width, height, count) = (raster.width as usize, raster.height as usize, raster.samples.count());
    let used = boxed_side * box_side;
    let (left, top) = ((width - used) / 2, (height - used) / 2);
    let rows = raster.pixels.chunks_exact(width * count).skip(top).take(used);
    let rows: Vec<&[u8]> = rows.filter_map(|row| row.get(left * count..(left + used) * count)).collect();
    let mut boxed = vec![0; boxed_side * boxed_side * count];
    let mut sums = vec![0; used * count];
    for (rows, out) in rows.chunks_exact(box_side).zip(boxed.chunks_exact_mut(boxed_side * count)) {
        match raster.samples {
            Samples::Gray => average::<1>(rows, &mut sums, out),
            Samples::Rgb => average::<3>(rows, &mut sums, out),
            Samples::Cmyk => average::<4>(rows, &mut sums, out),
            Samples::GrayAlpha => average_by_alpha::<2>(rows, out),
            Samples::Rgba => average_by_alpha::<4>(rows, out),
        }
    }
    boxed
}

/// Averages one row of boxes. `sums` is as long as a row of samples.
fn average<const COUNT: usize>(rows: &[&[u8]], sums: &mut [u32], out: &mut [u16]) {
    match rows.len() {
        1 => sum::<1>(rows, sums),
        2 => sum::<2>(rows, sums),
        3 => sum::<3>(rows, sums),
        4 => sum::<4>(rows, sums),
        5 => sum::<5>(rows, sums),
        6 => sum::<6>(rows, sums),
        7 => sum::<7>(rows, sums),
        _ => sum::<8>(rows, sums),
    }
    let area = (rows.len() * rows.len()) as u64;
    // Division by multiplication, which is exact for these sums.
    let inverse = (1 << 32) / area + 1;
    let (out, _) = out.as_chunks_mut::<COUNT>();
    let (pixels, _) = sums.as_chunks::<COUNT>();
    for (out, pixels) in out.iter_mut().zip(pixels.chunks_exact(rows.len())) {
        let mut total = [0_u32; COUNT];
        for pixel in pixels {
            for (total, sample) in total.iter_mut().zip(pixel) {
                *total += sample;
            }
        }
        for (out, total) in out.iter_mut().zip(total) {
            *out = saturated((u64::from(total) * inverse) >> 32);
        }
    }
}

/// Samples summed at a time: as many as fit into the registers of any x86-64.
const BLOCK: usize = 32;

/// Sums the squares of each column of samples. A constant number of rows keeps the sums in registers.
fn sum<const ROWS: usize>(rows: &[&[u8]], sums: &mut [u32]) {
    let Some(rows) = rows.first_chunk::<ROWS>() else { return };
    let square = |sample: &u8| {
        let sample = u16::from(*sample);
        u32::from(sample * sample)
    };
    let (blocks, rest) = sums.as_chunks_mut::<BLOCK>();
    let mut row_blocks = rows.map(|row| row.as_chunks::<BLOCK>().0.iter());
    for block in blocks {
        let mut total = [0; BLOCK];
        for samples in row_blocks.iter_mut().filter_map(Iterator::next) {
            for (total, sample) in total.iter_mut().zip(samples) {
                *total += square(sample);
            }
        }
        *block = total;
    }
    rest.fill(0);
    for row in rows {
        for (total, sample) in rest.iter_mut().zip(row.as_chunks::<BLOCK>().1) {
            *total += square(sample);
        }
    }
}

/// Like [`average`], with colors weighted by alpha, the last sample.
fn average_by_alpha<const COUNT: usize>(rows: &[&[u8]], out: &mut [u16]) {
    let box_side = rows.len();
    let area = u32::try_from(box_side * box_side).unwrap_or(u32::MAX);
    let (out, _) = out.as_chunks_mut::<COUNT>();
    for (x, out) in out.iter_mut().enumerate() {
        let Some((out_alpha, out)) = out.split_last_mut() else { return };
        let (mut totals, mut alpha_sum) = ([0_u32; COUNT], 0);
        for row in rows {
            let (pixels, _) = row.as_chunks::<COUNT>();
            for (alpha, colors) in pixels.iter().skip(x * box_side).take(box_side).filter_map(|p| p.split_last()) {
                let alpha = u32::from(*alpha);
                alpha_sum += alpha;
                for (total, sample) in totals.iter_mut().zip(colors) {
                    *total += u32::from(*sample) * u32::from(*sample) * alpha;
                }
            }
        }
        for (out, total) in out.iter_mut().zip(totals) {
            *out = saturated(total.checked_div(alpha_sum).unwrap_or_default().into());
        }
        *out_alpha = saturated((alpha_sum * 257 / area).into());
    }
}

fn resample(boxed: Vec<u16>, boxed_side: u32, side: u32, samples: Samples) -> Vec<u16> {
    let pixel_type = match samples {
        Samples::Gray => PixelType::U16,
        Samples::GrayAlpha => PixelType::U16x2,
        Samples::Rgb => PixelType::U16x3,
        Samples::Rgba | Samples::Cmyk => PixelType::U16x4,
    };
    let mut source = Image::new(boxed_side, boxed_side, pixel_type);
    for (bytes, value) in source.buffer_mut().as_chunks_mut::<2>().0.iter_mut().zip(&boxed) {
        *bytes = value.to_ne_bytes();
    }
    // Frees the memory that the resampler's premultiplied copy takes.
    drop(boxed);
    let mut target = Image::new(side, side, pixel_type);
    let options = ResizeOptions::new().resize_alg(RESAMPLER).use_alpha(samples.has_alpha());
    if let Err(error) = Resizer::new().resize(&source, &mut target, &options) {
        // Images of one type don't fail.
        tracing::error!(%error, "resizing failed; the rendition is black");
    }
    target.buffer().as_chunks::<2>().0.iter().map(|bytes| u16::from_ne_bytes(*bytes)).collect()
}

/// Converts linear light to sRGB values, and alpha from sixteen bits to eight.
fn from_linear(squares: &[u16], samples: Samples) -> Vec<u8> {
    let root = |square: u16| rounded(f32::from(square).sqrt());
    if !samples.has_alpha() {
        return squares.iter().copied().map(root).collect();
    }
    let mut pixels = Vec::with_capacity(squares.len());
    for pixel in squares.chunks_exact(samples.count()) {
        if let Some((alpha, colors)) = pixel.split_last() {
            pixels.extend(colors.iter().copied().map(root));
            pixels.push(rounded(f32::from(*alpha) / 257.0));
        }
    }
    pixels
}

fn saturated(value: u64) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::orient::Orientation;
    use super::*;

    fn square(raster: &Raster, side: u32) -> SquareImage {
        box_downscale(raster, side).resample()
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
    fn linear_light_is_averaged() {
        // Half black and half white is half the light: 0.5 to the power of 1/2, near sRGB's 188.
        let raster = raster(64, 64, Samples::Gray, |x, y| vec![if (x + y) % 2 == 0 { 255 } else { 0 }]);
        assert!(square(&raster, 8).pixels.iter().all(|value| (178..=190).contains(value)));
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
                assert!((62..=66).contains(alpha), "{alpha}");
                assert!(colors.iter().all(|value| (199..=201).contains(value)), "{colors:?}");
            }
        }
    }

    #[test]
    fn the_largest_sums_fit_in_32_bits() {
        for samples in [Samples::Gray, Samples::GrayAlpha, Samples::Rgb, Samples::Rgba, Samples::Cmyk] {
            let raster = raster(100, 100, samples, |_, _| vec![255; samples.count()]);
            assert!(square(&raster, 1).pixels.iter().all(|value| *value == 255), "{samples:?}");
        }
    }
}
