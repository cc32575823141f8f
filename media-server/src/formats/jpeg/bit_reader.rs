//! Bit reader of entropy-coded data (T.81, F.2.2.5).

use crate::formats::ImageError;
use crate::formats::rewrite::{Rewrite, Rewritten};

/// Reads the bits of a scan, most significant first, without stuffed zero bytes.
pub(super) struct EntropyReader<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bits, left-aligned.
    buffer: u64,
    /// Valid bits in `buffer`.
    count: u32,
    /// A copy of the data in which each interval before `padded_to` ends with ones (F.1.2.3).
    padded: Rewrite<'a>,
    padded_to: usize,
}

impl<'a> EntropyReader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, buffer: 0, count: 0, padded: Rewrite::new(data), padded_to: 0 }
    }

    /// Returns the next 16 bits, zeros past the end. Afterwards 32 bits are buffered, or all that are left.
    #[inline]
    pub(super) fn peek16(&mut self) -> u16 {
        if self.count < 32 {
            self.fill();
        }
        u16::try_from(self.buffer >> 48).unwrap_or_default()
    }

    /// Returns the signed value (EXTEND, F.2.2.1) of the `size` bits, 1 to 15, that follow the next `after` bits. All must be buffered.
    #[inline]
    pub(super) fn peek_signed(&self, after: u32, size: u32) -> i32 {
        let bits = i32::try_from((self.buffer << after) >> (64 - size)).unwrap_or_default();
        let half = 1 << (size - 1);
        if bits < half { bits - 2 * half + 1 } else { bits }
    }

    /// Skips up to 32 bits that were peeked.
    #[inline]
    pub(super) fn skip(&mut self, count: u32) -> Result<(), ImageError> {
        self.count = self.count.checked_sub(count).ok_or(ImageError::Truncated)?;
        self.buffer <<= count;
        Ok(())
    }

    /// Skips any number of bits.
    pub(super) fn skip_many(&mut self, mut count: u32) -> Result<(), ImageError> {
        while count > 0 {
            self.peek16();
            let now = count.min(32);
            self.skip(now)?;
            count -= now;
        }
        Ok(())
    }

    /// Reads up to 15 bits as a number.
    pub(super) fn read(&mut self, count: u32) -> Result<u32, ImageError> {
        let value = u32::from(self.peek16()) >> (16 - count);
        self.skip(count)?;
        Ok(value)
    }

    #[inline]
    fn fill(&mut self) {
        if let Some(four) = self.data.get(self.at..).and_then(<[u8]>::first_chunk::<4>) {
            let word = u32::from_be_bytes(*four);
            if !has_ff(word) {
                self.buffer |= u64::from(word) << (32 - self.count);
                self.count += 32;
                self.at += 4;
                return;
            }
        }
        self.fill_by_bytes();
    }

    fn fill_by_bytes(&mut self) {
        while self.count <= 56 {
            let (byte, length) = match self.data.get(self.at..) {
                Some([0xff, 0, ..]) => (0xff, 2),
                Some([0xff, ..] | []) | None => return,
                Some([byte, ..]) => (*byte, 1),
            };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
            self.at += length;
        }
    }

    /// Ends an interval: skips the padding of its last byte, and restart marker `number`.
    pub(super) fn restart(&mut self, number: u8) -> Result<(), ImageError> {
        self.end()?;
        let fill = self.data.get(self.at..).unwrap_or_default().iter().take_while(|byte| **byte == 0xff).count();
        self.at += fill;
        if fill == 0 || self.data.get(self.at) != Some(&(0xd0 | number)) {
            return Err(ImageError::malformed("a restart marker is missing"));
        }
        self.at += 1;
        Ok(())
    }

    /// Ends the scan, which must be read to its end. Returns its data, padded with ones.
    pub(super) fn finish(mut self) -> Result<Rewritten, ImageError> {
        self.end()?;
        if self.at < self.data.len() {
            return Err(surplus());
        }
        self.padded.keep(self.padded_to..self.at);
        Ok(self.padded.finish())
    }

    /// Ends an interval: pads its last byte with ones.
    fn end(&mut self) -> Result<(), ImageError> {
        self.fill_by_bytes();
        let left = std::mem::take(&mut self.count);
        self.buffer = 0;
        if left >= u8::BITS {
            return Err(surplus());
        }
        let ones = (1u8 << left) - 1;
        let (last, byte) = match self.data.get(..self.at) {
            // An ff byte with its stuffed zero: all ones already.
            None | Some([] | [.., 0xff, 0]) => return Ok(()),
            Some([before @ .., byte]) => (before.len(), *byte),
        };
        let padded = byte | ones;
        if padded != byte {
            self.padded.keep(self.padded_to..last);
            self.padded.put(if padded == 0xff { &[0xff, 0] } else { std::slice::from_ref(&padded) });
            self.padded_to = self.at;
        }
        Ok(())
    }
}

/// Whether one of the four bytes is `ff`.
fn has_ff(word: u32) -> bool {
    let inverted = !word;
    inverted.wrapping_sub(0x0101_0101) & word & 0x8080_8080 != 0
}

fn surplus() -> ImageError {
    ImageError::malformed("data after the last block of a scan")
}
