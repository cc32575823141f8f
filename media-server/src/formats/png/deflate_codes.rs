//! Prefix codes of deflate (RFC 1951, section 3.2) for skipping symbols, several literals at a time.

/// Codewords up to this length are decoded by one lookup.
const LOOKUP_BITS: u32 = 12;
const LOOKUP: usize = 1 << LOOKUP_BITS;
const LENGTH_MAX: usize = 15;

/// The kind of a symbol, in the upper two bits of a packed step.
const LENGTH: u8 = 1 << 6;
const END: u8 = 2 << 6;
const KIND: u8 = 3 << 6;

/// The kind of one or more symbols, and their bits with extra bits. Packed: a table is 4 kB.
#[derive(Clone, Copy)]
pub(super) struct Step(u8);

impl Step {
    /// Whether this is one or more literals, or a distance.
    #[inline]
    pub(super) fn is_plain(self) -> bool {
        self.0 & KIND == 0
    }

    /// Whether this is the end of the block.
    pub(super) fn is_end(self) -> bool {
        self.0 & KIND == END
    }

    #[inline]
    pub(super) fn bits(self) -> u32 {
        u32::from(self.0 & !KIND)
    }
}

#[derive(Clone, Copy)]
pub(super) struct Symbol {
    pub(super) value: u16,
    pub(super) codeword_bits: u8,
}

/// A literal/length code or a distance code.
pub(super) struct DeflateCode {
    /// By the next [`LOOKUP_BITS`] bits; a step of 0 bits for longer and for unused codewords.
    lookup: Box<[Step; LOOKUP]>,
    counts: [u16; LENGTH_MAX + 1],
    /// Sorted by codeword length, then by value.
    symbols: Vec<u16>,
    /// Returns the step of a symbol without its codeword.
    step_of: fn(u16) -> Step,
}

impl DeflateCode {
    /// Returns an empty literal/length code.
    pub(super) fn of_literals() -> Self {
        Self::of(literal_step)
    }

    /// Returns an empty distance code.
    pub(super) fn of_distances() -> Self {
        Self::of(|symbol| Step(extra_bits(symbol, 2)))
    }

    fn of(step_of: fn(u16) -> Step) -> Self {
        let lookup = Box::new([Step(0); LOOKUP]);
        Self { lookup, counts: [0; LENGTH_MAX + 1], symbols: Vec::new(), step_of }
    }

    /// Builds the canonical code of these codeword lengths, by symbol.
    pub(super) fn set(&mut self, lengths: &[u8]) {
        self.lookup.fill(Step(0));
        self.counts.fill(0);
        for length in lengths {
            if let Some(count) = self.counts.get_mut(usize::from(*length)) {
                *count += 1;
            }
        }
        // By length: the next codeword, and the index of its symbol.
        let mut next = [(0u32, 0u16); LENGTH_MAX + 1];
        let (mut code, mut index) = (0, 0);
        for (next, count) in next.iter_mut().zip(&self.counts).skip(1) {
            *next = (code, index);
            (code, index) = ((code + u32::from(*count)) << 1, index + count);
        }
        self.symbols.resize(index.into(), 0);
        for (symbol, length) in (0..).zip(lengths).filter(|(_, length)| **length > 0) {
            let Some((code, index)) = next.get_mut(usize::from(*length)) else { continue };
            if let Some(entry) = self.symbols.get_mut(usize::from(*index)) {
                *entry = symbol;
            }
            if u32::from(*length) <= LOOKUP_BITS {
                let step = Step((self.step_of)(symbol).0 + length);
                let reversed = code.reverse_bits() >> (u32::BITS - u32::from(*length));
                self.lookup.iter_mut().skip(reversed as usize).step_by(1 << length).for_each(|entry| *entry = step);
            }
            (*code, *index) = (*code + 1, *index + 1);
        }
    }

    /// Joins each literal with the one after it in the same lookup bits. Worth it in a long block.
    pub(super) fn join_literals(&mut self) {
        for index in (1..LOOKUP).rev() {
            let Some(first) = self.lookup.get(index).copied().filter(|step| step.is_plain()) else { continue };
            // A lower index: not joined yet.
            let Some(after) = self.lookup.get(index >> first.bits()).filter(|step| step.is_plain()) else { continue };
            let joined = Step(first.0 + after.0);
            if first.bits() > 0
                && after.bits() > 0
                && joined.bits() <= LOOKUP_BITS
                && let Some(entry) = self.lookup.get_mut(index)
            {
                *entry = joined;
            }
        }
    }

    /// Returns the step at the start of the next bits.
    #[inline]
    pub(super) fn step(&self, next: u64) -> Option<Step> {
        let step = self.lookup.get(usize::try_from(next).ok()? % LOOKUP).copied()?;
        if step.bits() > 0 { Some(step) } else { self.slow_path(next) }
    }

    #[cold]
    fn slow_path(&self, next: u64) -> Option<Step> {
        let Symbol { value, codeword_bits } = self.symbol(next)?;
        Some(Step((self.step_of)(value).0 + codeword_bits))
    }

    /// Returns the symbol at the start of the next bits, decoded bit by bit.
    pub(super) fn symbol(&self, mut next: u64) -> Option<Symbol> {
        // By length: the codeword, the first codeword, the index of its symbol.
        let (mut code, mut first, mut index) = (0u32, 0u32, 0u32);
        for (codeword_bits, count) in (1..).zip(self.counts.iter().skip(1)) {
            code |= u32::from(next & 1 == 1);
            next >>= 1;
            let count = u32::from(*count);
            if code < first + count {
                let value = *self.symbols.get((index + code).checked_sub(first)? as usize)?;
                return Some(Symbol { value, codeword_bits });
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }
}

/// Returns the step of a literal/length symbol (section 3.2.5).
fn literal_step(symbol: u16) -> Step {
    match symbol {
        ..256 => Step(0),
        256 => Step(END),
        285.. => Step(LENGTH),
        _ => Step(LENGTH + extra_bits(symbol - 257, 4)),
    }
}

/// Returns the extra bits of a symbol: each number is that of `of_each` symbols, and 0 that of twice as many.
fn extra_bits(symbol: u16, of_each: u16) -> u8 {
    u8::try_from((symbol / of_each).saturating_sub(1)).unwrap_or_default()
}
