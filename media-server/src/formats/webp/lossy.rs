//! Lossy WebP: a key frame of VP8 (RFC 6386), decoded to modes and coefficients.
//!
//! Prediction and the inverse DCT accept any of them. Takes a few bytes per column, and finds the end of each partition.

mod bool_decoder;
mod modes;
mod tables;
mod tokens;

use std::ops::Range;

use self::bool_decoder::BoolDecoder;
use self::modes::Modes;
use self::tables::{COEFFICIENT_PROBABILITIES, DEFAULT_PROBABILITIES, UPDATE_PROBABILITIES};
use self::tokens::Tokens;
use crate::formats::ImageError;
use crate::formats::rewrite::{Rewrite, Rewritten};
use crate::formats::work::Work;

/// Frame tag, start code and dimensions (section 9.1).
const HEADER_BYTES: usize = 10;
/// Size field of a coefficient partition other than the last (section 9.5).
const SIZE_BYTES: usize = 3;

const MACROBLOCK_PIXELS: u32 = 16;
const MACROBLOCK_STEPS: u64 = 256;

/// Returns the memory of decoding an image of this width, in bytes.
pub(super) fn memory_bytes(width: u32) -> u64 {
    u64::from(width.div_ceil(MACROBLOCK_PIXELS)) * (modes::COLUMN_BYTES + tokens::COLUMN_BYTES) as u64
}

/// Returns width and height.
pub(super) fn dimensions(data: &[u8]) -> Result<(u32, u32), ImageError> {
    match data {
        [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] => {
            let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
            Ok((side(*w0, *w1), side(*h0, *h1)))
        }
        _ => Err(ImageError::malformed("VP8 without its start code")),
    }
}

/// Decodes an image. Returns its data, each partition trimmed after the last byte that its decoder reads.
pub(super) fn decode(data: &[u8], work: &mut Work) -> Result<Rewritten, ImageError> {
    let (width, height) = dimensions(data)?;
    let [t0, t1, t2, ..] = data else { return Err(ImageError::Truncated) };
    let tag = u32::from_le_bytes([*t0, *t1, *t2, 0]);
    // Key frame, version 0 to 3, show_frame.
    if tag & 1 != 0 || tag >> 1 & 7 > 3 || tag & 0x10 == 0 {
        return Err(ImageError::malformed("not a shown key frame"));
    }
    let first_end = HEADER_BYTES + (tag >> 5) as usize;
    let mut first = BoolDecoder::new(data.get(HEADER_BYTES..first_end).ok_or(ImageError::Truncated)?);
    let header = FrameHeader::read(&mut first)?;
    let ranges = partitions(data, first_end, header.partitions)?;
    let mut partitions: Vec<_> =
        ranges.iter().map(|range| BoolDecoder::new(data.get(range.clone()).unwrap_or_default())).collect();
    let columns = width.div_ceil(MACROBLOCK_PIXELS) as usize;
    let mut modes = Modes::new(columns, &header);
    let mut tokens = Tokens::new(columns, &header.probabilities);
    for row in 0..height.div_ceil(MACROBLOCK_PIXELS) as usize {
        let partition = partitions.get_mut(row % header.partitions).ok_or(ImageError::Truncated)?;
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

/// Returns the ranges of the coefficient partitions (section 9.5).
fn partitions(data: &[u8], sizes_start: usize, count: usize) -> Result<Vec<Range<usize>>, ImageError> {
    let mut start = sizes_start + SIZE_BYTES * (count - 1);
    let sizes = data.get(sizes_start..start).ok_or(ImageError::Truncated)?.as_chunks().0.iter();
    let mut ranges = Vec::with_capacity(count);
    for [low, middle, high] in sizes {
        let end = start + u32::from_le_bytes([*low, *middle, *high, 0]) as usize;
        ranges.push(start..end);
        start = end;
    }
    ranges.push(start..data.len());
    if start > data.len() { Err(ImageError::Truncated) } else { Ok(ranges) }
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

/// The fields of the frame header (sections 9.2 to 9.11) that affect parsing.
struct FrameHeader {
    /// Probabilities of the segment tree, if macroblocks have segment ids.
    segments: Option<[u8; 3]>,
    /// Number of coefficient partitions.
    partitions: usize,
    probabilities: [u8; COEFFICIENT_PROBABILITIES],
    /// `prob_skip_false`, if macroblocks have skip flags.
    has_coefficients: Option<u8>,
}

impl FrameHeader {
    fn read(bits: &mut BoolDecoder<'_>) -> Result<Self, ImageError> {
        if bits.flag() {
            return Err(ImageError::malformed("an unknown color space"));
        }
        // Clamping type.
        bits.flag();
        let segments = if bits.flag() { Self::read_segments(bits) } else { None };
        // Loop filter: type, level, sharpness, and deltas by reference frame and mode.
        bits.literal(1 + 6 + 3);
        if bits.flag() && bits.flag() {
            (0..4 + 4).for_each(|_| bits.optional_signed(6));
        }
        let partitions = 1 << bits.literal(2);
        // Quantizer indices: luma AC, and five deltas.
        bits.literal(7);
        (0..5).for_each(|_| bits.optional_signed(4));
        // refresh_entropy_probs.
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
            // Absolute or delta; by segment the quantizer and the loop filter level.
            bits.flag();
            (0..4).for_each(|_| bits.optional_signed(7));
            (0..4).for_each(|_| bits.optional_signed(6));
        }
        has_map.then(|| [(); 3].map(|()| if bits.flag() { bits.byte() } else { u8::MAX }))
    }
}
