//! Deflate (RFC 1951), read for its blocks alone. For a block with codes of its own the decoder makes tables of 4,096 entries,
//! which takes it two microseconds and the file 12 bytes.

use super::skipping::Code;
use crate::images::Refusal;
use crate::images::work::Work;

/// Steps of the decoder for a block of each kind.
const STORED_STEPS: u64 = 4;
const FIXED_STEPS: u64 = 16;
const DYNAMIC_STEPS: u64 = 700;

/// A block is long after so many rounds of up to three lookups.
const LONG_BLOCK: u64 = 500;

/// Symbols of literals and lengths; those of distances follow in a block's codeword lengths.
const LITERALS: usize = 288;
const DISTANCES: usize = 32;

/// Spends the steps of all blocks of a zlib stream (RFC 1950), which comes in pieces. A stream that is cut short or broken
/// is left for the decoder to report.
pub(super) fn spend<'a>(pieces: impl Iterator<Item = &'a [u8]>, work: &mut Work) -> Result<(), Refusal> {
    let bits = Bits { pieces, piece: &[], buffer: 0, count: 0 };
    let mut stream = Stream { bits, literals: Code::of_literals(), distances: Code::of_distances() };
    let mut is_last = stream.bits.read(16).is_none();
    while !is_last {
        let Some(header) = stream.bits.read(3) else { return Ok(()) };
        is_last = header & 1 == 1;
        let (steps, passed) = match header >> 1 {
            0 => (STORED_STEPS, stream.bits.skip_stored()),
            1 => (FIXED_STEPS, stream.fixed_block()),
            2 => (DYNAMIC_STEPS, stream.dynamic_block()),
            _ => return Ok(()),
        };
        work.spend(steps)?;
        if passed.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

struct Stream<'a, P> {
    bits: Bits<'a, P>,
    literals: Code,
    distances: Code,
}

impl<'a, P: Iterator<Item = &'a [u8]>> Stream<'a, P> {
    /// A block of the fixed codes (section 3.2.6).
    fn fixed_block(&mut self) -> Option<()> {
        let mut lengths = [8; LITERALS];
        lengths.get_mut(144..256)?.fill(9);
        lengths.get_mut(256..280)?.fill(7);
        self.literals.set(&lengths);
        self.distances.set(&[5; DISTANCES]);
        self.symbols()
    }

    /// A block of codes of its own (section 3.2.7).
    fn dynamic_block(&mut self) -> Option<()> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let (literals, distances) = (self.bits.read(5)? + 257, self.bits.read(5)? + 1);
        let own_count = self.bits.read(4)? + 4;
        let mut own_lengths = [0; ORDER.len()];
        for place in ORDER.iter().take(own_count) {
            *own_lengths.get_mut(*place)? = u8::try_from(self.bits.read(3)?).ok()?;
        }
        self.distances.set(&own_lengths);
        let mut lengths = [0u8; LITERALS + DISTANCES];
        let (mut at, total) = (0, literals + distances);
        while at < total {
            let symbol = self.distances.symbol(self.bits.peek())?;
            self.bits.skip(symbol.codeword_bits.into())?;
            let (repeats, length) = match symbol.value {
                16 => (self.bits.read(2)? + 3, *lengths.get(at.checked_sub(1)?)?),
                17 => (self.bits.read(3)? + 3, 0),
                18 => (self.bits.read(7)? + 11, 0),
                length => (1, u8::try_from(length).ok()?),
            };
            lengths.get_mut(at..at + repeats)?.fill(length);
            at += repeats;
        }
        self.literals.set(lengths.get(..literals)?);
        self.distances.set(lengths.get(literals..total)?);
        self.symbols()
    }

    /// Passes over the symbols of a block.
    fn symbols(&mut self) -> Option<()> {
        for round in 0u64.. {
            if round == LONG_BLOCK {
                self.literals.join_literals();
            }
            let mut next = self.bits.peek();
            let mut step = self.literals.step(next)?;
            // Three times literals of at most 15 bits are among the 48 bits at hand.
            let mut passed = 0;
            for _ in 0..3 {
                if !step.is_plain() {
                    break;
                }
                next >>= step.bits();
                passed += step.bits();
                step = self.literals.step(next)?;
            }
            self.bits.skip(passed)?;
            if passed == 0 {
                self.bits.skip(step.bits())?;
                if step.is_end() {
                    return Some(());
                }
                let distance = self.distances.step(next >> step.bits())?;
                self.bits.skip(distance.bits())?;
            }
        }
        None
    }
}

/// The bits of the pieces, the lowest of a byte first.
struct Bits<'a, P> {
    pieces: P,
    piece: &'a [u8],
    buffer: u64,
    count: u32,
}

impl<'a, P: Iterator<Item = &'a [u8]>> Bits<'a, P> {
    /// The next bits, at least 48 of them or all that are left; zeros follow.
    #[inline]
    fn peek(&mut self) -> u64 {
        if self.count < 48 {
            self.fill();
        }
        self.buffer
    }

    #[inline]
    fn skip(&mut self, count: u32) -> Option<()> {
        self.count = self.count.checked_sub(count)?;
        self.buffer >>= count;
        Some(())
    }

    /// Reads up to 16 bits as a number.
    fn read(&mut self, count: u32) -> Option<usize> {
        let value = self.peek() & ((1 << count) - 1);
        self.skip(count)?;
        usize::try_from(value).ok()
    }

    #[inline]
    fn fill(&mut self) {
        if let Some(eight) = self.piece.first_chunk() {
            // What does not fit as whole bytes is put there again by the next call.
            self.buffer |= u64::from_le_bytes(*eight) << self.count;
            let bytes = (63 - self.count) / 8;
            self.piece = self.piece.get(bytes as usize..).unwrap_or_default();
            self.count += bytes * 8;
        } else {
            self.fill_by_bytes();
        }
    }

    fn fill_by_bytes(&mut self) {
        // A filled buffer may hold bits of the next byte beyond its count.
        self.buffer &= (1u64 << self.count) - 1;
        while self.count <= 48 {
            if let Some((byte, rest)) = self.piece.split_first() {
                self.buffer |= u64::from(*byte) << self.count;
                (self.piece, self.count) = (rest, self.count + 8);
            } else if let Some(piece) = self.pieces.next() {
                self.piece = piece;
            } else {
                return;
            }
        }
    }

    /// Passes over the data of a stored block (section 3.2.4).
    fn skip_stored(&mut self) -> Option<()> {
        self.skip(self.count % 8)?;
        let mut left = self.read(16)?;
        self.read(16)?;
        while left > 0 && self.count > 0 {
            self.skip(8)?;
            left -= 1;
        }
        if self.count == 0 {
            self.buffer = 0;
        }
        while left > self.piece.len() {
            left -= self.piece.len();
            self.piece = self.pieces.next()?;
        }
        self.piece = self.piece.get(left..)?;
        Some(())
    }
}
