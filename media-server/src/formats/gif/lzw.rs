//! LZW decoder of a GIF (`GIF89a`, appendix F) that tracks the lengths of strings instead of their pixels.

use crate::formats::ImageError;
use crate::formats::work::Work;

const CODE_BITS_MAX: u32 = 12;
const CODES: usize = 1 << CODE_BITS_MAX;

/// Costs of a decoder, in steps.
#[derive(Clone, Copy)]
pub(super) struct Steps {
    sub_block: u64,
    clear: u64,
    /// Literals that a clear code initializes per step.
    literals_per_step: u64,
}

impl Steps {
    pub(super) const OF_VERIFICATION: Self = Self { sub_block: 2, clear: 1, literals_per_step: u64::MAX };
    /// Costs of the gif crate and weezl, which decode renditions.
    pub(super) const OF_RENDITION: Self = Self { sub_block: 20, clear: 16, literals_per_step: 2 };
}

/// Pixels of each code. Kept between images without clearing: an entry is written before it is read.
pub(super) struct Lengths([u16; CODES]);

impl Default for Lengths {
    fn default() -> Self {
        Self([0; CODES])
    }
}

/// Decoder of one image.
pub(super) struct Lzw<'a, 'w> {
    /// The rest of the sub-block, and the sub-blocks after it.
    block: &'a [u8],
    rest: &'a [u8],
    buffer: u64,
    count: u32,
    /// Bytes loaded so far.
    filled: usize,
    steps: Steps,
    work: &'w mut Work,
}

/// The end of an image's codes.
pub(super) struct CodeEnd {
    /// Bits before the end-of-information code, or before its due place.
    pub(super) bits: usize,
    /// The end-of-information code.
    pub(super) code: usize,
    pub(super) code_bits: u32,
    /// Whether that code is present and only zero padding follows.
    pub(super) is_last: bool,
}

impl<'a, 'w> Lzw<'a, 'w> {
    pub(super) fn new(data: &'a [u8], steps: Steps, work: &'w mut Work) -> Self {
        Self { block: &[], rest: data, buffer: 0, count: 0, filled: 0, steps, work }
    }

    /// Decodes until `pixels` are complete.
    pub(super) fn decode(
        mut self,
        code_size: u8,
        pixels: u64,
        Lengths(lengths): &mut Lengths,
    ) -> Result<CodeEnd, ImageError> {
        let literal_bits = u32::from(code_size);
        if !(1..CODE_BITS_MAX).contains(&literal_bits) {
            return Err(ImageError::malformed("an invalid LZW minimum code size"));
        }
        let clear = 1usize << literal_bits;
        let clear_steps = self.steps.clear + clear as u64 / self.steps.literals_per_step;
        let (mut next, mut bits, mut previous_length) = (clear + 2, literal_bits + 1, None);
        let mut left = pixels;
        while left > 0 {
            self.work.spend(1)?;
            let code = self.read(bits)?;
            if code == clear {
                self.work.spend(clear_steps)?;
                (next, bits, previous_length) = (clear + 2, literal_bits + 1, None);
                continue;
            }
            if code == clear + 1 {
                return Err(ImageError::Truncated);
            }
            // Adds the previous string plus a pixel; the code may be that new entry.
            if let Some(length) = previous_length
                && let Some(entry) = lengths.get_mut(next)
            {
                *entry = length + 1;
                next += 1;
                bits += u32::from(next >= 1 << bits && bits < CODE_BITS_MAX);
            }
            if code >= next {
                return Err(ImageError::malformed("an LZW code that is not in its table"));
            }
            let length = if code < clear { 1 } else { lengths.get(code).copied().unwrap_or(1) };
            previous_length = Some(length);
            left = left.saturating_sub(length.into());
        }
        let end_at = 8 * self.filled - self.count as usize;
        let is_end = self.read(bits).is_ok_and(|code| code == clear + 1);
        let is_last = is_end && self.count < 8 && self.buffer == 0 && self.block.is_empty() && self.rest.len() == 1;
        Ok(CodeEnd { bits: end_at, code: clear + 1, code_bits: bits, is_last })
    }

    #[inline]
    fn read(&mut self, bits: u32) -> Result<usize, ImageError> {
        while self.count < bits {
            self.fill()?;
        }
        let code = self.buffer & ((1 << bits) - 1);
        self.buffer >>= bits;
        self.count -= bits;
        usize::try_from(code).map_err(|_| ImageError::Truncated)
    }

    fn fill(&mut self) -> Result<(), ImageError> {
        if let Some((four, rest)) = self.block.split_first_chunk() {
            self.buffer |= u64::from(u32::from_le_bytes(*four)) << self.count;
            (self.block, self.count, self.filled) = (rest, self.count + 32, self.filled + 4);
        } else if let Some((byte, rest)) = self.block.split_first() {
            self.buffer |= u64::from(*byte) << self.count;
            (self.block, self.count, self.filled) = (rest, self.count + 8, self.filled + 1);
        } else {
            let (length, rest) =
                self.rest.split_first().filter(|(length, _)| **length > 0).ok_or(ImageError::Truncated)?;
            (self.block, self.rest) = rest.split_at_checked((*length).into()).ok_or(ImageError::Truncated)?;
            self.work.spend(self.steps.sub_block)?;
        }
        Ok(())
    }
}
