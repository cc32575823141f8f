//! Memory and work of image-webp 0.2.4, which decodes renditions, for the first image of a WebP.
//!
//! It builds the codes of all groups, used or not, each with passes over its whole alphabet and a table of up to 1,024 entries.
//! 65,536 groups in a file of 0.3 MB would take a gigabyte.

use super::STEPS;
use super::chunks::RiffChunks;
use super::image::WebpImage;
use super::lossless::Vp8lStream;
use super::verify::{canvas, frame};
use crate::formats::ImageError;
use crate::formats::work::Work;

/// State of a macroblock (16 × 16 pixels) without its samples.
const MACROBLOCK_BYTES: u64 = 48;
/// State of a lossy or lossless decoder.
const DECODER_BYTES: u64 = 128 * 1024;

/// Memory of decoding the first image.
pub(crate) struct Footprint {
    /// Pixels included.
    pub(crate) peak_bytes: u64,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) has_alpha: bool,
    pub(crate) profile_bytes: u64,
}

/// Flags of VP8X (RFC 9649, section 2.7.1).
const ALPHA: u8 = 0x10;
const ANIMATION: u8 = 0x02;

/// Reads headers and prefix codes of the first image. Fails if the codes exceed the work budget of its pixels.
pub(crate) fn footprint(picture: &[u8]) -> Result<Footprint, ImageError> {
    let mut chunks = RiffChunks::of_file(picture)?;
    let first = chunks.next()?.ok_or(ImageError::Empty)?;
    let mut image = WebpImage::default().add(&first)?;
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

/// Reads `alpha_is_used` of the VP8L header (section 3.4).
fn has_alpha_bit(data: &[u8]) -> bool {
    data.get(4).is_some_and(|byte| byte & 0x10 != 0)
}

impl WebpImage<'_> {
    fn pixels(&self) -> Result<u64, ImageError> {
        self.dimensions().map(|(width, height)| u64::from(width) * u64::from(height))
    }

    /// Memory of a still image without the output.
    fn still_bytes(&self, has_alpha: bool) -> Result<u64, ImageError> {
        let pixels = self.pixels()?;
        Ok(match self.lossless {
            Some(_) if has_alpha => self.lossless_bytes()?,
            Some(_) => pixels * 4 + self.lossless_bytes()?,
            None if has_alpha => self.lossy_bytes()? + pixels * 5 + self.lossless_bytes()?,
            None => self.lossy_bytes()?,
        })
    }

    /// Memory of a frame: the most of decoding it and of drawing it on the canvas.
    fn frame_bytes(&self, canvas_pixels: u64) -> Result<u64, ImageError> {
        let pixels = self.pixels()?;
        let (decoding, frame) = match (self.lossless, self.alpha) {
            (Some(_), _) => (pixels * 4 + self.lossless_bytes()?, pixels * 4),
            (None, Some(_)) => {
                // Alpha is decoded as ARGB and reduced to one byte per pixel before the rest is decoded.
                let alpha = pixels * 5 + self.lossless_bytes()?;
                (alpha.max(pixels * 5 + self.lossy_bytes()?), pixels * 4)
            }
            (None, None) => (pixels * 3 + self.lossy_bytes()?, pixels * 3),
        };
        Ok(decoding.max(frame + canvas_pixels * 4))
    }

    /// Memory of three planes of whole macroblocks, and of the data.
    fn lossy_bytes(&self) -> Result<u64, ImageError> {
        const MACROBLOCK_SAMPLES: u64 = 16 * 16 * 3 / 2;
        let (width, height) = self.dimensions()?;
        let macroblocks = u64::from(width.div_ceil(16)) * u64::from(height.div_ceil(16));
        let data = self.lossy.map_or(0, |data| data.len() as u64);
        Ok(macroblocks * (MACROBLOCK_SAMPLES + MACROBLOCK_BYTES) + data)
    }

    /// Memory of the prefix codes and sub-images of a lossless image or alpha plane: two transforms of a pixel per 4 × 4 block,
    /// and the entropy image as pixels and as numbers.
    fn lossless_bytes(&self) -> Result<u64, ImageError> {
        const BLOCK_BYTES: u64 = 4 + 4 + 4 + 2;
        let (width, height) = self.dimensions()?;
        let stream = match (self.lossless, self.alpha) {
            (Some(data), _) => Vp8lStream::of_image(data)?,
            (None, Some([header, data @ ..])) if header & 3 == 1 => Vp8lStream::of_alpha(data, width, height),
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
