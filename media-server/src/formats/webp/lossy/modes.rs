//! Prediction modes of macroblocks (RFC 6386, sections 9.3, 10, 11).

use super::FrameHeader;
use super::bool_decoder::BoolDecoder;
use super::tables::{BLOCK_MODE_PROBABILITIES, BLOCK_MODES};

/// Memory of [`Modes`] per column of macroblocks.
pub(super) const COLUMN_BYTES: usize = size_of::<[u8; 4]>();

/// Subblock modes that correspond to macroblock modes.
const DC: u8 = 0;
const TRUE_MOTION: u8 = 1;
const VERTICAL: u8 = 2;
const HORIZONTAL: u8 = 3;

/// Tree of subblock modes (section 11.2): indices in it, or negated modes.
const BLOCK_MODE_TREE: [[i8; 2]; BLOCK_MODES - 1] =
    [[0, 2], [-1, 4], [-2, 6], [8, 12], [-3, 10], [-5, -6], [-4, 14], [-7, 16], [-8, -9]];

/// The modes that affect the parsing of a macroblock's coefficients.
#[derive(Clone, Copy)]
pub(super) struct Macroblock {
    /// Mode `B_PRED`: each luma subblock has its own mode and DC coefficient.
    pub(super) has_block_modes: bool,
    pub(super) has_coefficients: bool,
}

/// Reads modes. The contexts are the modes above and to the left.
pub(super) struct Modes<'a> {
    header: &'a FrameHeader,
    above: Vec<[u8; 4]>,
    left: [u8; 4],
}

impl<'a> Modes<'a> {
    pub(super) fn new(columns: usize, header: &'a FrameHeader) -> Self {
        Self { header, above: vec![[DC; 4]; columns], left: [DC; 4] }
    }

    pub(super) fn begin_row(&mut self) {
        self.left = [DC; 4];
    }

    pub(super) fn read(&mut self, bits: &mut BoolDecoder<'_>, column: usize) -> Macroblock {
        if let Some([first, low, high]) = self.header.segments {
            let half = if bits.read(first) { high } else { low };
            bits.read(half);
        }
        let has_coefficients = self.header.has_coefficients.is_none_or(|probability| !bits.read(probability));
        let has_block_modes = !bits.read(145);
        if has_block_modes {
            self.read_blocks(bits, column);
        } else {
            let [zero, one, probability] =
                if bits.read(156) { [HORIZONTAL, TRUE_MOTION, 128] } else { [DC, VERTICAL, 163] };
            let mode = if bits.read(probability) { one } else { zero };
            self.left = [mode; 4];
            self.above.get_mut(column).into_iter().for_each(|above| *above = [mode; 4]);
        }
        // Chroma mode.
        let _ = bits.read(142) && bits.read(114) && bits.read(183);
        Macroblock { has_block_modes, has_coefficients }
    }

    fn read_blocks(&mut self, bits: &mut BoolDecoder<'_>, column: usize) {
        let Some(above) = self.above.get_mut(column) else { return };
        for left in &mut self.left {
            for above in &mut *above {
                *left = block_mode(bits, *above, *left);
                *above = *left;
            }
        }
    }
}

fn block_mode(bits: &mut BoolDecoder<'_>, above: u8, left: u8) -> u8 {
    let context = usize::from(above) * BLOCK_MODES + usize::from(left);
    let probabilities = BLOCK_MODE_PROBABILITIES.as_chunks::<{ BLOCK_MODES - 1 }>().0.get(context);
    let mut pair = 0;
    while let Some(probability) = probabilities.and_then(|probabilities| probabilities.get(pair)) {
        let [zero, one] = BLOCK_MODE_TREE.get(pair).copied().unwrap_or_default();
        let next = if bits.read(*probability) { one } else { zero };
        match usize::try_from(next) {
            Ok(index @ 1..) => pair = index / 2,
            _ => return next.unsigned_abs(),
        }
    }
    DC
}
