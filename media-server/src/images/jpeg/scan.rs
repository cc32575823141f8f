//! The scans of a JPEG (T.81, B.2.3, annexes F and G), decoded to the coefficients and not on to pixels: whatever the
//! coefficients, pixels can be made of them, so this finds all that is broken. Those that the frame wants are kept.

use super::VISIT_STEPS;
use super::bits::Bits;
use super::coefficients::Block;
use super::frame::{Component, Frame};
use super::huffman::HuffmanTable;
use super::tables::Tables;
use crate::images::Refusal;
use crate::images::rewrite::Rewritten;
use crate::images::work::Work;

/// The most blocks of an MCU (B.2.3).
const MCU_BLOCKS_MAX: usize = 10;

/// The most components of a frame.
const COMPONENTS_MAX: usize = 4;

pub(super) struct Scan {
    /// Index in the frame, DC table, AC table.
    components: Vec<(usize, u8, u8)>,
    /// The first and last coefficient, in zigzag order.
    band: (u32, u32),
    is_refinement: bool,
    /// The bits that later scans bring.
    low_bit: u32,
}

impl Scan {
    /// Reads a scan header.
    pub(super) fn parse(data: &[u8], frame: &Frame) -> Result<Self, Refusal> {
        let [count, rest @ ..] = data else { return Err(Refusal::broken("a scan without components")) };
        let (chosen, [first, last, approximation]) = rest
            .split_at_checked(2 * usize::from(*count))
            .and_then(|(chosen, rest)| Some((chosen, <[u8; 3]>::try_from(rest).ok()?)))
            .ok_or_else(|| Refusal::broken("a scan header of the wrong length"))?;
        let mut scan = Self {
            components: Vec::new(),
            band: (first.into(), last.into()),
            is_refinement: approximation >> 4 != 0,
            // A sequential picture has no later ones, whatever the header says.
            low_bit: if frame.is_progressive { u32::from(approximation & 15) } else { 0 },
        };
        for [id, tables] in chosen.as_chunks().0 {
            let index = frame.components.iter().position(|component| component.id == *id);
            let index = index.ok_or_else(|| Refusal::broken("a scan of a component that is none"))?;
            if scan.components.iter().any(|(other, _, _)| *other == index) {
                return Err(Refusal::broken("a scan has a component twice"));
            }
            scan.components.push((index, tables >> 4, tables & 15));
        }
        scan.check(frame, approximation & 15)?;
        Ok(scan)
    }

    fn check(&self, frame: &Frame, low_bit: u8) -> Result<(), Refusal> {
        let is_band = match (frame.is_progressive, self.band, self.components.len()) {
            // Its band is all 64 coefficients, whatever the header says.
            (false, ..) | (true, (0, 0), 1..=4) => true,
            (true, (first, last), 1) => first > 0 && first <= last && last < 64,
            _ => false,
        };
        if self.components.is_empty() || !is_band || low_bit > 13 {
            return Err(Refusal::broken("a scan of coefficients that there are not"));
        }
        Ok(())
    }

    /// The blocks that it visits.
    pub(super) fn blocks(&self, frame: &Frame) -> u64 {
        self.components.iter().filter_map(|(index, _, _)| frame.components.get(*index)).map(Component::count).sum()
    }

    /// Decodes it; nothing may be left of it. Returns its data, each interval padded with ones.
    pub(super) fn decode(
        &self,
        data: &[u8],
        frame: &mut Frame,
        tables: &Tables,
        work: &mut Work,
    ) -> Result<Rewritten, Refusal> {
        let mut bits = Bits::new(data);
        match self.band {
            (1.., _) if frame.is_progressive => self.decode_ac(&mut bits, frame, tables, work)?,
            _ => self.decode_dc(&mut bits, frame, tables, work)?,
        }
        bits.finish()
    }

    /// All of a sequential scan, or the DC coefficients of a progressive one.
    fn decode_dc(
        &self,
        bits: &mut Bits<'_>,
        frame: &mut Frame,
        tables: &Tables,
        work: &mut Work,
    ) -> Result<(), Refusal> {
        let places = self.mcu(frame, tables)?;
        let (mcus_across, mcus_down) = match self.components.as_slice() {
            [(index, _, _)] => frame.components.get(*index).map_or((0, 0), |only| only.blocks),
            _ => frame.mcus(),
        };
        let mut predictions = [0; COMPONENTS_MAX];
        let mut restarts = tables.restarts();
        for y in 0..mcus_down {
            work.spend((mcus_across * places.len()) as u64 * VISIT_STEPS)?;
            for x in 0..mcus_across {
                if restarts.before_mcu(bits)? {
                    predictions = [0; COMPONENTS_MAX];
                }
                for place in &places {
                    let coefficients = frame.components.get_mut(place.component).map(|owner| &mut owner.coefficients);
                    let block = coefficients.and_then(Option::as_mut).and_then(|coefficients| {
                        coefficients.block(x * place.mcu.0 + place.at.0, y * place.mcu.1 + place.at.1)
                    });
                    let prediction =
                        predictions.get_mut(place.component).ok_or_else(|| Refusal::broken("no such component"))?;
                    place.coding.decode(bits, block, prediction, self.low_bit)?;
                }
            }
        }
        Ok(())
    }

    /// The blocks of an MCU (A.2), in their order.
    fn mcu<'a>(&self, frame: &mut Frame, tables: &'a Tables) -> Result<Vec<Place<'a>>, Refusal> {
        let mut places = Vec::new();
        for (index, dc, ac) in &self.components {
            let component = frame.components.get_mut(*index).ok_or_else(|| Refusal::broken("no such component"))?;
            // In a sequential picture it is in one scan; of two, decoders show the first or the last.
            if component.is_begun && !frame.is_progressive {
                return Err(Refusal::broken("two scans of one component"));
            }
            let quantization = tables.quantization(component.quantization_table)?;
            if !component.is_begun {
                component.quantization = *quantization;
            }
            component.is_begun = true;
            let coding = match (frame.is_progressive, self.is_refinement) {
                (false, _) => Coding::Sequential(tables.dc(*dc)?, tables.ac(*ac)?),
                (true, false) => Coding::Dc(tables.dc(*dc)?),
                (true, true) => Coding::DcRefinement,
            };
            let (across, down) = if self.components.len() == 1 { (1, 1) } else { component.sampling };
            let mcu = (across as usize, down as usize);
            let at = (0..mcu.1).flat_map(|y| (0..mcu.0).map(move |x| (x, y)));
            places.extend(at.map(|at| Place { component: *index, mcu, at, coding }));
        }
        if places.len() > MCU_BLOCKS_MAX { Err(Refusal::broken("an MCU of more than 10 blocks")) } else { Ok(places) }
    }

    /// A band of AC coefficients of one component.
    fn decode_ac(
        &self,
        bits: &mut Bits<'_>,
        frame: &mut Frame,
        tables: &Tables,
        work: &mut Work,
    ) -> Result<(), Refusal> {
        let [(index, _, ac)] = self.components.as_slice() else {
            return Err(Refusal::broken("an AC scan of several components"));
        };
        let table = tables.ac(*ac)?;
        let component = frame.components.get_mut(*index).ok_or_else(|| Refusal::broken("no such component"))?;
        let Component { nonzero, coefficients, blocks: (across, _), .. } = component;
        let mut band = Band { table, limits: self.band, low_bit: self.low_bit, blocks_to_skip: 0 };
        let mut restarts = tables.restarts();
        for (y, row) in nonzero.chunks_mut((*across).max(1)).enumerate() {
            work.spend(row.len() as u64 * VISIT_STEPS)?;
            for (x, nonzero) in row.iter_mut().enumerate() {
                if restarts.before_mcu(bits)? {
                    band.blocks_to_skip = 0;
                }
                let block = coefficients.as_mut().and_then(|coefficients| coefficients.block(x, y));
                if self.is_refinement { band.refine(bits, nonzero, block) } else { band.decode(bits, nonzero, block) }?;
            }
        }
        if band.blocks_to_skip > 0 { Err(Refusal::broken("a run past the last block")) } else { Ok(()) }
    }
}

/// A block of an MCU.
struct Place<'a> {
    /// Index in the frame.
    component: usize,
    /// How many blocks the component has in an MCU, across and down.
    mcu: (usize, usize),
    /// Which of them this is.
    at: (usize, usize),
    coding: Coding<'a>,
}

/// How a block is coded.
#[derive(Clone, Copy)]
enum Coding<'a> {
    Sequential(&'a HuffmanTable, &'a HuffmanTable),
    Dc(&'a HuffmanTable),
    DcRefinement,
}

impl Coding<'_> {
    #[inline]
    fn decode(
        self,
        bits: &mut Bits<'_>,
        mut block: Option<Block<'_>>,
        prediction: &mut i32,
        low_bit: u32,
    ) -> Result<(), Refusal> {
        match self {
            Self::Sequential(dc, _) | Self::Dc(dc) => {
                *prediction = prediction.wrapping_add(decode_dc(bits, dc)?);
                if let Some(block) = &mut block {
                    block.set(0, *prediction << low_bit);
                }
            }
            Self::DcRefinement => {
                let bit = bits.read(1)? << low_bit;
                if let Some(block) = &mut block {
                    block.refine_dc(i32::try_from(bit).unwrap_or_default());
                }
            }
        }
        if let Self::Sequential(_, ac) = self { decode_block(bits, ac, block) } else { Ok(()) }
    }
}

/// A difference of two DC coefficients (F.2.2.1).
#[inline]
fn decode_dc(bits: &mut Bits<'_>, table: &HuffmanTable) -> Result<i32, Refusal> {
    /// A difference of 8-bit samples' DC has no more bits (table F.1).
    const DIFFERENCE_BITS_MAX: u8 = 11;
    let (length, size) = table.peek(bits)?;
    if size > DIFFERENCE_BITS_MAX {
        return Err(Refusal::broken("a coefficient larger than can be"));
    }
    let size = u32::from(size);
    let difference = if size > 0 { bits.peek_signed(length, size) } else { 0 };
    bits.skip(length + size)?;
    Ok(difference)
}

/// The 63 AC coefficients of a sequential block (F.2.2.2).
#[inline]
fn decode_block(bits: &mut Bits<'_>, table: &HuffmanTable, mut block: Option<Block<'_>>) -> Result<(), Refusal> {
    let mut next = 1;
    while next < 64 {
        let (length, value) = table.peek(bits)?;
        let (run, size) = (u32::from(value >> 4), u32::from(value & 15));
        keep(&mut block, next + run, bits, (length, size), 0);
        bits.skip(length + size)?;
        match (run, size) {
            (15, 0) => next += 16,
            (_, 0) => return Ok(()),
            _ => next += run + 1,
        }
    }
    if next > 64 { Err(past_the_last()) } else { Ok(()) }
}

/// Keeps an AC coefficient whose `size` bits come `after` others, where its block is kept and reaches so far.
#[inline]
fn keep(block: &mut Option<Block<'_>>, index: u32, bits: &Bits<'_>, (after, size): (u32, u32), low_bit: u32) {
    if size > 0
        && let Some(block) = block.as_mut().filter(|block| block.reaches(index))
    {
        block.set(index, bits.peek_signed(after, size) << low_bit);
    }
}

/// Some AC coefficients of a progressive picture (G.1.2.2, G.1.2.3).
struct Band<'a> {
    table: &'a HuffmanTable,
    /// The first and the last of them.
    limits: (u32, u32),
    low_bit: u32,
    /// Blocks, from this one on, that hold no new coefficient.
    blocks_to_skip: u32,
}

impl Band<'_> {
    /// Their first bits.
    fn decode(&mut self, bits: &mut Bits<'_>, nonzero: &mut u64, mut block: Option<Block<'_>>) -> Result<(), Refusal> {
        if self.blocks_to_skip > 0 {
            self.blocks_to_skip -= 1;
            return Ok(());
        }
        let (mut next, last) = self.limits;
        while next <= last {
            let (length, value) = self.table.peek(bits)?;
            let (run, size) = (u32::from(value >> 4), u32::from(value & 15));
            keep(&mut block, next + run, bits, (length, size), self.low_bit);
            bits.skip(length + size)?;
            match (run, size) {
                (15, 0) => next += 16,
                (_, 0) => {
                    self.blocks_to_skip = end_of_bands(bits, run)? - 1;
                    return Ok(());
                }
                _ => {
                    next += run;
                    *nonzero |= 1u64.checked_shl(next).filter(|_| next <= last).ok_or_else(past_the_last)?;
                    next += 1;
                }
            }
        }
        if next > last + 1 { Err(past_the_last()) } else { Ok(()) }
    }

    /// One bit more of each that is not 0, and those that were 0 until now.
    fn refine(&mut self, bits: &mut Bits<'_>, nonzero: &mut u64, mut block: Option<Block<'_>>) -> Result<(), Refusal> {
        let (mut next, last) = self.limits;
        while next <= last && self.blocks_to_skip == 0 {
            let (length, value) = self.table.peek(bits)?;
            let (run, size) = (u32::from(value >> 4), u32::from(value & 15));
            if size > 1 {
                return Err(Refusal::broken("a refinement of more than one bit"));
            }
            let first_bits = if size == 1 { bits.peek_signed(length, size) << self.low_bit } else { 0 };
            bits.skip(length + size)?;
            if size == 0 && run < 15 {
                self.blocks_to_skip = end_of_bands(bits, run)?;
                break;
            }
            next = self.pass_zeros(bits, *nonzero, next, run, &mut block)?;
            if size == 1 {
                *nonzero |= 1u64.checked_shl(next).filter(|_| next <= last).ok_or_else(past_the_last)?;
                if let Some(block) = &mut block {
                    block.set(next, first_bits);
                }
            }
            next += 1;
        }
        if self.blocks_to_skip > 0 {
            self.blocks_to_skip -= 1;
            self.refine_rest(bits, *nonzero & band_mask(next, last), block)?;
        }
        Ok(())
    }

    /// Passes over `run` zeros and a correction bit for each coefficient between them; where the next zero stands.
    fn pass_zeros(
        &self,
        bits: &mut Bits<'_>,
        nonzero: u64,
        mut next: u32,
        mut run: u32,
        block: &mut Option<Block<'_>>,
    ) -> Result<u32, Refusal> {
        while next <= self.limits.1 {
            if nonzero >> next & 1 == 1 {
                self.refine_one(bits, next, block)?;
            } else if run == 0 {
                break;
            } else {
                run -= 1;
            }
            next += 1;
        }
        Ok(next)
    }

    /// A correction bit for each of `rest`.
    fn refine_rest(&self, bits: &mut Bits<'_>, mut rest: u64, mut block: Option<Block<'_>>) -> Result<(), Refusal> {
        if block.is_none() {
            return bits.skip_many(rest.count_ones());
        }
        while rest != 0 {
            self.refine_one(bits, rest.trailing_zeros(), &mut block)?;
            rest &= rest - 1;
        }
        Ok(())
    }

    fn refine_one(&self, bits: &mut Bits<'_>, index: u32, block: &mut Option<Block<'_>>) -> Result<(), Refusal> {
        let is_refined = bits.read(1)? == 1;
        if let Some(block) = block.as_mut().filter(|_| is_refined) {
            block.refine(index, 1 << self.low_bit);
        }
        Ok(())
    }
}

/// The coefficients from `first` to `last`; none where they cross.
fn band_mask(first: u32, last: u32) -> u64 {
    let up_to_last = u64::MAX >> (63 - last);
    up_to_last & u64::MAX.checked_shl(first).unwrap_or(0)
}

/// How many blocks end with this word (table G.1).
fn end_of_bands(bits: &mut Bits<'_>, run: u32) -> Result<u32, Refusal> {
    Ok((1 << run) + bits.read(run)?)
}

fn past_the_last() -> Refusal {
    Refusal::broken("a coefficient past the last one")
}
