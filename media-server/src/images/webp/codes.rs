//! The prefix codes of a lossless WebP (RFC 9649, section 6.2).

use super::bits::Bits;
use crate::images::Refusal;

/// Green values and the prefixes of lengths; what follows them is the colour cache.
pub(super) const PIXEL_ALPHABETS: u32 = 256 + 24;

/// Codes up to this length are looked up at once.
const QUICK_BITS: u32 = 8;

const LENGTH_MAX: usize = 15;

/// The five codes of a part of the picture.
pub(super) struct CodeGroup {
    pub(super) green: Code,
    red: Code,
    blue: Code,
    alpha: Code,
    pub(super) distance: Code,
}

impl CodeGroup {
    /// Reads the codes of a picture whose cache holds `cached` colours.
    pub(super) fn read(bits: &mut Bits<'_>, cached: usize) -> Result<Self, Refusal> {
        Ok(Self {
            green: Code::parse(bits, PIXEL_ALPHABETS as usize + cached)?,
            red: Code::parse(bits, 256)?,
            blue: Code::parse(bits, 256)?,
            alpha: Code::parse(bits, 256)?,
            distance: Code::parse(bits, 40)?,
        })
    }

    /// The rest of a literal pixel, as alpha, red, green and blue.
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

/// A prefix code.
pub(super) enum Code {
    /// One symbol, of no bits.
    One(u16),
    Many(Box<Table>),
}

/// The words of a code.
pub(super) struct Table {
    /// By the next [`QUICK_BITS`] bits: the word's symbol × 16 + its length; a length of 0 for a longer word.
    quick: [u16; 1 << QUICK_BITS],
    /// How many words there are of each length.
    counts: [u16; LENGTH_MAX + 1],
    /// By length, then by value.
    symbols: Vec<u16>,
}

impl Code {
    fn parse(bits: &mut Bits<'_>, alphabet: usize) -> Result<Self, Refusal> {
        let mut lengths = vec![0; alphabet];
        if bits.read(1)? == 1 {
            let has_two = bits.read(1)? == 1;
            let first_bits = if bits.read(1)? == 1 { 8 } else { 1 };
            let first = bits.read(first_bits)?;
            let second = if has_two { bits.read(8)? } else { first };
            for symbol in [first, second] {
                *lengths.get_mut(symbol as usize).ok_or_else(broken)? = 1;
            }
        } else {
            read_lengths(bits, &mut lengths)?;
        }
        Self::new(&lengths)
    }

    /// Of the length of each symbol's word; the code must be complete.
    fn new(lengths: &[u8]) -> Result<Self, Refusal> {
        let mut counts = [0u16; LENGTH_MAX + 1];
        for length in lengths {
            *counts.get_mut(usize::from(*length)).ok_or_else(broken)? += 1;
        }
        let [unused, counts_used @ ..] = &counts;
        let symbols_count = lengths.len() - usize::from(*unused);
        if symbols_count == 1 {
            let only = lengths.iter().position(|length| *length > 0).unwrap_or_default();
            return Ok(Self::One(u16::try_from(only).unwrap_or_default()));
        }
        // Of all words that there can be, in words of the greatest length.
        let used =
            counts_used.iter().enumerate().map(|(shorter, count)| u32::from(*count) << (LENGTH_MAX - 1 - shorter));
        if used.sum::<u32>() != 1 << LENGTH_MAX {
            return Err(broken());
        }
        let mut symbols = Vec::with_capacity(symbols_count);
        for length in 1u8..=15 {
            let of_length = lengths.iter().enumerate().filter(|(_, other)| **other == length);
            symbols.extend(of_length.map(|(symbol, _)| u16::try_from(symbol).unwrap_or_default()));
        }
        Ok(Self::Many(Box::new(Table::new(counts, symbols))))
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
            Self::Many(table) => size_of::<Table>() + table.symbols.capacity() * size_of::<u16>(),
        }
    }
}

impl Table {
    fn new(counts: [u16; LENGTH_MAX + 1], symbols: Vec<u16>) -> Self {
        let mut quick = [0; 1 << QUICK_BITS];
        let mut code = 0usize;
        let mut rest = symbols.iter();
        for (length, count) in (1..=QUICK_BITS).zip(counts.iter().skip(1)) {
            for symbol in rest.by_ref().take(usize::from(*count)) {
                // A word comes highest bit first, and is looked up lowest bit first.
                let word = code.reverse_bits() >> (usize::BITS - length);
                let entry = *symbol << 4 | u16::try_from(length).unwrap_or_default();
                quick.iter_mut().skip(word).step_by(1 << length).for_each(|place| *place = entry);
                code += 1;
            }
            code <<= 1;
        }
        Self { quick, counts, symbols }
    }

    #[inline]
    fn read(&self, bits: &mut Bits<'_>) -> Result<u16, Refusal> {
        let next = bits.peek();
        let quick = usize::try_from(next & ((1 << QUICK_BITS) - 1)).unwrap_or_default();
        let entry = self.quick.get(quick).copied().unwrap_or(0);
        match entry & 15 {
            0 => self.read_longer(bits, next),
            length => bits.skip(length.into()).map(|()| entry >> 4),
        }
    }

    fn read_longer(&self, bits: &mut Bits<'_>, mut next: u64) -> Result<u16, Refusal> {
        // Of each length: the first word, and the index of its symbol.
        let (mut code, mut first, mut index) = (0u32, 0u32, 0u32);
        for (length, count) in (1..).zip(self.counts.iter().skip(1)) {
            code |= u32::from(next & 1 == 1);
            next >>= 1;
            let count = u32::from(*count);
            if code < first + count {
                bits.skip(length)?;
                return self.symbols.get((index + code - first) as usize).copied().ok_or_else(broken);
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err(broken())
    }
}

/// The lengths of a code's words, themselves in a code (section 6.2.1.2).
fn read_lengths(bits: &mut Bits<'_>, lengths: &mut [u8]) -> Result<(), Refusal> {
    const ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut own_lengths = [0u8; ORDER.len()];
    let count = bits.read(4)? as usize + 4;
    for place in ORDER.iter().take(count) {
        *own_lengths.get_mut(*place).ok_or_else(broken)? = u8::try_from(bits.read(3)?).unwrap_or_default();
    }
    let code = Code::new(&own_lengths)?;
    let mut symbols_left = lengths.len();
    if bits.read(1)? == 1 {
        let number_bits = 2 + 2 * bits.read(3)?;
        symbols_left = bits.read(number_bits)? as usize + 2;
        if symbols_left > lengths.len() {
            return Err(broken());
        }
    }
    let (mut at, mut before) = (0, 8);
    while at < lengths.len() && symbols_left > 0 {
        symbols_left -= 1;
        let (repeats, length) = match code.read(bits)? {
            16 => (bits.read(2)? + 3, before),
            17 => (bits.read(3)? + 3, 0),
            18 => (bits.read(7)? + 11, 0),
            length => (1, u8::try_from(length).unwrap_or_default()),
        };
        before = if length == 0 { before } else { length };
        let end = at + repeats as usize;
        lengths.get_mut(at..end).ok_or_else(broken)?.fill(length);
        at = end;
    }
    Ok(())
}

fn broken() -> Refusal {
    Refusal::Broken("a prefix code that is not well-formed".to_owned())
}
