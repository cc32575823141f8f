//! Entropy decoding of a JPEG's scans (T.81, B.2.3, annexes F and G).
//!
//! Verification ends at the coefficients: the inverse DCT accepts any of them. Only the coefficients of the crop are stored.

use super::VISIT_STEPS;
use super::ac_coefficients::{AcBand, decode_block};
use super::bit_reader::EntropyReader;
use super::coefficients::CoefficientBlock;
use super::frame::{Component, JpegFrame};
use super::huffman::HuffmanTable;
use super::tables::Tables;
use crate::formats::ImageError;
use crate::formats::rewrite::Rewritten;
use crate::formats::work::Work;

/// The most blocks of an MCU (B.2.3).
const MCU_BLOCKS_MAX: usize = 10;

/// The most components of a frame.
const COMPONENTS_MAX: usize = 4;

pub(super) struct Scan {
    /// Index in the frame, DC table destination, AC table destination.
    components: Vec<(usize, u8, u8)>,
    /// Ss and Se: the first and last zigzag index.
    band: (u32, u32),
    is_refinement: bool,
    /// Al: the bits left to later scans.
    al: u32,
}

impl Scan {
    /// Parses SOS.
    pub(super) fn parse(data: &[u8], frame: &JpegFrame) -> Result<Self, ImageError> {
        let [count, rest @ ..] = data else { return Err(ImageError::malformed("a scan without components")) };
        let (chosen, [first, last, approximation]) = rest
            .split_at_checked(2 * usize::from(*count))
            .and_then(|(chosen, rest)| Some((chosen, <[u8; 3]>::try_from(rest).ok()?)))
            .ok_or_else(|| ImageError::malformed("a scan header of the wrong length"))?;
        let mut scan = Self {
            components: Vec::new(),
            band: (first.into(), last.into()),
            is_refinement: approximation >> 4 != 0,
            // Ignored in a sequential frame.
            al: if frame.is_progressive { u32::from(approximation & 15) } else { 0 },
        };
        for [id, tables] in chosen.as_chunks().0 {
            let index = frame.components.iter().position(|component| component.id == *id);
            let index = index.ok_or_else(|| ImageError::malformed("a scan of an unknown component"))?;
            if scan.components.iter().any(|(other, _, _)| *other == index) {
                return Err(ImageError::malformed("a component twice in a scan"));
            }
            scan.components.push((index, tables >> 4, tables & 15));
        }
        scan.check(frame, approximation & 15)?;
        Ok(scan)
    }

    fn check(&self, frame: &JpegFrame, al: u8) -> Result<(), ImageError> {
        let is_band = match (frame.is_progressive, self.band, self.components.len()) {
            // Ss and Se are ignored in a sequential frame.
            (false, ..) | (true, (0, 0), 1..=4) => true,
            (true, (first, last), 1) => first > 0 && first <= last && last < 64,
            _ => false,
        };
        if self.components.is_empty() || !is_band || al > 13 {
            return Err(ImageError::malformed("an invalid band or bit position of a scan"));
        }
        Ok(())
    }

    /// Returns the number of blocks that the scan visits.
    pub(super) fn blocks(&self, frame: &JpegFrame) -> u64 {
        self.components.iter().filter_map(|(index, _, _)| frame.components.get(*index)).map(Component::count).sum()
    }

    /// Decodes the scan, which must end with its last block. Returns its data, each interval padded with ones.
    pub(super) fn decode(
        &self,
        data: &[u8],
        frame: &mut JpegFrame,
        tables: &Tables,
        work: &mut Work,
    ) -> Result<Rewritten, ImageError> {
        let mut bits = EntropyReader::new(data);
        match self.band {
            (1.., _) if frame.is_progressive => self.decode_ac(&mut bits, frame, tables, work)?,
            _ => self.decode_dc(&mut bits, frame, tables, work)?,
        }
        bits.finish()
    }

    /// Decodes a sequential scan, or a DC scan of a progressive frame.
    fn decode_dc(
        &self,
        bits: &mut EntropyReader<'_>,
        frame: &mut JpegFrame,
        tables: &Tables,
        work: &mut Work,
    ) -> Result<(), ImageError> {
        let mcu = self.mcu(frame, tables)?;
        let (mcus_x, mcus_y) = match self.components.as_slice() {
            [(index, _, _)] => frame.components.get(*index).map_or((0, 0), |only| only.blocks),
            _ => frame.mcus(),
        };
        let mut predictions = [0; COMPONENTS_MAX];
        let mut restarts = tables.restarts();
        for y in 0..mcus_y {
            work.spend((mcus_x * mcu.len()) as u64 * VISIT_STEPS)?;
            for x in 0..mcus_x {
                if restarts.before_mcu(bits)? {
                    predictions = [0; COMPONENTS_MAX];
                }
                for place in &mcu {
                    let coefficients = frame.components.get_mut(place.component).map(|owner| &mut owner.coefficients);
                    let block = coefficients.and_then(Option::as_mut).and_then(|coefficients| {
                        coefficients.block(x * place.mcu.0 + place.at.0, y * place.mcu.1 + place.at.1)
                    });
                    let prediction = predictions
                        .get_mut(place.component)
                        .ok_or_else(|| ImageError::malformed("no such component"))?;
                    place.coding.decode(bits, block, prediction, self.al)?;
                }
            }
        }
        Ok(())
    }

    /// Returns the blocks of an MCU, in coding order (A.2).
    fn mcu<'a>(&self, frame: &mut JpegFrame, tables: &'a Tables) -> Result<Vec<McuBlock<'a>>, ImageError> {
        let mut blocks = Vec::new();
        for (index, dc, ac) in &self.components {
            let component =
                frame.components.get_mut(*index).ok_or_else(|| ImageError::malformed("no such component"))?;
            // Decoders differ in which of two sequential scans they show.
            if component.has_dc && !frame.is_progressive {
                return Err(ImageError::malformed("two scans of one component"));
            }
            let quantization = tables.quantization(component.quantization_table)?;
            if !component.has_dc {
                component.quantization = *quantization;
            }
            component.has_dc = true;
            let coding = match (frame.is_progressive, self.is_refinement) {
                (false, _) => BlockCoding::Sequential(tables.dc(*dc)?, tables.ac(*ac)?),
                (true, false) => BlockCoding::Dc(tables.dc(*dc)?),
                (true, true) => BlockCoding::DcRefinement,
            };
            let (x, y) = if self.components.len() == 1 { (1, 1) } else { component.sampling };
            let mcu = (x as usize, y as usize);
            let at = (0..mcu.1).flat_map(|y| (0..mcu.0).map(move |x| (x, y)));
            blocks.extend(at.map(|at| McuBlock { component: *index, mcu, at, coding }));
        }
        if blocks.len() > MCU_BLOCKS_MAX {
            Err(ImageError::malformed("an MCU of more than 10 blocks"))
        } else {
            Ok(blocks)
        }
    }

    /// Decodes an AC scan of a progressive frame.
    fn decode_ac(
        &self,
        bits: &mut EntropyReader<'_>,
        frame: &mut JpegFrame,
        tables: &Tables,
        work: &mut Work,
    ) -> Result<(), ImageError> {
        let [(index, _, ac)] = self.components.as_slice() else {
            return Err(ImageError::malformed("an AC scan of several components"));
        };
        let table = tables.ac(*ac)?;
        let component = frame.components.get_mut(*index).ok_or_else(|| ImageError::malformed("no such component"))?;
        let Component { nonzero, coefficients, blocks: (columns, _), .. } = component;
        let mut band = AcBand { table, limits: self.band, al: self.al, eob_run: 0 };
        let mut restarts = tables.restarts();
        for (y, row) in nonzero.chunks_mut((*columns).max(1)).enumerate() {
            work.spend(row.len() as u64 * VISIT_STEPS)?;
            for (x, nonzero) in row.iter_mut().enumerate() {
                if restarts.before_mcu(bits)? {
                    band.eob_run = 0;
                }
                let block = coefficients.as_mut().and_then(|coefficients| coefficients.block(x, y));
                if self.is_refinement {
                    band.decode_ac_refinement(bits, nonzero, block)
                } else {
                    band.decode_ac_first(bits, nonzero, block)
                }?;
            }
        }
        if band.eob_run > 0 { Err(ImageError::malformed("an EOB run past the last block")) } else { Ok(()) }
    }
}

/// The position of a block in an MCU.
struct McuBlock<'a> {
    /// Index in the frame.
    component: usize,
    /// Blocks of the component in an MCU, horizontally and vertically.
    mcu: (usize, usize),
    at: (usize, usize),
    coding: BlockCoding<'a>,
}

#[derive(Clone, Copy)]
enum BlockCoding<'a> {
    Sequential(&'a HuffmanTable, &'a HuffmanTable),
    Dc(&'a HuffmanTable),
    DcRefinement,
}

impl BlockCoding<'_> {
    #[inline]
    fn decode(
        self,
        bits: &mut EntropyReader<'_>,
        mut block: Option<CoefficientBlock<'_>>,
        prediction: &mut i32,
        al: u32,
    ) -> Result<(), ImageError> {
        match self {
            Self::Sequential(dc, _) | Self::Dc(dc) => {
                *prediction = prediction.wrapping_add(decode_dc(bits, dc)?);
                if let Some(block) = &mut block {
                    block.set(0, *prediction << al);
                }
            }
            Self::DcRefinement => {
                let bit = bits.read(1)? << al;
                if let Some(block) = &mut block {
                    block.refine_dc(i32::try_from(bit).unwrap_or_default());
                }
            }
        }
        if let Self::Sequential(_, ac) = self { decode_block(bits, ac, block) } else { Ok(()) }
    }
}

/// Decodes a DC difference (F.2.2.1).
#[inline]
fn decode_dc(bits: &mut EntropyReader<'_>, table: &HuffmanTable) -> Result<i32, ImageError> {
    /// Of 8-bit samples (table F.1).
    const DIFFERENCE_BITS_MAX: u8 = 11;
    let (length, size) = table.peek(bits)?;
    if size > DIFFERENCE_BITS_MAX {
        return Err(ImageError::malformed("a DC difference of more than 11 bits"));
    }
    let size = u32::from(size);
    let difference = if size > 0 { bits.peek_signed(length, size) } else { 0 };
    bits.skip(length + size)?;
    Ok(difference)
}
