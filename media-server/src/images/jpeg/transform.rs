//! From coefficients to samples (T.81, A.3.3).

use super::coefficients::{Coefficients, ZIGZAG};
use crate::images::rounded;

/// The samples of the blocks whose coefficients are kept, row by row.
///
/// Where a block has fewer than 8 across or down, its samples are those of the block's 8 × 8 without the frequencies that
/// so few can't show: the cosines of the low ones, taken at fewer places.
pub(super) fn samples(coefficients: &Coefficients, quantization: &[u16; 64]) -> Vec<u8> {
    let width = coefficients.width();
    let mut samples = vec![0; coefficients.values.len()];
    if width == 0 {
        return samples;
    }
    let (across, down) = coefficients.kept;
    let factors = factors(quantization);
    let (weights_across, weights_down) = (weights(across), weights(down));
    let band = width * down;
    let (mut frequencies, mut heights) = (vec![0.0; band], vec![0.0; band]);
    for (values, samples) in coefficients.values.chunks_exact(band).zip(samples.chunks_exact_mut(band)) {
        let rows = values.chunks_exact(width).zip(frequencies.chunks_exact_mut(width));
        for ((values, row), factors) in rows.zip(&factors) {
            for (values, row) in values.chunks_exact(across).zip(row.chunks_exact_mut(across)) {
                for ((value, frequency), factor) in values.iter().zip(row).zip(factors) {
                    *frequency = f32::from(*value) * factor;
                }
            }
        }
        transform_down(&frequencies, width, &weights_down, &mut heights);
        match across {
            1 => transform_across::<1>(&heights, &weights_across, samples),
            2 => transform_across::<2>(&heights, &weights_across, samples),
            4 => transform_across::<4>(&heights, &weights_across, samples),
            _ => transform_across::<8>(&heights, &weights_across, samples),
        }
    }
    samples
}

/// What each coefficient is multiplied by, row by row.
fn factors(quantization: &[u16; 64]) -> [[f32; 8]; 8] {
    let mut factors = [[0.0; 8]; 8];
    for (natural, step) in ZIGZAG.iter().zip(quantization) {
        let place = factors.get_mut(usize::from(natural / 8)).and_then(|row| row.get_mut(usize::from(natural % 8)));
        if let Some(factor) = place {
            *factor = f32::from(*step);
        }
    }
    factors
}

/// What each frequency, as the formula of A.3.3 weighs it in one direction, adds to each of `count` samples.
type Weights = [[f32; 8]; 8];

fn weights(count: usize) -> Weights {
    let number = |number: usize| u8::try_from(number).map_or(0.0, f32::from);
    std::array::from_fn(|frequency| {
        std::array::from_fn(|place| {
            if frequency == 0 {
                return std::f32::consts::FRAC_1_SQRT_2 / 2.0;
            }
            let half_steps = (2.0 * number(place) + 1.0) * number(frequency);
            (half_steps * std::f32::consts::PI / (2.0 * number(count))).cos() / 2.0
        })
    })
}

/// All columns at once, a row of them at a time.
fn transform_down(frequencies: &[f32], width: usize, weights: &Weights, heights: &mut [f32]) {
    heights.fill(0.0);
    for (values, weights) in frequencies.chunks_exact(width).zip(weights) {
        for (row, weight) in heights.chunks_exact_mut(width).zip(weights) {
            for (sum, value) in row.iter_mut().zip(values) {
                *sum += weight * value;
            }
        }
    }
}

fn transform_across<const COUNT: usize>(heights: &[f32], weights: &Weights, samples: &mut [u8]) {
    for (values, samples) in heights.as_chunks::<COUNT>().0.iter().zip(samples.as_chunks_mut::<COUNT>().0) {
        let mut sums = [128.0; COUNT];
        for (value, weights) in values.iter().zip(weights) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += value * weight;
            }
        }
        *samples = sums.map(rounded);
    }
}
