//! Lossy WebP: a key frame of VP8 (RFC 6386), decoded to its modes and coefficients and not on to pixels, which can be made
//! of any. This finds all that is broken, with a few bytes for each column, and how much of each partition is read.

mod bool_decoder;
mod modes;
mod tables;
mod tokens;

use std::ops::Range;

use self::bool_decoder::BoolDecoder;
use self::modes::Modes;
use self::tables::{COEFFICIENT_PROBABILITIES, DEFAULT_PROBABILITIES, UPDATE_PROBABILITIES};
use self::tokens::Tokens;
use crate::images::Refusal;
use crate::images::rewrite::{Rewrite, Rewritten};
use crate::images::work::Work;

/// A frame's tag, the start code, and its sides (section 9.1).
const HEADER_BYTES: usize = 10;
/// The size of a partition of coefficients, but the last one (section 9.5).
const SIZE_BYTES: usize = 3;

const MACROBLOCK_PIXELS: u32 = 16;
/// A step for each pixel.
const MACROBLOCK_STEPS: u64 = 256;

/// What decoding a picture of this width takes, in bytes.
pub(super) fn memory_bytes(width: u32) -> u64 {
    u64::from(width.div_ceil(MACROBLOCK_PIXELS)) * (modes::COLUMN_BYTES + tokens::COLUMN_BYTES) as u64
}

/// Width and height.
pub(super) fn dimensions(data: &[u8]) -> Result<(u32, u32), Refusal> {
    match data {
        [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] => {
            let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
            Ok((side(*w0, *w1), side(*h0, *h1)))
        }
        _ => Err(Refusal::broken("a lossy picture without its start")),
    }
}

/// Decodes a picture; returns its data, each partition without the bytes after the last one that its decoder looks at.
pub(super) fn decode(data: &[u8], work: &mut Work) -> Result<Rewritten, Refusal> {
    let (width, height) = dimensions(data)?;
    let [t0, t1, t2, ..] = data else { return Err(Refusal::Truncated) };
    let tag = u32::from_le_bytes([*t0, *t1, *t2, 0]);
    // A key frame, of one of four versions, that is shown.
    if tag & 1 != 0 || tag >> 1 & 7 > 3 || tag & 0x10 == 0 {
        return Err(Refusal::broken("no frame that can be shown"));
    }
    let first_end = HEADER_BYTES + (tag >> 5) as usize;
    let mut first = BoolDecoder::new(data.get(HEADER_BYTES..first_end).ok_or(Refusal::Truncated)?);
    let header = FrameHeader::read(&mut first)?;
    let ranges = partitions(data, first_end, header.partitions)?;
    let mut partitions: Vec<_> =
        ranges.iter().map(|range| BoolDecoder::new(data.get(range.clone()).unwrap_or_default())).collect();
    let columns = width.div_ceil(MACROBLOCK_PIXELS) as usize;
    let mut modes = Modes::new(columns, &header);
    let mut tokens = Tokens::new(columns, &header.probabilities);
    for row in 0..height.div_ceil(MACROBLOCK_PIXELS) as usize {
        let partition = partitions.get_mut(row % header.partitions).ok_or(Refusal::Truncated)?;
        work.spend(columns as u64 * MACROBLOCK_STEPS)?;
        modes.begin_row();
        tokens.begin_row();
        for column in 0..columns {
            let macroblock = modes.read(&mut first, column);
            tokens.read(partition, column, macroblock);
        }
        first.check()?;
        partition.check()?;
    }
    Ok(trimmed(data, tag, first.used(), &ranges, &partitions))
}

/// Where the partitions of coefficients stand (section 9.5).
fn partitions(data: &[u8], sizes_start: usize, count: usize) -> Result<Vec<Range<usize>>, Refusal> {
    let mut start = sizes_start + SIZE_BYTES * (count - 1);
    let sizes = data.get(sizes_start..start).ok_or(Refusal::Truncated)?.as_chunks().0.iter();
    let mut ranges = Vec::with_capacity(count);
    for [low, middle, high] in sizes {
        let end = start + u32::from_le_bytes([*low, *middle, *high, 0]) as usize;
        ranges.push(start..end);
        start = end;
    }
    ranges.push(start..data.len());
    if start > data.len() { Err(Refusal::Truncated) } else { Ok(ranges) }
}

fn trimmed(data: &[u8], tag: u32, first: usize, ranges: &[Range<usize>], partitions: &[BoolDecoder<'_>]) -> Rewritten {
    let mut rewrite = Rewrite::new(data);
    let put_size = |rewrite: &mut Rewrite<'_>, size: usize, low_bits: u32| {
        let size = u32::try_from(size).unwrap_or(u32::MAX) << low_bits | tag & ((1 << low_bits) - 1);
        rewrite.put(size.to_le_bytes().get(..SIZE_BYTES).unwrap_or_default());
    };
    put_size(&mut rewrite, first, 5);
    rewrite.keep(SIZE_BYTES..HEADER_BYTES + first);
    for (_, partition) in ranges.iter().zip(partitions).skip(1).zip(partitions) {
        put_size(&mut rewrite, partition.used(), 0);
    }
    for (range, partition) in ranges.iter().zip(partitions) {
        rewrite.keep(range.start..range.start + partition.used());
    }
    rewrite.finish()
}

/// What of the frame header (section 9.2 to 9.11) decides how macroblocks are read.
struct FrameHeader {
    /// Probabilities of a macroblock's segment, if each says its own.
    segments: Option<[u8; 3]>,
    /// Of the coefficients.
    partitions: usize,
    probabilities: [u8; COEFFICIENT_PROBABILITIES],
    /// That a macroblock has coefficients, if each says whether.
    has_coefficients: Option<u8>,
}

impl FrameHeader {
    fn read(bits: &mut BoolDecoder<'_>) -> Result<Self, Refusal> {
        if bits.flag() {
            return Err(Refusal::broken("colours of a space that is not known"));
        }
        // How pixels are clamped.
        bits.flag();
        let segments = if bits.flag() { Self::read_segments(bits) } else { None };
        // The loop filter: its kind, level, sharpness, and adjustments of the level by reference frame and mode.
        bits.literal(1 + 6 + 3);
        if bits.flag() && bits.flag() {
            (0..4 + 4).for_each(|_| bits.optional_signed(6));
        }
        let partitions = 1 << bits.literal(2);
        // Quantizer indices: of luma's AC, and how far the five others are from it.
        bits.literal(7);
        (0..5).for_each(|_| bits.optional_signed(4));
        // Whether later frames use these probabilities.
        bits.flag();
        let mut probabilities = DEFAULT_PROBABILITIES;
        for (probability, is_updated) in probabilities.iter_mut().zip(UPDATE_PROBABILITIES) {
            if bits.read(is_updated) {
                *probability = bits.byte();
            }
        }
        let has_coefficients = bits.flag().then(|| bits.byte());
        bits.check()?;
        Ok(Self { segments, partitions, probabilities, has_coefficients })
    }

    fn read_segments(bits: &mut BoolDecoder<'_>) -> Option<[u8; 3]> {
        let (has_map, has_data) = (bits.flag(), bits.flag());
        if has_data {
            // Whether values replace the frame's; of each segment the quantizer, and the filter's level.
            bits.flag();
            (0..4).for_each(|_| bits.optional_signed(7));
            (0..4).for_each(|_| bits.optional_signed(6));
        }
        has_map.then(|| [(); 3].map(|()| if bits.flag() { bits.byte() } else { u8::MAX }))
    }
}
