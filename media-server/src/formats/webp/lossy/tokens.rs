//! DCT coefficient tokens of macroblocks (RFC 6386, section 13).

use super::bool_decoder::BoolDecoder;
use super::modes::Macroblock;
use super::tables::{BANDS, COEFFICIENT_PROBABILITIES, CONTEXTS, KINDS, TOKEN_PROBABILITIES};

/// Memory of [`Tokens`] per column of macroblocks.
pub(super) const COLUMN_BYTES: usize = size_of::<Contexts>();

type Probabilities = [[[u8; TOKEN_PROBABILITIES]; CONTEXTS]; BANDS];

/// The band of each coefficient.
const BANDS_OF_COEFFICIENTS: [usize; 16] = [0, 1, 2, 3, 6, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7];

/// Probabilities of the extra bits of categories 3 to 6 (section 13.2).
const EXTRA_BITS: [&[u8]; 4] = [
    &[173, 148, 140],
    &[176, 155, 140, 135],
    &[180, 157, 141, 134, 130],
    &[254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129],
];

/// Whether the blocks of a macroblock's last row or column have coefficients.
#[derive(Clone, Copy, Default)]
struct Contexts {
    luma: [bool; 4],
    chroma: [[bool; 2]; 2],
    y2: bool,
}

/// Reads coefficients. The contexts are the blocks above and to the left.
pub(super) struct Tokens {
    probabilities: [Probabilities; KINDS],
    above: Vec<Contexts>,
    left: Contexts,
}

impl Tokens {
    pub(super) fn new(columns: usize, flat: &[u8; COEFFICIENT_PROBABILITIES]) -> Self {
        let mut probabilities = [[[[0; TOKEN_PROBABILITIES]; CONTEXTS]; BANDS]; KINDS];
        let flattened = probabilities.as_flattened_mut().as_flattened_mut().as_flattened_mut();
        flattened.iter_mut().zip(flat).for_each(|(target, probability)| *target = *probability);
        Self { probabilities, above: vec![Contexts::default(); columns], left: Contexts::default() }
    }

    pub(super) fn begin_row(&mut self) {
        self.left = Contexts::default();
    }

    pub(super) fn read(&mut self, bits: &mut BoolDecoder<'_>, column: usize, macroblock: Macroblock) {
        let Macroblock { has_block_modes, has_coefficients } = macroblock;
        let Some(above) = self.above.get_mut(column) else { return };
        let left = &mut self.left;
        if !has_coefficients {
            // A macroblock without Y2 leaves that context as it was.
            let y2 = |contexts: &Contexts| contexts.y2 && has_block_modes;
            *above = Contexts { y2: y2(above), ..Contexts::default() };
            *left = Contexts { y2: y2(left), ..Contexts::default() };
            return;
        }
        // Block types in the order of section 13.3.
        let [luma_without_dc, y2, chroma, luma] = &self.probabilities;
        if !has_block_modes {
            block(bits, y2, 0, &mut above.y2, &mut left.y2);
        }
        let (luma, first) = if has_block_modes { (luma, 0) } else { (luma_without_dc, 1) };
        blocks(bits, luma, first, &mut above.luma, &mut left.luma);
        for (above, left) in above.chroma.iter_mut().zip(&mut left.chroma) {
            blocks(bits, chroma, 0, above, left);
        }
    }
}

fn blocks(
    bits: &mut BoolDecoder<'_>,
    probabilities: &Probabilities,
    first: usize,
    above: &mut [bool],
    left: &mut [bool],
) {
    for left in left {
        for above in &mut *above {
            block(bits, probabilities, first, above, left);
        }
    }
}

/// Reads a block's coefficients from `first` on.
#[inline]
fn block(bits: &mut BoolDecoder<'_>, probabilities: &Probabilities, first: usize, above: &mut bool, left: &mut bool) {
    let mut context = usize::from(*above) + usize::from(*left);
    let (mut has_coefficients, mut may_end) = (false, true);
    for band in BANDS_OF_COEFFICIENTS.iter().skip(first) {
        let Some(token) = probabilities.get(*band).and_then(|contexts| contexts.get(context)) else { break };
        let [is_more, is_nonzero, ..] = *token;
        if may_end && !bits.read(is_more) {
            break;
        }
        has_coefficients = true;
        // No end-of-block after a zero.
        may_end = bits.read(is_nonzero);
        context = if may_end { nonzero(bits, token) } else { 0 };
    }
    *above = has_coefficients;
    *left = has_coefficients;
}

/// Reads a nonzero coefficient and its sign; returns the next context: 1 for magnitude 1, otherwise 2.
#[inline]
fn nonzero(bits: &mut BoolDecoder<'_>, token: &[u8; TOKEN_PROBABILITIES]) -> usize {
    let [_, _, is_large, is_five, is_three, is_four, is_category3, is_category2, category5, category4, category6] =
        *token;
    let is_large = bits.read(is_large);
    if is_large {
        if !bits.read(is_five) {
            // Two, three or four.
            let _ = bits.read(is_three) && bits.read(is_four);
        } else if !bits.read(is_category3) {
            let extra: &[u8] = if bits.read(is_category2) { &[165, 145] } else { &[159] };
            bits.skip(extra);
        } else {
            let high = bits.read(category5);
            let low = bits.read(if high { category6 } else { category4 });
            let category = 2 * usize::from(high) + usize::from(low);
            bits.skip(EXTRA_BITS.get(category).copied().unwrap_or_default());
        }
    }
    bits.flag();
    1 + usize::from(is_large)
}
