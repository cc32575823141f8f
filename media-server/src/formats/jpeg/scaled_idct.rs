//! Scaled inverse DCT: from coefficients to samples (T.81, A.3.3).

use super::coefficients::{Coefficients, ZIGZAG};
use crate::formats::rounded;

/// Returns the samples of all blocks, row by row.
///
/// For a block kept at N < 8 on an axis, applies the N-point inverse DCT to its N lowest frequencies (as libjpeg does).
pub(super) fn samples(coefficients: &Coefficients, quantization: &[u16; 64]) -> Vec<u8> {
    let width = coefficients.width();
    let mut samples = vec![0; coefficients.values.len()];
    if width == 0 {
        return samples;
    }
    let (size_x, size_y) = coefficients.idct_size;
    let factors = factors(quantization);
    let (weights_x, weights_y) = (weights(size_x), weights(size_y));
    let band = width * size_y;
    let (mut frequencies, mut columns) = (vec![0.0; band], vec![0.0; band]);
    for (values, samples) in coefficients.values.chunks_exact(band).zip(samples.chunks_exact_mut(band)) {
        let rows = values.chunks_exact(width).zip(frequencies.chunks_exact_mut(width));
        for ((values, row), factors) in rows.zip(&factors) {
            for (values, row) in values.chunks_exact(size_x).zip(row.chunks_exact_mut(size_x)) {
                for ((value, frequency), factor) in values.iter().zip(row).zip(factors) {
                    *frequency = f32::from(*value) * factor;
                }
            }
        }
        idct_columns(&frequencies, width, &weights_y, &mut columns);
        match size_x {
            1 => idct_rows::<1>(&columns, &weights_x, samples),
            2 => idct_rows::<2>(&columns, &weights_x, samples),
            4 => idct_rows::<4>(&columns, &weights_x, samples),
            _ => idct_rows::<8>(&columns, &weights_x, samples),
        }
    }
    samples
}

/// Returns the quantization steps, row by row.
fn factors(quantization: &[u16; 64]) -> [[f32; 8]; 8] {
    let mut factors = [[0.0; 8]; 8];
    for (natural, step) in ZIGZAG.iter().zip(quantization) {
        let factor = factors.get_mut(usize::from(natural / 8)).and_then(|row| row.get_mut(usize::from(natural % 8)));
        if let Some(factor) = factor {
            *factor = f32::from(*step);
        }
    }
    factors
}

/// By frequency and sample: the basis function of the inverse DCT on one axis (A.3.3).
type Weights = [[f32; 8]; 8];

fn weights(count: usize) -> Weights {
    let number = |number: usize| u8::try_from(number).map_or(0.0, f32::from);
    std::array::from_fn(|frequency| {
        std::array::from_fn(|sample| {
            if frequency == 0 {
                return std::f32::consts::FRAC_1_SQRT_2 / 2.0;
            }
            let half_steps = (2.0 * number(sample) + 1.0) * number(frequency);
            (half_steps * std::f32::consts::PI / (2.0 * number(count))).cos() / 2.0
        })
    })
}

/// Transforms all columns at once, row by row.
fn idct_columns(frequencies: &[f32], width: usize, weights: &Weights, columns: &mut [f32]) {
    columns.fill(0.0);
    for (values, weights) in frequencies.chunks_exact(width).zip(weights) {
        for (row, weight) in columns.chunks_exact_mut(width).zip(weights) {
            for (sum, value) in row.iter_mut().zip(values) {
                *sum += weight * value;
            }
        }
    }
}

fn idct_rows<const COUNT: usize>(columns: &[f32], weights: &Weights, samples: &mut [u8]) {
    for (values, samples) in columns.as_chunks::<COUNT>().0.iter().zip(samples.as_chunks_mut::<COUNT>().0) {
        let mut sums = [128.0; COUNT];
        for (value, weights) in values.iter().zip(weights) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += value * weight;
            }
        }
        *samples = sums.map(rounded);
    }
}
