//! The bits of a lossless WebP (RFC 9649, section 3.1): the lowest of a byte first.

use crate::images::Refusal;

#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    buffer: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, buffer: 0, count: 0 }
    }

    /// The next bits, at least 32 of them or all that are left; zeros follow.
    #[inline]
    pub(super) fn peek(&mut self) -> u64 {
        if self.count < 32 {
            self.fill();
        }
        self.buffer
    }

    /// Passes over up to 56 bits.
    #[inline]
    pub(super) fn skip(&mut self, count: u32) -> Result<(), Refusal> {
        if self.count < count {
            self.fill();
        }
        self.count = self.count.checked_sub(count).ok_or(Refusal::Truncated)?;
        self.buffer >>= count;
        Ok(())
    }

    /// Reads up to 31 bits as a number.
    pub(super) fn read(&mut self, count: u32) -> Result<u32, Refusal> {
        let value = self.peek() & ((1 << count) - 1);
        self.skip(count)?;
        Ok(u32::try_from(value).unwrap_or_default())
    }

    /// Reads up to 16 bits as a number.
    pub(super) fn read_u16(&mut self, count: u32) -> Result<u16, Refusal> {
        self.read(count).map(|value| u16::try_from(value).unwrap_or(u16::MAX))
    }

    /// Reads what a prefix code begins: a length or a distance, from 1 up (section 5.2.2).
    pub(super) fn read_prefixed(&mut self, prefix: u32) -> Result<u32, Refusal> {
        if prefix < 4 {
            return Ok(prefix + 1);
        }
        let extra = (prefix - 2) >> 1;
        let offset = (2 + (prefix & 1)) << extra;
        Ok(offset + self.read(extra)? + 1)
    }

    /// How many bits are left.
    pub(super) fn left(&self) -> usize {
        8 * self.data.len() + self.count as usize
    }

    #[inline]
    fn fill(&mut self) {
        if let Some(eight) = self.data.first_chunk() {
            // What does not fit as whole bytes is put there again by the next call.
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
        while self.count <= 56 {
            let Some((byte, rest)) = self.data.split_first() else { return };
            self.data = rest;
            self.buffer |= u64::from(*byte) << self.count;
            self.count += 8;
        }
    }
}
