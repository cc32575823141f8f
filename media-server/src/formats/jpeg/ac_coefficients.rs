//! Entropy decoding of AC coefficients (T.81, F.2.2.2, G.1.2.2, G.1.2.3).

use super::bit_reader::EntropyReader;
use super::coefficients::CoefficientBlock;
use super::huffman::HuffmanTable;
use crate::formats::ImageError;

/// Decodes the AC coefficients of a sequential block (F.2.2.2).
#[inline]
pub(super) fn decode_block(
    bits: &mut EntropyReader<'_>,
    table: &HuffmanTable,
    mut block: Option<CoefficientBlock<'_>>,
) -> Result<(), ImageError> {
    let mut next = 1;
    while next < 64 {
        let (length, value) = table.peek(bits)?;
        let (run, size) = (u32::from(value >> 4), u32::from(value & 15));
        store(&mut block, next + run, bits, (length, size), 0);
        bits.skip(length + size)?;
        match (run, size) {
            (15, 0) => next += 16,
            (_, 0) => return Ok(()),
            _ => next += run + 1,
        }
    }
    if next > 64 { Err(past_the_last()) } else { Ok(()) }
}

/// Stores an AC coefficient, whose `size` bits follow the next `after` bits, if it is inside the crop.
#[inline]
fn store(
    block: &mut Option<CoefficientBlock<'_>>,
    index: u32,
    bits: &EntropyReader<'_>,
    (after, size): (u32, u32),
    al: u32,
) {
    if size > 0
        && let Some(block) = block.as_mut().filter(|block| block.reaches(index))
    {
        block.set(index, bits.peek_signed(after, size) << al);
    }
}

/// A band of AC coefficients of a progressive frame.
pub(super) struct AcBand<'a> {
    pub(super) table: &'a HuffmanTable,
    /// Ss and Se.
    pub(super) limits: (u32, u32),
    pub(super) al: u32,
    /// EOBRUN: blocks, from this one on, without new coefficients.
    pub(super) eob_run: u32,
}

impl AcBand<'_> {
    /// First pass of the band (G.1.2.2): decodes the high-order bits.
    pub(super) fn decode_ac_first(
        &mut self,
        bits: &mut EntropyReader<'_>,
        nonzero: &mut u64,
        mut block: Option<CoefficientBlock<'_>>,
    ) -> Result<(), ImageError> {
        if self.eob_run > 0 {
            self.eob_run -= 1;
            return Ok(());
        }
        let (mut next, last) = self.limits;
        while next <= last {
            let (length, value) = self.table.peek(bits)?;
            let (run, size) = (u32::from(value >> 4), u32::from(value & 15));
            store(&mut block, next + run, bits, (length, size), self.al);
            bits.skip(length + size)?;
            match (run, size) {
                (15, 0) => next += 16,
                (_, 0) => {
                    self.eob_run = read_eob_run(bits, run)? - 1;
                    return Ok(());
                }
                _ => {
                    next += run;
                    *nonzero |= 1u64.checked_shl(next).filter(|_| next <= last).ok_or_else(past_the_last)?;
                    next += 1;
                }
            }
        }
        if next > last + 1 { Err(past_the_last()) } else { Ok(()) }
    }

    /// Refinement pass (G.1.2.3): a correction bit for each nonzero coefficient, and new coefficients.
    pub(super) fn decode_ac_refinement(
        &mut self,
        bits: &mut EntropyReader<'_>,
        nonzero: &mut u64,
        mut block: Option<CoefficientBlock<'_>>,
    ) -> Result<(), ImageError> {
        let (mut next, last) = self.limits;
        while next <= last && self.eob_run == 0 {
            let (length, value) = self.table.peek(bits)?;
            let (run, size) = (u32::from(value >> 4), u32::from(value & 15));
            if size > 1 {
                return Err(ImageError::malformed("a new coefficient of more than one bit in a refinement"));
            }
            let value_bits = if size == 1 { bits.peek_signed(length, size) << self.al } else { 0 };
            bits.skip(length + size)?;
            if size == 0 && run < 15 {
                self.eob_run = read_eob_run(bits, run)?;
                break;
            }
            next = self.pass_zeros(bits, *nonzero, next, run, &mut block)?;
            if size == 1 {
                *nonzero |= 1u64.checked_shl(next).filter(|_| next <= last).ok_or_else(past_the_last)?;
                if let Some(block) = &mut block {
                    block.set(next, value_bits);
                }
            }
            next += 1;
        }
        if self.eob_run > 0 {
            self.eob_run -= 1;
            self.refine_rest(bits, *nonzero & band_mask(next, last), block)?;
        }
        Ok(())
    }

    /// Skips `run` zero coefficients and refines the nonzero ones between them; returns the index of the next zero.
    fn pass_zeros(
        &self,
        bits: &mut EntropyReader<'_>,
        nonzero: u64,
        mut next: u32,
        mut run: u32,
        block: &mut Option<CoefficientBlock<'_>>,
    ) -> Result<u32, ImageError> {
        while next <= self.limits.1 {
            if nonzero >> next & 1 == 1 {
                self.refine_one(bits, next, block)?;
            } else if run == 0 {
                break;
            } else {
                run -= 1;
            }
            next += 1;
        }
        Ok(next)
    }

    /// Refines the coefficients in `rest`.
    fn refine_rest(
        &self,
        bits: &mut EntropyReader<'_>,
        mut rest: u64,
        mut block: Option<CoefficientBlock<'_>>,
    ) -> Result<(), ImageError> {
        if block.is_none() {
            return bits.skip_many(rest.count_ones());
        }
        while rest != 0 {
            self.refine_one(bits, rest.trailing_zeros(), &mut block)?;
            rest &= rest - 1;
        }
        Ok(())
    }

    fn refine_one(
        &self,
        bits: &mut EntropyReader<'_>,
        index: u32,
        block: &mut Option<CoefficientBlock<'_>>,
    ) -> Result<(), ImageError> {
        let is_refined = bits.read(1)? == 1;
        if let Some(block) = block.as_mut().filter(|_| is_refined) {
            block.refine(index, 1 << self.al);
        }
        Ok(())
    }
}

/// Returns the bits `first` to `last`; none if `first` is greater.
fn band_mask(first: u32, last: u32) -> u64 {
    let up_to_last = u64::MAX >> (63 - last);
    up_to_last & u64::MAX.checked_shl(first).unwrap_or(0)
}

/// Reads EOBRUN (table G.1): blocks, this one included, without further coefficients in the band.
fn read_eob_run(bits: &mut EntropyReader<'_>, run: u32) -> Result<u32, ImageError> {
    Ok((1 << run) + bits.read(run)?)
}

fn past_the_last() -> ImageError {
    ImageError::malformed("a coefficient past the end of its band")
}
