//! The bits of entropy-coded data (T.81, F.2.2.5).

use crate::images::Refusal;
use crate::images::rewrite::{Rewrite, Rewritten};

/// Reads bits between two markers, stuffed zeros left out.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bits, the first of them highest.
    buffer: u64,
    /// How many of them there are.
    count: u32,
    /// The data with intervals that are padded with ones (F.1.2.3), up to the last interval that was not.
    padded: Rewrite<'a>,
    padded_to: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, buffer: 0, count: 0, padded: Rewrite::new(data), padded_to: 0 }
    }

    /// The next 16 bits, zeros where the data ends; 32 are then at hand, or all that are left.
    #[inline]
    pub(super) fn peek16(&mut self) -> u16 {
        if self.count < 32 {
            self.fill();
        }
        u16::try_from(self.buffer >> 48).unwrap_or_default()
    }

    /// The `size` bits, 1 to 15, that come `after` others, as the number that they stand for (T.81, table F.1, F.2); with those
    /// before them they are to be among the bits at hand.
    #[inline]
    pub(super) fn peek_signed(&self, after: u32, size: u32) -> i32 {
        let bits = i32::try_from((self.buffer << after) >> (64 - size)).unwrap_or_default();
        let half = 1 << (size - 1);
        if bits < half { bits - 2 * half + 1 } else { bits }
    }

    /// Passes over up to 32 bits that were peeked.
    #[inline]
    pub(super) fn skip(&mut self, count: u32) -> Result<(), Refusal> {
        self.count = self.count.checked_sub(count).ok_or(Refusal::Truncated)?;
        self.buffer <<= count;
        Ok(())
    }

    /// Passes over any number of bits.
    pub(super) fn skip_many(&mut self, mut count: u32) -> Result<(), Refusal> {
        while count > 0 {
            self.peek16();
            let now = count.min(32);
            self.skip(now)?;
            count -= now;
        }
        Ok(())
    }

    /// Reads up to 15 bits as a number.
    pub(super) fn read(&mut self, count: u32) -> Result<u32, Refusal> {
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

    /// Ends an interval: passes over what pads its last byte and restart marker `number`.
    pub(super) fn restart(&mut self, number: u8) -> Result<(), Refusal> {
        self.end()?;
        let fill = self.data.get(self.at..).unwrap_or_default().iter().take_while(|byte| **byte == 0xff).count();
        self.at += fill;
        if fill == 0 || self.data.get(self.at) != Some(&(0xd0 | number)) {
            return Err(Refusal::Broken("a restart is not where it is said to be".to_owned()));
        }
        self.at += 1;
        Ok(())
    }

    /// Ends a scan: nothing may be left of it. Returns its data, padded with ones.
    pub(super) fn finish(mut self) -> Result<Rewritten, Refusal> {
        self.end()?;
        if self.at < self.data.len() {
            return Err(surplus());
        }
        self.padded.keep(self.padded_to..self.at);
        Ok(self.padded.finish())
    }

    /// Ends an interval: what is left of its last byte becomes ones.
    fn end(&mut self) -> Result<(), Refusal> {
        self.fill_by_bytes();
        let left = std::mem::take(&mut self.count);
        self.buffer = 0;
        if left >= u8::BITS {
            return Err(surplus());
        }
        let ones = (1u8 << left) - 1;
        let (last, byte) = match self.data.get(..self.at) {
            // With its stuffed zero a byte of ones.
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

/// Whether one of four bytes is `ff`.
fn has_ff(word: u32) -> bool {
    let inverted = !word;
    inverted.wrapping_sub(0x0101_0101) & word & 0x8080_8080 != 0
}

fn surplus() -> Refusal {
    Refusal::Broken("a scan goes on after its last block".to_owned())
}
