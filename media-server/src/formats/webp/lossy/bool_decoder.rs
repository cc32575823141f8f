//! Boolean entropy decoder of VP8 (RFC 6386, section 7).

use crate::formats::ImageError;

pub(super) struct BoolDecoder<'a> {
    data: &'a [u8],
    /// Not loaded yet.
    rest: &'a [u8],
    value: u64,
    /// Valid bits of `value`; the eight highest are compared.
    count: u32,
    range: u32,
    /// Zero bytes loaded past the end.
    past: usize,
}

impl<'a> BoolDecoder<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, rest: data, value: 0, count: 0, range: 255, past: 0 }
    }

    /// Reads a bit that is 0 with a probability of `probability` / 256.
    #[inline]
    pub(super) fn read(&mut self, probability: u8) -> bool {
        if self.count < u8::BITS {
            self.load();
        }
        let split = 1 + (((self.range - 1) * u32::from(probability)) >> 8);
        let least = u64::from(split) << (self.count - u8::BITS);
        let bit = self.value >= least;
        if bit {
            self.value -= least;
            self.range -= split;
        } else {
            self.range = split;
        }
        let shift = self.range.leading_zeros() - 24;
        self.range <<= shift;
        self.count -= shift;
        bit
    }

    /// Reads a bit of probability 1/2.
    pub(super) fn flag(&mut self) -> bool {
        self.read(128)
    }

    /// Reads an unsigned number, most significant bit first.
    pub(super) fn literal(&mut self, count: u32) -> u32 {
        (0..count).fold(0, |value, _| value << 1 | u32::from(self.flag()))
    }

    pub(super) fn byte(&mut self) -> u8 {
        u8::try_from(self.literal(u8::BITS)).unwrap_or(u8::MAX)
    }

    /// Skips a bit of each of these probabilities.
    #[inline]
    pub(super) fn skip(&mut self, probabilities: &[u8]) {
        for probability in probabilities {
            self.read(*probability);
        }
    }

    /// Skips a flag and, if it is set, a number of `count` bits and its sign.
    pub(super) fn optional_signed(&mut self, count: u32) {
        if self.flag() {
            self.literal(count + 1);
        }
    }

    /// Checks for truncation. As in libwebp one byte may be missing, which then counts as 0.
    pub(super) fn check(&self) -> Result<(), ImageError> {
        if self.past > 1 { Err(ImageError::Truncated) } else { Ok(()) }
    }

    /// Returns the number of bytes compared so far, plus up to two zero bytes, with which libwebp ends a partition.
    pub(super) fn used(&self) -> usize {
        const ZEROS_MAX: usize = 2;
        let loaded = self.data.len() - self.rest.len() + self.past;
        let compared = match self.count.checked_sub(u8::BITS) {
            Some(not_compared) => loaded - (not_compared / u8::BITS) as usize,
            // The next bit needs another byte.
            None => loaded + 1,
        };
        let compared = compared.min(self.data.len());
        let zeros = self.data.iter().skip(compared).take(ZEROS_MAX).take_while(|byte| **byte == 0);
        compared + zeros.count()
    }

    #[inline]
    fn load(&mut self) {
        if let Some((four, rest)) = self.rest.split_first_chunk() {
            self.value = self.value << u32::BITS | u64::from(u32::from_be_bytes(*four));
            self.count += u32::BITS;
            self.rest = rest;
        } else {
            self.load_byte();
        }
    }

    #[cold]
    fn load_byte(&mut self) {
        let (byte, rest) = self.rest.split_first().unwrap_or((&0, &[]));
        self.past += usize::from(self.rest.is_empty());
        self.rest = rest;
        self.value = self.value << u8::BITS | u64::from(*byte);
        self.count += u8::BITS;
    }
}
