//! Deflate (RFC 1951) block reader: estimates the work of inflating a stream by its blocks.
//!
//! For a dynamic block the inflater builds tables of 4,096 entries, which takes it two microseconds and the file 12 bytes.

use super::deflate_codes::DeflateCode;
use crate::formats::ImageError;
use crate::formats::bit_reader::BitReader;
use crate::formats::work::Work;

/// Steps of the inflater for a block, by type.
const STORED_STEPS: u64 = 4;
const FIXED_STEPS: u64 = 16;
const DYNAMIC_STEPS: u64 = 700;

/// Rounds of up to three lookups after which joining literals pays.
const LONG_BLOCK: u64 = 500;

/// Literal/length symbols; in a dynamic block's codeword lengths those of distances follow.
const LITERALS: usize = 288;
const DISTANCES: usize = 32;

/// Spends the steps of all blocks of a zlib stream (RFC 1950), which is given in chunks. A truncated or malformed stream is left
/// to the inflater to report.
pub(super) fn spend<'a>(chunks: impl Iterator<Item = &'a [u8]>, work: &mut Work) -> Result<(), ImageError> {
    let bits = BitReader::of_chunks(chunks);
    let mut stream =
        DeflateStream { bits, literals: DeflateCode::of_literals(), distances: DeflateCode::of_distances() };
    let mut is_last = stream.read(16).is_none();
    while !is_last {
        let Some(header) = stream.read(3) else { return Ok(()) };
        is_last = header & 1 == 1;
        let (steps, skipped) = match header >> 1 {
            0 => (STORED_STEPS, stream.stored_block()),
            1 => (FIXED_STEPS, stream.fixed_block()),
            2 => (DYNAMIC_STEPS, stream.dynamic_block()),
            _ => return Ok(()),
        };
        work.spend(steps)?;
        if skipped.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

/// The bits that must be buffered for three literals of 15 bits.
const PEEK_BITS: u32 = 48;

struct DeflateStream<'a, I> {
    bits: BitReader<'a, I>,
    literals: DeflateCode,
    distances: DeflateCode,
}

impl<'a, I: Iterator<Item = &'a [u8]>> DeflateStream<'a, I> {
    fn read(&mut self, count: u32) -> Option<usize> {
        self.bits.read(count).ok().map(|value| value as usize)
    }

    #[inline]
    fn skip(&mut self, count: u32) -> Option<()> {
        self.bits.skip(count).ok()
    }

    /// Skips a stored block (section 3.2.4).
    fn stored_block(&mut self) -> Option<()> {
        self.bits.align();
        let length = self.read(16)?;
        self.read(16)?;
        self.bits.skip_bytes(length).ok()
    }

    /// Skips a block of the fixed codes (section 3.2.6).
    fn fixed_block(&mut self) -> Option<()> {
        let mut lengths = [8; LITERALS];
        lengths.get_mut(144..256)?.fill(9);
        lengths.get_mut(256..280)?.fill(7);
        self.literals.set(&lengths);
        self.distances.set(&[5; DISTANCES]);
        self.symbols()
    }

    /// Skips a block of dynamic codes (section 3.2.7).
    fn dynamic_block(&mut self) -> Option<()> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let (literals, distances) = (self.read(5)? + 257, self.read(5)? + 1);
        let code_lengths_count = self.read(4)? + 4;
        let mut code_lengths = [0; ORDER.len()];
        for symbol in ORDER.iter().take(code_lengths_count) {
            *code_lengths.get_mut(*symbol)? = u8::try_from(self.read(3)?).ok()?;
        }
        self.distances.set(&code_lengths);
        let mut lengths = [0u8; LITERALS + DISTANCES];
        let (mut at, total) = (0, literals + distances);
        while at < total {
            let symbol = self.distances.symbol(self.bits.peek(PEEK_BITS))?;
            self.skip(symbol.codeword_bits.into())?;
            let (repeats, length) = match symbol.value {
                16 => (self.read(2)? + 3, *lengths.get(at.checked_sub(1)?)?),
                17 => (self.read(3)? + 3, 0),
                18 => (self.read(7)? + 11, 0),
                length => (1, u8::try_from(length).ok()?),
            };
            lengths.get_mut(at..at + repeats)?.fill(length);
            at += repeats;
        }
        self.literals.set(lengths.get(..literals)?);
        self.distances.set(lengths.get(literals..total)?);
        self.symbols()
    }

    /// Skips the symbols of a block.
    fn symbols(&mut self) -> Option<()> {
        for round in 0u64.. {
            if round == LONG_BLOCK {
                self.literals.join_literals();
            }
            let mut next = self.bits.peek(PEEK_BITS);
            let mut step = self.literals.step(next)?;
            let mut skipped = 0;
            for _ in 0..3 {
                if !step.is_plain() {
                    break;
                }
                next >>= step.bits();
                skipped += step.bits();
                step = self.literals.step(next)?;
            }
            self.skip(skipped)?;
            if skipped == 0 {
                self.skip(step.bits())?;
                if step.is_end() {
                    return Some(());
                }
                let distance = self.distances.step(next >> step.bits())?;
                self.skip(distance.bits())?;
            }
        }
        None
    }
}
