//! The middle of a picture, square, and smaller than the picture where a small one is wanted.
//!
//! A block of 8 × 8 pixels becomes one of 4 × 4, 2 × 2 or a single one, made of its lowest frequencies alone, as libjpeg
//! does it: that takes a fraction of the time and the memory of all pixels, whatever the size of the picture.

use std::fmt;
use std::ops::Range;

use super::about::{About, Colours};
use super::coefficients::Coefficients;
use super::frame::{BLOCK_PIXELS, Component, Frame};
use super::transform;

/// What is decoded of a picture's middle; the pixels are made of it later.
pub struct Middle {
    square: Square,
    planes: Vec<Plane>,
    /// What the samples of a pixel stand for.
    pub(crate) colours: Colours,
    /// What the colours mean, as ICC.1 has it.
    pub(crate) profile: Option<Vec<u8>>,
    /// Which way up it is, as EXIF counts: 2 to 8; none: as it lies.
    pub(crate) orientation: Option<u8>,
}

impl fmt::Debug for Middle {
    /// Without what it shows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Middle(…)")
    }
}

/// A component's share.
struct Plane {
    coefficients: Coefficients,
    quantization: [u16; 64],
    across: Axis,
    down: Axis,
}

/// Where the middle lies, in pixels of the smaller picture.
#[derive(Clone, Copy)]
pub(super) struct Square {
    /// Pixels that eight of the picture become.
    eighths: u32,
    left: u32,
    top: u32,
    side: u32,
}

/// A coefficient, and the sample that is made of it.
const SAMPLE_BYTES: usize = size_of::<i16>() + size_of::<u8>();

impl Square {
    /// The middle of a picture for a square of `size` pixels: by a third larger at least, so that a filter decides how it
    /// looks, or as large as the picture is.
    pub(super) fn of(frame: &Frame, size: u32) -> Self {
        let shorter = frame.width.min(frame.height);
        let is_enough = |eighths: &u32| u64::from(shorter * eighths / BLOCK_PIXELS) * 3 >= u64::from(size) * 4;
        let eighths = [1, 2, 4].into_iter().find(is_enough).unwrap_or(BLOCK_PIXELS);
        let [width, height] = [frame.width, frame.height].map(|pixels| pixels * eighths / BLOCK_PIXELS);
        let shorter = width.min(height);
        Self { eighths, left: (width - shorter) / 2, top: (height - shorter) / 2, side: shorter }
    }

    /// Makes room for the coefficients of what lies in it.
    pub(super) fn keep(self, frame: &mut Frame) {
        let axes: Vec<_> = frame.components.iter().map(|component| self.axes(frame, component)).collect();
        for (component, (across, down)) in frame.components.iter_mut().zip(axes) {
            let kept = (across.kept, down.kept);
            component.coefficients = Some(Coefficients::new(across.blocks, down.blocks, kept));
        }
    }

    /// What it takes, in bytes: coefficients and samples, and pixels.
    pub(super) fn memory_bytes(self, frame: &Frame) -> u64 {
        let samples = frame.components.iter().map(|component| {
            let (across, down) = self.axes(frame, component);
            across.samples() * down.samples()
        });
        (samples.sum::<usize>() * SAMPLE_BYTES) as u64 + u64::from(self.side).pow(2) * frame.components.len() as u64
    }

    /// In pixels of the smaller picture.
    pub(super) fn side(self) -> u32 {
        self.side
    }

    /// What was kept of a frame, all of whose scans are decoded.
    pub(super) fn taken(self, frame: Frame, about: About) -> Middle {
        let axes: Vec<_> = frame.components.iter().map(|component| self.axes(&frame, component)).collect();
        let (colours, orientation) = (about.colours(&frame), about.orientation);
        let planes = frame.components.into_iter().zip(axes).filter_map(|(component, (across, down))| {
            let quantization = component.quantization;
            component.coefficients.map(|coefficients| Plane { coefficients, quantization, across, down })
        });
        Middle { square: self, planes: planes.collect(), colours, profile: about.profile(), orientation }
    }

    fn axes(self, frame: &Frame, component: &Component) -> (Axis, Axis) {
        let (across_max, down_max) = frame.sampling_max();
        let axis = |start, pixels: u32, factor: u32, factor_max: u32, blocks| {
            let last = (pixels * factor).div_ceil(factor_max).saturating_sub(1);
            Axis::new(start..start + self.side, last, factor, factor_max * self.eighths, blocks)
        };
        (
            axis(self.left, frame.width, component.sampling.0, across_max, component.blocks.0),
            axis(self.top, frame.height, component.sampling.1, down_max, component.blocks.1),
        )
    }
}

/// How the pixels of a square and the samples of a component lie to each other, across or down.
struct Axis {
    /// Pixels, counted from the picture's first.
    pixels: Range<u32>,
    /// How many of a block's coefficients are kept, and samples made.
    kept: usize,
    /// The blocks that they are of.
    blocks: Range<usize>,
    /// So many samples
    samples: u32,
    /// are so many pixels wide.
    per_pixels: u32,
    /// The last sample that shows a part of the picture and does not only fill its block.
    last: u32,
}

impl Axis {
    /// `factor` blocks of a component are `per_pixels` pixels wide, and its last sample is `last` where eight are made of a
    /// block.
    fn new(pixels: Range<u32>, last: u32, factor: u32, per_pixels: u32, blocks_count: usize) -> Self {
        let is_enough = |kept: &u32| kept * factor >= per_pixels;
        let kept = [1, 2, 4].into_iter().find(is_enough).unwrap_or(BLOCK_PIXELS);
        let samples = kept * factor;
        let samples_before = |pixels: u32| u64::from(pixels) * u64::from(samples) / u64::from(per_pixels);
        // One more on either side, where a pixel lies between two.
        let start = samples_before(pixels.start).saturating_sub(1) / u64::from(kept);
        let end = (samples_before(pixels.end) + 2).div_ceil(u64::from(kept));
        let block = |number: u64| usize::try_from(number).map_or(blocks_count, |number| number.min(blocks_count));
        let blocks = block(start)..block(end);
        Self { pixels, kept: kept as usize, blocks, samples, per_pixels, last: last * kept / BLOCK_PIXELS }
    }

    /// How many samples there are.
    fn samples(&self) -> usize {
        self.blocks.len() * self.kept
    }

    /// Whether each pixel is a sample.
    fn is_even(&self) -> bool {
        self.samples == self.per_pixels
    }

    /// Where each pixel's middle lies among the samples that there are.
    fn positions(&self) -> Vec<Position> {
        let (samples, double) = (u64::from(self.samples), u64::from(self.per_pixels) * 2);
        let first = (self.blocks.start * self.kept) as u64;
        let last = u64::from(self.last).min(first + (self.samples() as u64).saturating_sub(1));
        let index = |sample: u64| usize::try_from(sample.clamp(first, last.max(first)) - first).unwrap_or_default();
        let position = |pixel: u32| {
            // Of the middle of a pixel the distance to the middle of the first sample.
            let distance = ((u64::from(pixel) * 2 + 1) * samples).saturating_sub(u64::from(self.per_pixels));
            let (sample, rest) = (distance / double, distance % double);
            let weight = u32::try_from(rest * u64::from(WEIGHT_MAX) / double).unwrap_or_default();
            Position { before: index(sample), after: index(sample + 1), weight }
        };
        self.pixels.clone().map(position).collect()
    }
}

/// Between two samples.
struct Position {
    before: usize,
    after: usize,
    /// Of the one after, in parts of [`WEIGHT_MAX`].
    weight: u32,
}

const WEIGHT_MAX: u32 = 256;

impl Middle {
    /// The side of the square, in pixels.
    pub(crate) fn side(&self) -> u32 {
        self.square.side
    }

    /// What it takes, in bytes, and making pixels of it.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let samples: usize = self.planes.iter().map(|plane| plane.coefficients.values.len()).sum();
        (samples * SAMPLE_BYTES) as u64 + u64::from(self.square.side).pow(2) * self.planes.len() as u64
    }

    /// The pixels, row by row, a sample of each component for each; subsampled components are smoothed.
    pub(crate) fn pixels(&self) -> Vec<u8> {
        let (side, count) = (self.square.side as usize, self.planes.len());
        let mut pixels = vec![0; side * side * count];
        for (index, plane) in self.planes.iter().enumerate() {
            plane.write(&mut pixels, side, index, count);
        }
        pixels
    }
}

impl Plane {
    /// Writes sample `index` of the `count` that each pixel has.
    fn write(&self, pixels: &mut [u8], side: usize, index: usize, count: usize) {
        let width = self.coefficients.width().max(1);
        let samples = transform::samples(&self.coefficients, &self.quantization);
        let row = |number: usize| samples.chunks_exact(width).nth(number).unwrap_or_default();
        let (columns, rows) = (self.across.positions(), self.down.positions());
        let is_even = self.across.is_even() && self.down.is_even();
        for (position, pixels) in rows.iter().zip(pixels.chunks_exact_mut((side * count).max(1))) {
            let (before, after) = (row(position.before), row(position.after));
            let places = pixels.iter_mut().skip(index).step_by(count);
            if is_even {
                let samples = columns.first().and_then(|first| before.get(first.before..)).unwrap_or_default();
                places.zip(samples).for_each(|(place, sample)| *place = *sample);
            } else {
                for (place, column) in places.zip(&columns) {
                    *place = between(before, after, column, position.weight);
                }
            }
        }
    }
}

/// The sample between four.
fn between(before: &[u8], after: &[u8], column: &Position, weight: u32) -> u8 {
    let at = |row: &[u8], index: usize| u32::from(row.get(index).copied().unwrap_or_default());
    let across =
        |row: &[u8]| at(row, column.before) * (WEIGHT_MAX - column.weight) + at(row, column.after) * column.weight;
    let sum = across(before) * (WEIGHT_MAX - weight) + across(after) * weight;
    let area = WEIGHT_MAX * WEIGHT_MAX;
    u8::try_from((sum + area / 2) / area).unwrap_or(u8::MAX)
}
