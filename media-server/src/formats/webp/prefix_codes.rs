//! Prefix codes of lossless WebP (RFC 9649, section 6.2).
//!
//! A code is built in time linear in its codewords: unused symbols of an alphabet of up to 2,328 cost nothing.

use super::code_costs::{CodeCosts, LENGTH_MAX, LengthCounts};
use crate::formats::ImageError;
use crate::formats::bit_reader::BitReader;
use crate::formats::work::Work;

/// Green values and length prefixes. Larger symbols are color cache indices.
pub(super) const LITERALS_AND_LENGTHS: u16 = 256 + 24;

/// Codewords up to this length are decoded by one lookup.
const LOOKUP_BITS: u32 = 8;

/// Steps per code, in addition to one per codeword.
const CODE_STEPS: u64 = 32;

/// Reads prefix codes from the stream.
#[derive(Default)]
pub(super) struct PrefixCodeReader {
    /// Symbol and codeword length, by symbol. A buffer.
    codewords: Vec<(u16, u8)>,
    /// Costs of the codes read so far for image-webp.
    pub(super) costs: CodeCosts,
}

/// The five codes of a meta prefix code.
pub(super) struct PrefixCodeGroup {
    pub(super) green: PrefixCode,
    red: PrefixCode,
    blue: PrefixCode,
    alpha: PrefixCode,
    pub(super) distance: PrefixCode,
}

pub(super) enum PrefixCode {
    /// A single symbol, of no bits.
    One(u16),
    Many(Box<CanonicalTable>),
}

/// Decoding tables of a canonical code.
pub(super) struct CanonicalTable {
    /// By the next bits, as many as in the longest codeword but at most [`LOOKUP_BITS`]: symbol × 16 + codeword length; 0 for a
    /// longer codeword.
    lookup: Vec<u16>,
    counts: LengthCounts,
    /// First codeword longer than [`LOOKUP_BITS`], and the index of its symbol.
    slow: (u32, u32),
    /// Sorted by codeword length, then by value.
    symbols: Vec<u16>,
}

impl PrefixCodeReader {
    /// Reads and checks a group with a color cache of `cached` entries, and builds its tables if `is_used`.
    pub(super) fn group(
        &mut self,
        bits: &mut BitReader<'_>,
        cached: u16,
        is_used: bool,
        work: &mut Work,
    ) -> Result<PrefixCodeGroup, ImageError> {
        self.costs.add_group();
        let mut code = |alphabet| self.code(bits, alphabet, is_used, work);
        Ok(PrefixCodeGroup {
            green: code(LITERALS_AND_LENGTHS + cached)?,
            red: code(256)?,
            blue: code(256)?,
            alpha: code(256)?,
            distance: code(40)?,
        })
    }

    fn code(
        &mut self,
        bits: &mut BitReader<'_>,
        alphabet: u16,
        is_used: bool,
        work: &mut Work,
    ) -> Result<PrefixCode, ImageError> {
        self.codewords.clear();
        let is_simple = bits.read(1)? == 1;
        if is_simple {
            self.read_simple(bits, alphabet)?;
        } else {
            self.read_lengths(bits, alphabet)?;
        }
        work.spend(CODE_STEPS + self.codewords.len() as u64)?;
        let counts = count(&self.codewords)?;
        if is_simple {
            self.costs.add_simple(self.codewords.len() == 2);
        } else {
            self.costs.add_code(&counts, alphabet);
        }
        Ok(if is_used { PrefixCode::new(counts, &self.codewords) } else { PrefixCode::One(0) })
    }

    /// Reads a simple code of one or two symbols (section 6.2.1.1).
    fn read_simple(&mut self, bits: &mut BitReader<'_>, alphabet: u16) -> Result<(), ImageError> {
        let has_two = bits.read(1)? == 1;
        let first_bits = if bits.read(1)? == 1 { 8 } else { 1 };
        let first = bits.read_u16(first_bits)?;
        self.codewords.push((first, 1));
        if has_two {
            let second = bits.read_u16(8)?;
            // Decoders differ in whether the codeword of two equal symbols has one bit or none.
            if first == second {
                return Err(malformed());
            }
            self.codewords.push((second, 1));
            self.codewords.sort_unstable();
        }
        if self.codewords.iter().any(|(symbol, _)| *symbol >= alphabet) { Err(malformed()) } else { Ok(()) }
    }

    /// Reads code lengths, which are prefix coded (section 6.2.1.2).
    fn read_lengths(&mut self, bits: &mut BitReader<'_>, alphabet: u16) -> Result<(), ImageError> {
        const ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let mut code_lengths = [0u8; ORDER.len()];
        let code_lengths_count = bits.read(4)? as usize + 4;
        for symbol in ORDER.iter().take(code_lengths_count) {
            *code_lengths.get_mut(*symbol).ok_or_else(malformed)? = u8::try_from(bits.read(3)?).unwrap_or_default();
        }
        let codewords = (0..).zip(code_lengths).filter(|(_, length)| *length > 0);
        self.codewords.extend(codewords);
        let code = PrefixCode::new(count(&self.codewords)?, &self.codewords);
        self.codewords.clear();
        let mut codes_left = alphabet;
        if bits.read(1)? == 1 {
            let number_bits = 2 + 2 * bits.read(3)?;
            codes_left =
                bits.read_u16(number_bits)?.checked_add(2).filter(|count| *count <= alphabet).ok_or_else(malformed)?;
        }
        let (mut symbol, mut before) = (0, 8);
        while symbol < alphabet && codes_left > 0 {
            codes_left -= 1;
            let (repeats, length) = match code.read(bits)? {
                16 => (bits.read_u16(2)? + 3, before),
                17 => (bits.read_u16(3)? + 3, 0),
                18 => (bits.read_u16(7)? + 11, 0),
                length => (1, u8::try_from(length).unwrap_or_default()),
            };
            let end = symbol + repeats;
            if end > alphabet {
                return Err(malformed());
            }
            if length > 0 {
                before = length;
                self.codewords.extend((symbol..end).map(|symbol| (symbol, length)));
            }
            symbol = end;
        }
        Ok(())
    }
}

/// Counts codewords by length. A code must be complete or have a single symbol.
fn count(codewords: &[(u16, u8)]) -> Result<LengthCounts, ImageError> {
    let mut counts = LengthCounts::default();
    for (_, length) in codewords {
        *counts.get_mut(usize::from(*length)).ok_or_else(malformed)? += 1;
    }
    // In units of a codeword of the greatest length.
    let used = (0..).zip(&counts).skip(1).map(|(length, count)| u32::from(*count) << (LENGTH_MAX - length));
    if codewords.len() == 1 || used.sum::<u32>() == 1 << LENGTH_MAX { Ok(counts) } else { Err(malformed()) }
}

impl PrefixCodeGroup {
    /// Decodes red, blue and alpha of a literal pixel; returns ARGB.
    #[inline]
    pub(super) fn read_argb(&self, bits: &mut BitReader<'_>, green: u32) -> Result<u32, ImageError> {
        let [red, blue, alpha] = [self.red.read(bits)?, self.blue.read(bits)?, self.alpha.read(bits)?].map(u32::from);
        Ok(alpha << 24 | red << 16 | green << 8 | blue)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let codes = [&self.green, &self.red, &self.blue, &self.alpha, &self.distance];
        size_of::<Self>() + codes.iter().map(|code| code.memory_bytes()).sum::<usize>()
    }
}

impl PrefixCode {
    fn new(counts: LengthCounts, codewords: &[(u16, u8)]) -> Self {
        match codewords {
            [(only, _)] => Self::One(*only),
            _ => Self::Many(Box::new(CanonicalTable::new(counts, codewords))),
        }
    }

    #[inline]
    pub(super) fn read(&self, bits: &mut BitReader<'_>) -> Result<u16, ImageError> {
        match self {
            Self::One(symbol) => Ok(*symbol),
            Self::Many(table) => table.read(bits),
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Many(table) => {
                size_of::<CanonicalTable>() + (table.lookup.capacity() + table.symbols.capacity()) * size_of::<u16>()
            }
        }
    }
}

impl CanonicalTable {
    fn new(counts: LengthCounts, codewords: &[(u16, u8)]) -> Self {
        let symbols = sorted(&counts, codewords);
        let longest = (0..).zip(&counts).filter(|(_, count)| **count > 0).map(|(length, _)| length).last();
        let mut lookup = vec![0; 1 << longest.unwrap_or(0u32).min(LOOKUP_BITS)];
        let mut code = 0u32;
        let mut rest = symbols.iter();
        for (length, count) in (1..=LOOKUP_BITS).zip(counts.iter().skip(1)) {
            for symbol in rest.by_ref().take(usize::from(*count)) {
                // Codewords are stored most significant bit first, and looked up least significant bit first.
                let index = code.reverse_bits() >> (u32::BITS - length);
                let entry = *symbol << 4 | u16::try_from(length).unwrap_or_default();
                lookup.iter_mut().skip(index as usize).step_by(1 << length).for_each(|slot| *slot = entry);
                code += 1;
            }
            code <<= 1;
        }
        let slow = (code, u32::try_from(symbols.len() - rest.len()).unwrap_or_default());
        Self { lookup, counts, slow, symbols }
    }

    #[inline]
    fn read(&self, bits: &mut BitReader<'_>) -> Result<u16, ImageError> {
        let next = bits.peek(32);
        let index = usize::try_from(next).unwrap_or(usize::MAX) & (self.lookup.len() - 1);
        let entry = self.lookup.get(index).copied().unwrap_or(0);
        let length = u32::from(entry & 15);
        if length == 0 {
            return self.read_slow(bits, next);
        }
        bits.skip(length)?;
        Ok(entry >> 4)
    }

    fn read_slow(&self, bits: &mut BitReader<'_>, next: u64) -> Result<u16, ImageError> {
        // By length: the first codeword, and the index of its symbol.
        let (mut first, mut index) = self.slow;
        let start = u32::try_from(next & u64::from(u16::MAX)).unwrap_or_default().reverse_bits();
        for (length, count) in (LOOKUP_BITS + 1..).zip(self.counts.iter().skip(LOOKUP_BITS as usize + 1)) {
            let (code, count) = (start >> (u32::BITS - length), u32::from(*count));
            if code < first + count {
                bits.skip(length)?;
                return self.symbols.get((index + code - first) as usize).copied().ok_or_else(malformed);
            }
            index += count;
            first = (first + count) << 1;
        }
        Err(malformed())
    }
}

/// Returns the symbols sorted by codeword length, then by value (counting sort).
fn sorted(counts: &LengthCounts, codewords: &[(u16, u8)]) -> Vec<u16> {
    let mut next = [0usize; LENGTH_MAX + 1];
    let mut start = 0;
    for (next, count) in next.iter_mut().zip(counts).skip(1) {
        *next = start;
        start += usize::from(*count);
    }
    let mut symbols = vec![0; codewords.len()];
    for (symbol, length) in codewords {
        if let Some(next) = next.get_mut(usize::from(*length))
            && let Some(entry) = symbols.get_mut(*next)
        {
            *entry = *symbol;
            *next += 1;
        }
    }
    symbols
}

fn malformed() -> ImageError {
    ImageError::malformed("a malformed prefix code")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile::bits::BitWriter;

    /// Returns the steps of reading a code of two symbols that is written as code lengths.
    fn steps(alphabet: u16) -> u64 {
        let mut bits = BitWriter::default();
        bits.write_all(&[(0, 1), (0, 4), (0, 3), (0, 3), (0, 3), (1, 3), (1, 1), (0, 3), (0, 2)]);
        let data = bits.finish();
        let mut work = Work::default();
        let code = PrefixCodeReader::default().code(&mut BitReader::new(&data), alphabet, true, &mut work).unwrap();
        assert!(matches!(code, PrefixCode::Many(table) if table.symbols == [0, 1] && table.lookup.len() == 2));
        work.spent()
    }

    #[test]
    fn work_of_a_prefix_code_depends_on_its_codewords_not_its_alphabet() {
        assert_eq!(steps(2328), steps(40));
    }
}
