//! Huffman codes of a JPEG (T.81, annex C).

use super::bits::Bits;
use crate::images::Refusal;

/// Codes up to this length are looked up at once.
const QUICK_BITS: u32 = 10;

const LENGTHS: usize = 16;

/// A code and what its words mean.
pub(super) struct HuffmanTable {
    /// By the next [`QUICK_BITS`] bits: the length of the word × 256 + its value; 0 for a longer word.
    quick: [u16; 1 << QUICK_BITS],
    /// Of the words of each length: past which 16 bits they end, and the index of the first one's value.
    longer: [(u32, u32); LENGTHS],
    values: Vec<u8>,
}

impl HuffmanTable {
    /// Of how many words of each length there are, and what they mean.
    pub(super) fn new(counts: &[u8; LENGTHS], values: &[u8]) -> Result<Self, Refusal> {
        let mut table = Self { quick: [0; 1 << QUICK_BITS], longer: [(0, 0); LENGTHS], values: values.to_vec() };
        let (mut code, mut index) = (0u32, 0u32);
        for ((length, count), longer) in (1u32..).zip(counts).zip(&mut table.longer) {
            let first = index;
            for value in values.iter().skip(index as usize).take(usize::from(*count)) {
                if length <= QUICK_BITS {
                    let shift = QUICK_BITS - length;
                    let (from, to) = ((code << shift) as usize, ((code + 1) << shift) as usize);
                    let word = u16::try_from(length << 8).unwrap_or_default() | u16::from(*value);
                    table.quick.get_mut(from..to).ok_or_else(overfull)?.fill(word);
                }
                code += 1;
            }
            index += u32::from(*count);
            if code > 1 << length {
                return Err(overfull());
            }
            // The value's index is the code less what this subtracts.
            *longer = (code << (16 - length), (code - u32::from(*count)).wrapping_sub(first));
            code <<= 1;
        }
        Ok(table)
    }

    /// The next word's length and value, the word not passed over yet.
    #[inline]
    pub(super) fn peek(&self, bits: &mut Bits<'_>) -> Result<(u32, u8), Refusal> {
        let next = bits.peek16();
        let [value, length] =
            self.quick.get(usize::from(next >> (16 - QUICK_BITS))).copied().unwrap_or(0).to_le_bytes();
        if length > 0 { Ok((u32::from(length), value)) } else { self.peek_longer(next) }
    }

    fn peek_longer(&self, next: u16) -> Result<(u32, u8), Refusal> {
        let next = u32::from(next);
        for (length, (end, offset)) in (1u32..).zip(&self.longer).skip(QUICK_BITS as usize) {
            if next < *end {
                let index = (next >> (16 - length)).wrapping_sub(*offset);
                let value = self.values.get(index as usize).ok_or_else(unknown)?;
                return Ok((length, *value));
            }
        }
        Err(unknown())
    }
}

fn overfull() -> Refusal {
    Refusal::Broken("a Huffman table holds more codes than there are".to_owned())
}

fn unknown() -> Refusal {
    Refusal::Broken("a Huffman code that its table does not hold".to_owned())
}
