//! The prefix codes of a lossless WebP (RFC 9649, section 6.2), built in time linear in their codewords: of an alphabet of up
//! to 2,328 symbols those without a codeword cost nothing.

use super::bits::Bits;
use super::footprint::CodeCosts;
use crate::images::Refusal;
use crate::images::work::Work;

/// Green values and the prefixes of copy lengths; symbols from here on are indices of the colour cache.
pub(super) const LITERALS_AND_LENGTHS: u16 = 256 + 24;

/// Codewords up to this length are decoded by one lookup.
const LOOKUP_BITS: u32 = 8;

pub(super) const LENGTH_MAX: usize = 15;

/// Steps of a code without its codewords.
const CODE_STEPS: u64 = 32;

/// How many codewords there are of each length; those of length 0 are the unused symbols.
pub(super) type LengthCounts = [u16; LENGTH_MAX + 1];

/// Reads codes one after the other.
#[derive(Default)]
pub(super) struct CodeReader {
    /// Symbol and codeword length, by symbol; kept between codes.
    codewords: Vec<(u16, u8)>,
    /// What the codes read so far cost the decoder of renditions.
    pub(super) costs: CodeCosts,
}

/// The five codes of a part of the picture.
pub(super) struct CodeGroup {
    pub(super) green: Code,
    red: Code,
    blue: Code,
    alpha: Code,
    pub(super) distance: Code,
}

/// A prefix code.
pub(super) enum Code {
    /// One symbol, of no bits.
    One(u16),
    Many(Box<Table>),
}

/// Canonical decoding tables of a code.
pub(super) struct Table {
    /// Indexed by the next bits, as many as the longest codeword has but at most [`LOOKUP_BITS`]: the symbol × 16 + the
    /// codeword's length; 0 for a longer codeword.
    lookup: Vec<u16>,
    counts: LengthCounts,
    /// Of codewords longer than [`LOOKUP_BITS`]: the first one of the next length, and the index of its symbol.
    longer: (u32, u32),
    /// Sorted by codeword length, then by value.
    symbols: Vec<u16>,
}

impl CodeReader {
    /// Reads the codes of a group whose colour cache holds `cached` colours. They are checked, and built if `is_used`.
    pub(super) fn group(
        &mut self,
        bits: &mut Bits<'_>,
        cached: u16,
        is_used: bool,
        work: &mut Work,
    ) -> Result<CodeGroup, Refusal> {
        self.costs.add_group();
        let mut code = |alphabet| self.code(bits, alphabet, is_used, work);
        Ok(CodeGroup {
            green: code(LITERALS_AND_LENGTHS + cached)?,
            red: code(256)?,
            blue: code(256)?,
            alpha: code(256)?,
            distance: code(40)?,
        })
    }

    fn code(&mut self, bits: &mut Bits<'_>, alphabet: u16, is_used: bool, work: &mut Work) -> Result<Code, Refusal> {
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
        Ok(if is_used { Code::new(counts, &self.codewords) } else { Code::One(0) })
    }

    /// One or two symbols (section 6.2.1.1).
    fn read_simple(&mut self, bits: &mut Bits<'_>, alphabet: u16) -> Result<(), Refusal> {
        let has_two = bits.read(1)? == 1;
        let first_bits = if bits.read(1)? == 1 { 8 } else { 1 };
        let first = bits.read_u16(first_bits)?;
        self.codewords.push((first, 1));
        if has_two {
            let second = bits.read_u16(8)?;
            // Decoders differ in whether two equal symbols have a codeword of one bit or of none.
            if first == second {
                return Err(broken());
            }
            self.codewords.push((second, 1));
            self.codewords.sort_unstable();
        }
        if self.codewords.iter().any(|(symbol, _)| *symbol >= alphabet) { Err(broken()) } else { Ok(()) }
    }

    /// The codeword lengths, themselves coded (section 6.2.1.2).
    fn read_lengths(&mut self, bits: &mut Bits<'_>, alphabet: u16) -> Result<(), Refusal> {
        const ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let mut own_lengths = [0u8; ORDER.len()];
        let own_count = bits.read(4)? as usize + 4;
        for place in ORDER.iter().take(own_count) {
            *own_lengths.get_mut(*place).ok_or_else(broken)? = u8::try_from(bits.read(3)?).unwrap_or_default();
        }
        let own_codewords = (0..).zip(own_lengths).filter(|(_, length)| *length > 0);
        self.codewords.extend(own_codewords);
        let code = Code::new(count(&self.codewords)?, &self.codewords);
        self.codewords.clear();
        let mut codes_left = alphabet;
        if bits.read(1)? == 1 {
            let number_bits = 2 + 2 * bits.read(3)?;
            codes_left =
                bits.read_u16(number_bits)?.checked_add(2).filter(|count| *count <= alphabet).ok_or_else(broken)?;
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
                return Err(broken());
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

/// Counts codewords by length; the code must be complete, or hold a single symbol.
fn count(codewords: &[(u16, u8)]) -> Result<LengthCounts, Refusal> {
    let mut counts = LengthCounts::default();
    for (_, length) in codewords {
        *counts.get_mut(usize::from(*length)).ok_or_else(broken)? += 1;
    }
    // In codewords of the greatest length.
    let used = (0..).zip(&counts).skip(1).map(|(length, count)| u32::from(*count) << (LENGTH_MAX - length));
    if codewords.len() == 1 || used.sum::<u32>() == 1 << LENGTH_MAX { Ok(counts) } else { Err(broken()) }
}

impl CodeGroup {
    /// Decodes the rest of a literal pixel: alpha, red, green and blue.
    #[inline]
    pub(super) fn read_colour(&self, bits: &mut Bits<'_>, green: u32) -> Result<u32, Refusal> {
        let [red, blue, alpha] = [self.red.read(bits)?, self.blue.read(bits)?, self.alpha.read(bits)?].map(u32::from);
        Ok(alpha << 24 | red << 16 | green << 8 | blue)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let codes = [&self.green, &self.red, &self.blue, &self.alpha, &self.distance];
        size_of::<Self>() + codes.iter().map(|code| code.memory_bytes()).sum::<usize>()
    }
}

impl Code {
    fn new(counts: LengthCounts, codewords: &[(u16, u8)]) -> Self {
        match codewords {
            [(only, _)] => Self::One(*only),
            _ => Self::Many(Box::new(Table::new(counts, codewords))),
        }
    }

    #[inline]
    pub(super) fn read(&self, bits: &mut Bits<'_>) -> Result<u16, Refusal> {
        match self {
            Self::One(symbol) => Ok(*symbol),
            Self::Many(table) => table.read(bits),
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Many(table) => {
                size_of::<Table>() + (table.lookup.capacity() + table.symbols.capacity()) * size_of::<u16>()
            }
        }
    }
}

impl Table {
    fn new(counts: LengthCounts, codewords: &[(u16, u8)]) -> Self {
        let symbols = sorted(&counts, codewords);
        let longest = (0..).zip(&counts).filter(|(_, count)| **count > 0).map(|(length, _)| length).last();
        let mut lookup = vec![0; 1 << longest.unwrap_or(0u32).min(LOOKUP_BITS)];
        let mut code = 0u32;
        let mut rest = symbols.iter();
        for (length, count) in (1..=LOOKUP_BITS).zip(counts.iter().skip(1)) {
            for symbol in rest.by_ref().take(usize::from(*count)) {
                // A codeword comes highest bit first, and is looked up lowest bit first.
                let index = code.reverse_bits() >> (u32::BITS - length);
                let entry = *symbol << 4 | u16::try_from(length).unwrap_or_default();
                lookup.iter_mut().skip(index as usize).step_by(1 << length).for_each(|place| *place = entry);
                code += 1;
            }
            code <<= 1;
        }
        let longer = (code, u32::try_from(symbols.len() - rest.len()).unwrap_or_default());
        Self { lookup, counts, longer, symbols }
    }

    #[inline]
    fn read(&self, bits: &mut Bits<'_>) -> Result<u16, Refusal> {
        let next = bits.peek();
        let index = usize::try_from(next).unwrap_or(usize::MAX) & (self.lookup.len() - 1);
        let entry = self.lookup.get(index).copied().unwrap_or(0);
        let length = u32::from(entry & 15);
        if length == 0 {
            return self.read_longer(bits, next);
        }
        bits.skip(length)?;
        Ok(entry >> 4)
    }

    fn read_longer(&self, bits: &mut Bits<'_>, next: u64) -> Result<u16, Refusal> {
        // Of each length: the first codeword, and the index of its symbol.
        let (mut first, mut index) = self.longer;
        let start = u32::try_from(next & u64::from(u16::MAX)).unwrap_or_default().reverse_bits();
        for (length, count) in (LOOKUP_BITS + 1..).zip(self.counts.iter().skip(LOOKUP_BITS as usize + 1)) {
            let (code, count) = (start >> (u32::BITS - length), u32::from(*count));
            if code < first + count {
                bits.skip(length)?;
                return self.symbols.get((index + code - first) as usize).copied().ok_or_else(broken);
            }
            index += count;
            first = (first + count) << 1;
        }
        Err(broken())
    }
}

/// The symbols by codeword length, then by value: a counting sort.
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
            && let Some(place) = symbols.get_mut(*next)
        {
            *place = *symbol;
            *next += 1;
        }
    }
    symbols
}

fn broken() -> Refusal {
    Refusal::Broken("a prefix code that is not well-formed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile::bits::BitWriter;

    /// Steps of reading a code of two symbols, which is written as codeword lengths.
    fn steps(alphabet: u16) -> u64 {
        let mut bits = BitWriter::default();
        bits.write_all(&[(0, 1), (0, 4), (0, 3), (0, 3), (0, 3), (1, 3), (1, 1), (0, 3), (0, 2)]);
        let data = bits.finish();
        let mut work = Work::default();
        let code = CodeReader::default().code(&mut Bits::new(&data), alphabet, true, &mut work).unwrap();
        assert!(matches!(code, Code::Many(table) if table.symbols == [0, 1] && table.lookup.len() == 2));
        work.spent()
    }

    #[test]
    fn a_code_costs_by_its_codewords_and_not_by_its_alphabet() {
        assert_eq!(steps(2328), steps(40));
    }
}
