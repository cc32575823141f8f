//! Center crop of a JPEG, scaled on load.
//!
//! The decoder keeps the coefficients of the crop only, and of each block only the low frequencies that an inverse DCT of 1, 2
//! or 4 points per axis needs (scaled IDCT, as in libjpeg). That takes a fraction of the time and memory of all pixels.

use std::fmt;
use std::ops::Range;

use super::coefficients::Coefficients;
use super::frame::{BLOCK_PIXELS, Component, JpegFrame};
use super::metadata::{ColorSpace, JpegMetadata};
use super::scaled_idct;

/// The coefficients of a center crop; [`Self::pixels`] transforms them.
pub struct ScaledCrop {
    rect: CropRect,
    planes: Vec<Plane>,
    pub(crate) color_space: ColorSpace,
    /// ICC profile.
    pub(crate) profile: Option<Vec<u8>>,
    /// EXIF orientation, 2 to 8; `None` for upright.
    pub(crate) orientation: Option<u8>,
}

impl fmt::Debug for ScaledCrop {
    /// Prints no image content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScaledCrop(…)")
    }
}

/// One component of the crop.
struct Plane {
    coefficients: Coefficients,
    quantization: [u16; 64],
    x: AxisMap,
    y: AxisMap,
}

/// Center crop of a JPEG decoded at scale `idct_size / 8`, in pixels at that scale.
#[derive(Clone, Copy)]
pub(super) struct CropRect {
    idct_size: u32,
    x: u32,
    y: u32,
    side: u32,
}

/// A coefficient, and the sample that is computed from it.
const SAMPLE_BYTES: usize = size_of::<i16>() + size_of::<u8>();

impl CropRect {
    /// Chooses the smallest scale that leaves the resampler at least 4/3 of `size` pixels; full scale if none does.
    pub(super) fn new(frame: &JpegFrame, size: u32) -> Self {
        let shorter = frame.width.min(frame.height);
        let is_enough = |idct_size: &u32| u64::from(shorter * idct_size / BLOCK_PIXELS) * 3 >= u64::from(size) * 4;
        let idct_size = [1, 2, 4].into_iter().find(is_enough).unwrap_or(BLOCK_PIXELS);
        let [width, height] = [frame.width, frame.height].map(|pixels| pixels * idct_size / BLOCK_PIXELS);
        let shorter = width.min(height);
        Self { idct_size, x: (width - shorter) / 2, y: (height - shorter) / 2, side: shorter }
    }

    /// Allocates storage for the coefficients inside the crop.
    pub(super) fn allocate_coefficients(self, frame: &mut JpegFrame) {
        let maps: Vec<_> = frame.components.iter().map(|component| self.axis_maps(frame, component)).collect();
        for (component, (x, y)) in frame.components.iter_mut().zip(maps) {
            component.coefficients = Some(Coefficients::new(x.blocks, y.blocks, (x.idct_size, y.idct_size)));
        }
    }

    /// Returns the memory of coefficients, samples and pixels, in bytes.
    pub(super) fn memory_bytes(self, frame: &JpegFrame) -> u64 {
        let samples = frame.components.iter().map(|component| {
            let (x, y) = self.axis_maps(frame, component);
            x.samples_count() * y.samples_count()
        });
        (samples.sum::<usize>() * SAMPLE_BYTES) as u64 + u64::from(self.side).pow(2) * frame.components.len() as u64
    }

    pub(super) fn side(self) -> u32 {
        self.side
    }

    /// Takes the coefficients out of a frame all of whose scans are decoded.
    pub(super) fn into_crop(self, frame: JpegFrame, metadata: JpegMetadata) -> ScaledCrop {
        let maps: Vec<_> = frame.components.iter().map(|component| self.axis_maps(&frame, component)).collect();
        let (color_space, orientation) = (metadata.color_space(&frame), metadata.orientation);
        let planes = frame.components.into_iter().zip(maps).filter_map(|(component, (x, y))| {
            let quantization = component.quantization;
            component.coefficients.map(|coefficients| Plane { coefficients, quantization, x, y })
        });
        ScaledCrop { rect: self, planes: planes.collect(), color_space, profile: metadata.profile(), orientation }
    }

    fn axis_maps(self, frame: &JpegFrame, component: &Component) -> (AxisMap, AxisMap) {
        let (x_max, y_max) = frame.sampling_max();
        let map = |start, pixels: u32, factor: u32, factor_max: u32, blocks| {
            let last = (pixels * factor).div_ceil(factor_max).saturating_sub(1);
            AxisMap::new(start..start + self.side, last, factor, factor_max * self.idct_size, blocks)
        };
        (
            map(self.x, frame.width, component.sampling.0, x_max, component.blocks.0),
            map(self.y, frame.height, component.sampling.1, y_max, component.blocks.1),
        )
    }
}

/// Maps the pixels of the crop to the samples of a component, on one axis.
struct AxisMap {
    /// Pixels of the crop, counted from the image's first.
    pixels: Range<u32>,
    /// IDCT size of a block: 1, 2, 4 or 8 coefficients become as many samples.
    idct_size: usize,
    /// The blocks that cover the pixels.
    blocks: Range<usize>,
    /// Samples per `per_pixels` pixels.
    samples: u32,
    per_pixels: u32,
    /// The last sample inside the image; the rest of its block is padding.
    last: u32,
}

impl AxisMap {
    /// Of a component of which `factor` blocks cover `per_pixels` pixels; `last` is its last sample at full scale.
    fn new(pixels: Range<u32>, last: u32, factor: u32, per_pixels: u32, blocks_count: usize) -> Self {
        let is_enough = |idct_size: &u32| idct_size * factor >= per_pixels;
        let idct_size = [1, 2, 4].into_iter().find(is_enough).unwrap_or(BLOCK_PIXELS);
        let samples = idct_size * factor;
        let samples_before = |pixels: u32| u64::from(pixels) * u64::from(samples) / u64::from(per_pixels);
        // One more on either side, for interpolation.
        let start = samples_before(pixels.start).saturating_sub(1) / u64::from(idct_size);
        let end = (samples_before(pixels.end) + 2).div_ceil(u64::from(idct_size));
        let block = |number: u64| usize::try_from(number).map_or(blocks_count, |number| number.min(blocks_count));
        let blocks = block(start)..block(end);
        let last = last * idct_size / BLOCK_PIXELS;
        Self { pixels, idct_size: idct_size as usize, blocks, samples, per_pixels, last }
    }

    fn samples_count(&self) -> usize {
        self.blocks.len() * self.idct_size
    }

    /// Whether each pixel is one sample.
    fn is_identity(&self) -> bool {
        self.samples == self.per_pixels
    }

    /// Returns for each pixel the two samples next to its center.
    fn taps(&self) -> Vec<Taps> {
        let (samples, double) = (u64::from(self.samples), u64::from(self.per_pixels) * 2);
        let first = (self.blocks.start * self.idct_size) as u64;
        let last = u64::from(self.last).min(first + (self.samples_count() as u64).saturating_sub(1));
        let index = |sample: u64| usize::try_from(sample.clamp(first, last.max(first)) - first).unwrap_or_default();
        let taps = |pixel: u32| {
            // From the center of the first sample to that of the pixel, in units of 1 / `double` samples.
            let distance = ((u64::from(pixel) * 2 + 1) * samples).saturating_sub(u64::from(self.per_pixels));
            let (sample, rest) = (distance / double, distance % double);
            let weight = u32::try_from(rest * u64::from(WEIGHT_MAX) / double).unwrap_or_default();
            Taps { before: index(sample), after: index(sample + 1), weight }
        };
        self.pixels.clone().map(taps).collect()
    }
}

/// Two samples to interpolate between.
struct Taps {
    before: usize,
    after: usize,
    /// Of the sample after, in units of 1 / [`WEIGHT_MAX`].
    weight: u32,
}

const WEIGHT_MAX: u32 = 256;

impl ScaledCrop {
    /// Returns the side of the crop, in pixels.
    pub(crate) fn side(&self) -> u32 {
        self.rect.side
    }

    /// Returns the memory of the crop and of its pixels, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let samples: usize = self.planes.iter().map(|plane| plane.coefficients.values.len()).sum();
        (samples * SAMPLE_BYTES) as u64 + u64::from(self.rect.side).pow(2) * self.planes.len() as u64
    }

    /// Returns the pixels, interleaved; subsampled components are interpolated bilinearly.
    pub(crate) fn pixels(&self) -> Vec<u8> {
        let (side, count) = (self.rect.side as usize, self.planes.len());
        let mut pixels = vec![0; side * side * count];
        for (index, plane) in self.planes.iter().enumerate() {
            plane.write(&mut pixels, side, index, count);
        }
        pixels
    }
}

impl Plane {
    /// Writes sample `index` of each pixel's `count` samples.
    fn write(&self, pixels: &mut [u8], side: usize, index: usize, count: usize) {
        let width = self.coefficients.width().max(1);
        let samples = scaled_idct::samples(&self.coefficients, &self.quantization);
        let row = |number: usize| samples.chunks_exact(width).nth(number).unwrap_or_default();
        let (columns, rows) = (self.x.taps(), self.y.taps());
        let is_identity = self.x.is_identity() && self.y.is_identity();
        for (taps, pixels) in rows.iter().zip(pixels.chunks_exact_mut((side * count).max(1))) {
            let (before, after) = (row(taps.before), row(taps.after));
            let targets = pixels.iter_mut().skip(index).step_by(count);
            if is_identity {
                let samples = columns.first().and_then(|first| before.get(first.before..)).unwrap_or_default();
                targets.zip(samples).for_each(|(target, sample)| *target = *sample);
            } else {
                for (target, column) in targets.zip(&columns) {
                    *target = bilinear(before, after, column, taps.weight);
                }
            }
        }
    }
}

/// Interpolates between two samples of each of two rows.
fn bilinear(before: &[u8], after: &[u8], column: &Taps, weight: u32) -> u8 {
    let at = |row: &[u8], index: usize| u32::from(row.get(index).copied().unwrap_or_default());
    let horizontal =
        |row: &[u8]| at(row, column.before) * (WEIGHT_MAX - column.weight) + at(row, column.after) * column.weight;
    let sum = horizontal(before) * (WEIGHT_MAX - weight) + horizontal(after) * weight;
    let area = WEIGHT_MAX * WEIGHT_MAX;
    u8::try_from((sum + area / 2) / area).unwrap_or(u8::MAX)
}
