//! Huffman decoding (T.81, annexes C and F.2.2.3).

use super::bit_reader::EntropyReader;
use crate::formats::ImageError;

/// Codewords up to this length are decoded by one lookup.
const LOOKUP_BITS: u32 = 10;

const LENGTHS: usize = 16;

pub(super) struct HuffmanTable {
    /// By the next [`LOOKUP_BITS`] bits: codeword length × 256 + value; 0 for longer codewords.
    lookup: [u16; 1 << LOOKUP_BITS],
    /// By length: the first 16 bits past its codewords, and the first codeword minus the index of its value.
    slow: [(u32, u32); LENGTHS],
    values: Vec<u8>,
}

impl HuffmanTable {
    /// Builds the table from DHT's counts of codewords by length, and their values.
    pub(super) fn new(counts: &[u8; LENGTHS], values: &[u8]) -> Result<Self, ImageError> {
        let mut table = Self { lookup: [0; 1 << LOOKUP_BITS], slow: [(0, 0); LENGTHS], values: values.to_vec() };
        let (mut code, mut index) = (0u32, 0u32);
        for ((length, count), slow) in (1u32..).zip(counts).zip(&mut table.slow) {
            let first = index;
            for value in values.iter().skip(index as usize).take(usize::from(*count)) {
                if length <= LOOKUP_BITS {
                    let shift = LOOKUP_BITS - length;
                    let (from, to) = ((code << shift) as usize, ((code + 1) << shift) as usize);
                    let entry = u16::try_from(length << 8).unwrap_or_default() | u16::from(*value);
                    table.lookup.get_mut(from..to).ok_or_else(overfull)?.fill(entry);
                }
                code += 1;
            }
            index += u32::from(*count);
            if code > 1 << length {
                return Err(overfull());
            }
            *slow = (code << (16 - length), (code - u32::from(*count)).wrapping_sub(first));
            code <<= 1;
        }
        Ok(table)
    }

    /// Returns the length and value of the next codeword without consuming it.
    #[inline]
    pub(super) fn peek(&self, bits: &mut EntropyReader<'_>) -> Result<(u32, u8), ImageError> {
        let next = bits.peek16();
        let [value, length] =
            self.lookup.get(usize::from(next >> (16 - LOOKUP_BITS))).copied().unwrap_or(0).to_le_bytes();
        if length > 0 { Ok((u32::from(length), value)) } else { self.slow_path(next) }
    }

    fn slow_path(&self, next: u16) -> Result<(u32, u8), ImageError> {
        let next = u32::from(next);
        for (length, (end, offset)) in (1u32..).zip(&self.slow).skip(LOOKUP_BITS as usize) {
            if next < *end {
                let index = (next >> (16 - length)).wrapping_sub(*offset);
                let value = self.values.get(index as usize).ok_or_else(unknown)?;
                return Ok((length, *value));
            }
        }
        Err(unknown())
    }
}

fn overfull() -> ImageError {
    ImageError::malformed("an overfull Huffman table")
}

fn unknown() -> ImageError {
    ImageError::malformed("a codeword that is not in its Huffman table")
}
