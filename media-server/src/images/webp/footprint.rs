//! What image-webp 0.2.4, which makes the pixels of renditions, does and holds for the first image of a WebP.
//!
//! It builds the codes of all groups, used or not, each with passes over its whole alphabet and a table of up to 1,024 entries:
//! 65,536 groups in a file of 0.3 MB would take it a gigabyte.

use super::chunks::Chunks;
use super::codes::LengthCounts;
use super::lossless::Bitstream;
use super::{Image, STEPS, canvas, frame};
use crate::images::Refusal;
use crate::images::work::Work;

/// The longest codeword that is in a table's own entries.
const TABLE_BITS: usize = 10;

const ENTRY_BYTES: u64 = 4;
const NODE_BYTES: u64 = 16;
/// A group of five codes. It is in a vector that is copied to one of twice the size as it grows.
const GROUP_BYTES: u64 = 3 * 5 * 56;
/// What the allocator adds to the two vectors of a code.
const ALLOCATOR_BYTES: u64 = 2 * 16;

/// A macroblock of a lossy picture, 16 × 16 pixels, besides its samples.
const MACROBLOCK_BYTES: u64 = 48;
/// The state of a decoder of either kind.
const DECODER_BYTES: u64 = 128 * 1024;

/// Memory that decoding the first image takes.
pub(crate) struct Footprint {
    /// The most, pixels included.
    pub(crate) peak_bytes: u64,
    /// Of the canvas.
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) has_alpha: bool,
    pub(crate) profile_bytes: u64,
}

/// Bits of VP8X (RFC 9649, section 2.7.1).
const ALPHA: u8 = 0x10;
const ANIMATION: u8 = 0x02;

/// Reads headers and prefix codes of the first image. One whose codes take more than its pixels allow is refused.
pub(crate) fn footprint(picture: &[u8]) -> Result<Footprint, Refusal> {
    let mut chunks = Chunks::of_file(picture)?;
    let first = chunks.next()?.ok_or(Refusal::Empty)?;
    let mut image = Image::default().add(&first)?;
    let (mut flags, mut profile_bytes) = (0, 0);
    let mut size = None;
    if first.name == *b"VP8X" {
        flags = first.data.first().copied().unwrap_or_default();
        size = Some(canvas(&first)?);
    }
    let is_animated = flags & ANIMATION != 0;
    let mut has_frame = false;
    while let Some(chunk) = chunks.next()? {
        match &chunk.name {
            b"ICCP" => profile_bytes = chunk.data.len() as u64,
            b"ANMF" if is_animated && !has_frame => (image, has_frame) = (frame(picture, &chunk)?, true),
            _ if !is_animated => image = image.add(&chunk)?,
            _ => {}
        }
    }
    let (width, height) = size.map_or_else(|| image.dimensions(), Ok)?;
    let has_alpha = if size.is_some() { flags & ALPHA != 0 } else { image.lossless.is_some_and(has_alpha_bit) };
    let canvas_pixels = u64::from(width) * u64::from(height);
    let out_bytes = canvas_pixels * if has_alpha { 4 } else { 3 };
    let decoding_bytes = if is_animated { image.frame_bytes(canvas_pixels)? } else { image.still_bytes(has_alpha)? };
    let peak_bytes = out_bytes + decoding_bytes + DECODER_BYTES;
    Ok(Footprint { peak_bytes, width, height, has_alpha, profile_bytes })
}

/// The bit of a lossless picture's header that says so (section 3.4).
fn has_alpha_bit(data: &[u8]) -> bool {
    data.get(4).is_some_and(|byte| byte & 0x10 != 0)
}

impl Image<'_> {
    fn pixels(&self) -> Result<u64, Refusal> {
        self.dimensions().map(|(width, height)| u64::from(width) * u64::from(height))
    }

    /// Of a still picture, without the pixels that it is decoded to.
    fn still_bytes(&self, has_alpha: bool) -> Result<u64, Refusal> {
        let pixels = self.pixels()?;
        Ok(match self.lossless {
            Some(_) if has_alpha => self.lossless_bytes()?,
            Some(_) => pixels * 4 + self.lossless_bytes()?,
            None if has_alpha => self.lossy_bytes()? + pixels * 5 + self.lossless_bytes()?,
            None => self.lossy_bytes()?,
        })
    }

    /// Of an animation's frame: while it is decoded, and while it is drawn on a canvas.
    fn frame_bytes(&self, canvas_pixels: u64) -> Result<u64, Refusal> {
        let pixels = self.pixels()?;
        let (decoding, frame) = match (self.lossless, self.alpha) {
            (Some(_), _) => (pixels * 4 + self.lossless_bytes()?, pixels * 4),
            (None, Some(_)) => {
                // Four bytes of a pixel become one of opacity, before the rest is decoded.
                let opacity = pixels * 5 + self.lossless_bytes()?;
                (opacity.max(pixels * 5 + self.lossy_bytes()?), pixels * 4)
            }
            (None, None) => (pixels * 3 + self.lossy_bytes()?, pixels * 3),
        };
        Ok(decoding.max(frame + canvas_pixels * 4))
    }

    /// Three planes, of whole macroblocks, and the data.
    fn lossy_bytes(&self) -> Result<u64, Refusal> {
        const MACROBLOCK_SAMPLES: u64 = 16 * 16 * 3 / 2;
        let (width, height) = self.dimensions()?;
        let macroblocks = u64::from(width.div_ceil(16)) * u64::from(height.div_ceil(16));
        let data = self.lossy.map_or(0, |data| data.len() as u64);
        Ok(macroblocks * (MACROBLOCK_SAMPLES + MACROBLOCK_BYTES) + data)
    }

    /// Codes, and the small pictures of a lossless one or of its alpha plane: at most two of a pixel for each block of
    /// 4 × 4, and an entropy image as pixels and as numbers.
    fn lossless_bytes(&self) -> Result<u64, Refusal> {
        const BLOCK_BYTES: u64 = 4 + 4 + 4 + 2;
        let (width, height) = self.dimensions()?;
        let stream = match (self.lossless, self.alpha) {
            (Some(data), _) => Bitstream::of_picture(data)?,
            (None, Some([header, data @ ..])) if header & 3 == 1 => Bitstream::of_alpha(data, width, height),
            _ => return Ok(0),
        };
        let mut work = Work::default();
        work.limit(u64::from(width) * u64::from(height), 0, STEPS);
        let codes = stream.code_costs(&mut work)?;
        work.spend(codes.steps)?;
        let blocks = u64::from(width.div_ceil(4)) * u64::from(height.div_ceil(4));
        Ok(codes.bytes + blocks * BLOCK_BYTES)
    }
}

/// Bytes and steps of the codes of a lossless bitstream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CodeCosts {
    pub(super) bytes: u64,
    pub(super) steps: u64,
}

impl CodeCosts {
    pub(super) fn add_group(&mut self) {
        self.bytes += GROUP_BYTES;
    }

    /// A code that is written as its symbols.
    pub(super) fn add_simple(&mut self, has_two: bool) {
        self.bytes += if has_two { 2 * ENTRY_BYTES + 3 * NODE_BYTES + ALLOCATOR_BYTES } else { 0 };
    }

    /// A code that is written as codeword lengths.
    pub(super) fn add_code(&mut self, counts: &LengthCounts, alphabet: u16) {
        self.steps += u64::from(alphabet) / 2;
        if counts.iter().sum::<u16>() < 2 {
            return;
        }
        let longest = counts.iter().rposition(|count| *count > 0).unwrap_or_default();
        let entries = 1u64 << longest.min(TABLE_BITS);
        let longer: u64 = counts.iter().skip(TABLE_BITS + 1).map(|count| u64::from(*count)).sum();
        self.bytes += entries * ENTRY_BYTES + 2 * longer * NODE_BYTES + ALLOCATOR_BYTES;
        self.steps += entries / 4 + longer * 4;
    }
}
