//! Bit reader, least significant bit of a byte first: lossless WebP (RFC 9649, section 3.1) and deflate (RFC 1951, 3.1.1).

use std::iter::{Empty, empty};

use super::ImageError;

/// Reads the bits of `data`, then those of the chunks in `more`.
pub(super) struct BitReader<'a, I = Empty<&'a [u8]>> {
    data: &'a [u8],
    more: I,
    buffer: u64,
    /// Valid bits in `buffer`; the bits above them are zero or those of the next byte.
    count: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, more: empty(), buffer: 0, count: 0 }
    }

    /// Returns the number of unread bits.
    pub(super) fn left(&self) -> usize {
        8 * self.data.len() + self.count as usize
    }
}

impl<'a, I: Iterator<Item = &'a [u8]>> BitReader<'a, I> {
    pub(super) fn of_chunks(more: I) -> Self {
        Self { data: &[], more, buffer: 0, count: 0 }
    }

    /// Returns the next bits: `at_least` of them, 48 at most, or all that are left, then zeros.
    #[inline]
    pub(super) fn peek(&mut self, at_least: u32) -> u64 {
        if self.count < at_least {
            self.fill();
        }
        self.buffer
    }

    /// Skips up to 48 bits.
    #[inline]
    pub(super) fn skip(&mut self, count: u32) -> Result<(), ImageError> {
        if self.count < count {
            self.fill();
        }
        self.count = self.count.checked_sub(count).ok_or(ImageError::Truncated)?;
        self.buffer >>= count;
        Ok(())
    }

    /// Reads up to 31 bits as a number.
    pub(super) fn read(&mut self, count: u32) -> Result<u32, ImageError> {
        let value = self.peek(32) & ((1 << count) - 1);
        self.skip(count)?;
        Ok(u32::try_from(value).unwrap_or_default())
    }

    /// Reads up to 16 bits as a number.
    pub(super) fn read_u16(&mut self, count: u32) -> Result<u16, ImageError> {
        self.read(count).map(|value| u16::try_from(value).unwrap_or(u16::MAX))
    }

    /// Skips to the next byte boundary.
    pub(super) fn align(&mut self) {
        let padding = self.count % 8;
        self.buffer >>= padding;
        self.count -= padding;
    }

    /// Skips bytes, from a byte boundary on.
    pub(super) fn skip_bytes(&mut self, mut count: usize) -> Result<(), ImageError> {
        while count > 0 && self.count > 0 {
            self.skip(8)?;
            count -= 1;
        }
        if self.count == 0 {
            self.buffer = 0;
        }
        while count > self.data.len() {
            count -= self.data.len();
            self.data = self.more.next().ok_or(ImageError::Truncated)?;
        }
        self.data = self.data.get(count..).unwrap_or_default();
        Ok(())
    }

    #[inline]
    fn fill(&mut self) {
        if let Some(eight) = self.data.first_chunk() {
            // Bits that do not fit as whole bytes are loaded again, to the same place, by the next call.
            self.buffer |= u64::from_le_bytes(*eight) << self.count;
            let bytes = (63 - self.count) / 8;
            self.data = self.data.get(bytes as usize..).unwrap_or_default();
            self.count += bytes * 8;
        } else {
            self.fill_by_bytes();
        }
    }

    #[cold]
    fn fill_by_bytes(&mut self) {
        // The buffer may hold bits of the next byte above `count`.
        self.buffer &= (1u64 << self.count) - 1;
        while self.count <= 48 {
            if let Some((byte, rest)) = self.data.split_first() {
                self.buffer |= u64::from(*byte) << self.count;
                (self.data, self.count) = (rest, self.count + 8);
            } else if let Some(data) = self.more.next() {
                self.data = data;
            } else {
                return;
            }
        }
    }
}
