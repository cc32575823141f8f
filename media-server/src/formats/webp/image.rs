//! One image of a WebP: a still image or a frame.

use super::chunks::{CHUNK_HEADER_BYTES, FRAME_HEADER_BYTES, RiffChunk, RiffChunks, end_chunk};
use super::lossless::{self, Vp8lStream};
use super::lossy;
use crate::formats::ImageError;
use crate::formats::rewrite::{Rewrite, Rewritten};
use crate::formats::work::Work;

/// Steps per lossless image, and per lossy image, whose decoder initializes tables.
const LOSSLESS_STEPS: u64 = 300;
const LOSSY_STEPS: u64 = 4500;

/// The data of an image's chunks.
#[derive(Clone, Copy, Default)]
pub(super) struct WebpImage<'a> {
    pub(super) lossy: Option<&'a [u8]>,
    pub(super) lossless: Option<&'a [u8]>,
    pub(super) alpha: Option<&'a [u8]>,
}

impl<'a> WebpImage<'a> {
    pub(super) fn add(mut self, chunk: &RiffChunk<'a>) -> Result<Self, ImageError> {
        let data = match &chunk.name {
            b"VP8 " => &mut self.lossy,
            b"VP8L" => &mut self.lossless,
            b"ALPH" => &mut self.alpha,
            _ => return Ok(self),
        };
        match data.replace(chunk.data) {
            None => Ok(self),
            Some(_) => Err(ImageError::malformed("two chunks of one kind in an image")),
        }
    }

    pub(super) fn dimensions(&self) -> Result<(u32, u32), ImageError> {
        match (self.lossy, self.lossless) {
            (Some(lossy), None) => lossy::dimensions(lossy),
            (None, Some(lossless)) => lossless::dimensions(lossless),
            _ => Err(ImageError::Empty),
        }
    }

    pub(super) fn memory_bytes(&self) -> Result<u64, ImageError> {
        let (width, height) = self.dimensions()?;
        let pixels = u64::from(width.next_multiple_of(16)) * u64::from(height.next_multiple_of(16));
        let mut bytes = if self.lossy.is_some() { lossy::memory_bytes(width) } else { 0 };
        if let Some(data) = self.lossless.or(self.alpha) {
            bytes = bytes.max(lossless::memory_bytes(data, pixels));
        }
        Ok(bytes)
    }

    pub(super) fn decode(&self, work: &mut Work) -> Result<Trimmed, ImageError> {
        let (width, height) = self.dimensions()?;
        let mut decode_alpha = |alpha| decode_alpha(alpha, width, height, work);
        let alpha = self.alpha.map_or(Ok(Rewritten::default()), &mut decode_alpha)?;
        let image = match (self.lossy, self.lossless) {
            (Some(lossy), _) => {
                work.spend(LOSSY_STEPS)?;
                lossy::decode(lossy, work)?
            }
            (None, Some(lossless)) => {
                work.spend(LOSSLESS_STEPS)?;
                let left = Vp8lStream::of_image(lossless)?.decode(work)?;
                trimmed(lossless, 8 * lossless.len() - left)
            }
            (None, None) => return Err(ImageError::Empty),
        };
        Ok(Trimmed { image, alpha })
    }
}

/// Data of an image's chunks up to the end of the compressed data.
#[derive(Default)]
pub(super) struct Trimmed {
    image: Rewritten,
    alpha: Rewritten,
}

impl Trimmed {
    /// Writes an ANMF chunk.
    pub(super) fn put_frame(
        &self,
        rewrite: &mut Rewrite<'_>,
        picture: &[u8],
        frame: &RiffChunk<'_>,
    ) -> Result<(), ImageError> {
        let start = rewrite.len();
        rewrite.keep(frame.range.start..frame.range.start + CHUNK_HEADER_BYTES + FRAME_HEADER_BYTES);
        let mut chunks = RiffChunks::of_frame(picture, frame);
        while let Some(chunk) = chunks.next()? {
            self.put(rewrite, &chunk)?;
        }
        end_chunk(rewrite, start)
    }

    /// Writes a chunk, trimmed if it is one of the image's.
    pub(super) fn put(&self, rewrite: &mut Rewrite<'_>, chunk: &RiffChunk<'_>) -> Result<(), ImageError> {
        let trimmed = match &chunk.name {
            b"VP8 " | b"VP8L" => &self.image,
            b"ALPH" => &self.alpha,
            _ => {
                rewrite.keep(chunk.range.clone());
                return Ok(());
            }
        };
        let (start, data) = (rewrite.len(), chunk.range.start + CHUNK_HEADER_BYTES);
        rewrite.keep(chunk.range.start..data);
        match trimmed {
            Rewritten::Prefix(length) => rewrite.keep(data..data + length),
            Rewritten::Copy(bytes) => rewrite.put(bytes),
        }
        end_chunk(rewrite, start)
    }
}

/// Returns the first `bits` bits of `data`, least significant first, and zero padding.
fn trimmed(data: &[u8], bits: usize) -> Rewritten {
    let mut rewrite = Rewrite::new(data);
    let whole = bits / 8;
    rewrite.keep(0..whole);
    if let Some(last) = data.get(whole).filter(|_| !bits.is_multiple_of(8)) {
        rewrite.put(&[last & ((1 << (bits % 8)) - 1)]);
    }
    rewrite.finish()
}

/// Decodes an alpha plane (section 2.7.1.2), uncompressed or lossless.
fn decode_alpha(alpha: &[u8], width: u32, height: u32, work: &mut Work) -> Result<Rewritten, ImageError> {
    let [header, data @ ..] = alpha else { return Err(ImageError::Truncated) };
    let bits = match header & 3 {
        0 => 8 * width as usize * height as usize,
        1 => 8 * data.len() - Vp8lStream::of_alpha(data, width, height).decode(work)?,
        _ => return Err(ImageError::malformed("an unknown compression of alpha")),
    };
    if bits > 8 * data.len() { Err(ImageError::Truncated) } else { Ok(trimmed(alpha, 8 + bits)) }
}
