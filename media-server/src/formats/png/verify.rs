//! Verification of a PNG: inflates all images to filtered rows, in constant memory, and trims bytes after the end of each.
//!
//! Filters are not undone: any row bytes are valid pixels.

use bytes::Bytes;

use super::chunks::{PngChunk, SIGNATURE_BYTES, chunk_of, chunks};
use super::deflate;
use super::header::{ColorType, Header};
use super::image_data::{ImageData, MEMORY_BYTES};
use crate::formats::rewrite::Rewrite;
use crate::formats::work::Work;
use crate::formats::{ImageError, PictureLimits, check_size};

/// Work budget per pixel, each frame counted as large as the image, and per byte.
const STEPS: (u64, u64) = (2, 1);

/// Steps per image, and per chunk of its data.
const IMAGE_STEPS: u64 = 200;
const CHUNK_STEPS: u64 = 60;

/// Length of the sequence number in fcTL and fdAT.
const SEQUENCE_BYTES: usize = 4;

/// Returns the memory that [`verify`] takes, in bytes.
pub(in crate::formats) fn memory_bytes(picture: &[u8], limits: PictureLimits) -> Result<u64, ImageError> {
    let header = header(picture)?;
    check_size(header.width, header.height, 1, limits)?;
    check_size(header.width, header.height, images(picture)?, limits)?;
    Ok(MEMORY_BYTES)
}

/// Returns the number of images: the default image may be a frame of the animation or not.
fn images(picture: &[u8]) -> Result<u32, ImageError> {
    let (mut frames, mut is_frame) = (0, false);
    for chunk in chunks(picture) {
        let chunk = chunk?;
        match &chunk.kind {
            b"acTL" => frames = u32_at(chunk.data, 0)?,
            b"fcTL" => is_frame = true,
            b"IDAT" | b"IEND" => break,
            _ => {}
        }
    }
    Ok(frames.saturating_add(u32::from(!is_frame)))
}

/// Spends the steps of all images, chunks of their data, and deflate blocks, before any of them is decoded.
fn spend_chunks(picture: &[u8], work: &mut Work) -> Result<(), ImageError> {
    let mut chunks = chunks(picture).map_while(Result::ok).peekable();
    while let Some(PngChunk { kind, data, .. }) = chunks.next() {
        let prefix = match &kind {
            b"IDAT" => 0,
            b"fdAT" => SEQUENCE_BYTES,
            _ => continue,
        };
        let mut count = 1;
        let more = std::iter::from_fn(|| chunks.next_if(|other| other.kind == kind)).map(|other| other.data);
        let mut pieces = std::iter::once(data).chain(more).inspect(|_| count += 1);
        work.spend(IMAGE_STEPS)?;
        deflate::spend(pieces.by_ref().map(|data| data.get(prefix..).unwrap_or_default()), work)?;
        pieces.for_each(drop);
        work.spend(count * CHUNK_STEPS)?;
    }
    Ok(())
}

/// Inflates all images. Returns the file without bytes after the end of their compressed data.
pub(in crate::formats) fn verify(picture: &Bytes, work: &mut Work) -> Result<Bytes, ImageError> {
    let header = header(picture)?;
    let pixels = u64::from(header.width) * u64::from(header.height) * u64::from(images(picture)?);
    work.limit(pixels, picture.len() as u64, STEPS);
    spend_chunks(picture, work)?;
    let mut verifier = PngVerifier {
        work,
        rewrite: Rewrite::new(picture),
        header,
        image: None,
        frame: None,
        has_palette: false,
        has_default_image: false,
        next_sequence: 0,
        next_written: 0,
    };
    verifier.rewrite.keep(0..SIGNATURE_BYTES);
    for chunk in chunks(picture) {
        let chunk = chunk?;
        let is_end = chunk.kind == *b"IEND";
        verifier.chunk(chunk)?;
        if is_end {
            return Ok(verifier.rewrite.finish().into_bytes(picture));
        }
    }
    Err(ImageError::TooManyBlocks)
}

fn header(picture: &[u8]) -> Result<Header, ImageError> {
    let first = chunks(picture).next().ok_or(ImageError::Truncated)??;
    if first.kind == *b"IHDR" { Header::parse(first.data) } else { Err(ImageError::malformed("no IHDR at the start")) }
}

struct PngVerifier<'a, 'w> {
    work: &'w mut Work,
    rewrite: Rewrite<'a>,
    header: Header,
    /// The image that is being inflated.
    image: Option<ImageData>,
    /// The frame of the last fcTL, until its data begins.
    frame: Option<Header>,
    has_palette: bool,
    has_default_image: bool,
    /// Next sequence number of the input, and of the output: chunks may be dropped.
    next_sequence: u32,
    next_written: u32,
}

impl PngVerifier<'_, '_> {
    fn chunk(&mut self, chunk: PngChunk<'_>) -> Result<(), ImageError> {
        match &chunk.kind {
            b"IDAT" => {
                chunk.check_crc()?;
                if self.image.is_none() {
                    self.begin_default_image()?;
                }
                self.push(&chunk, 0)
            }
            b"fdAT" => {
                chunk.check_crc()?;
                self.check_sequence(chunk.data)?;
                if let Some(frame) = self.frame.take().filter(|_| self.has_default_image) {
                    self.image = Some(ImageData::new(&frame));
                }
                self.push(&chunk, SEQUENCE_BYTES)
            }
            b"fcTL" => {
                self.end_image()?;
                self.check_sequence(chunk.data)?;
                self.begin_frame(chunk.data)?;
                self.keep_in_sequence(&chunk, chunk.data);
                Ok(())
            }
            kind => {
                self.end_image()?;
                if kind == b"IEND" && (self.frame.is_some() || !self.has_default_image) {
                    return Err(ImageError::Truncated);
                }
                self.has_palette |= kind == b"PLTE";
                self.rewrite.keep(chunk.range);
                Ok(())
            }
        }
    }

    fn begin_default_image(&mut self) -> Result<(), ImageError> {
        if std::mem::replace(&mut self.has_default_image, true) {
            return Err(ImageError::malformed("IDAT chunks that are not consecutive"));
        }
        if self.header.color == ColorType::Indexed && !self.has_palette {
            return Err(ImageError::malformed("no palette"));
        }
        self.frame = None;
        self.image = Some(ImageData::new(&self.header));
        Ok(())
    }

    fn begin_frame(&mut self, data: &[u8]) -> Result<(), ImageError> {
        let (width, height) = (u32_at(data, 4)?, u32_at(data, 8)?);
        let fits = |at: usize, side: u32, all: u32| Ok(side > 0 && u32_at(data, at)?.checked_add(side) <= Some(all));
        let is_inside = fits(12, width, self.header.width)? && fits(16, height, self.header.height)?;
        // The default image's frame covers the whole image.
        let is_whole = (width, height) == (self.header.width, self.header.height);
        // dispose_op and blend_op.
        let is_known = matches!(data, [.., 0..=2, 0..=1]);
        if !is_inside || !is_known || !(self.has_default_image || is_whole) {
            return Err(ImageError::malformed("an invalid fcTL"));
        }
        match self.frame.replace(self.header.with_size(width, height)) {
            None => Ok(()),
            Some(_) => Err(ImageError::malformed("a frame without data")),
        }
    }

    fn check_sequence(&mut self, data: &[u8]) -> Result<(), ImageError> {
        if u32_at(data, 0)? != self.next_sequence {
            return Err(ImageError::malformed("a wrong sequence number"));
        }
        self.next_sequence += 1;
        Ok(())
    }

    /// Inflates a chunk's data after `prefix` bytes, and keeps what belongs to the image.
    fn push(&mut self, chunk: &PngChunk<'_>, prefix: usize) -> Result<(), ImageError> {
        let image = self.image.as_mut().ok_or_else(|| ImageError::malformed("fdAT without fcTL"))?;
        let used = image.push(chunk.data.get(prefix..).unwrap_or_default(), self.work)?;
        let data = chunk.data.get(..prefix + used).unwrap_or_default();
        match (used, prefix) {
            (0, _) => {}
            (_, SEQUENCE_BYTES) => self.keep_in_sequence(chunk, data),
            _ if data.len() == chunk.data.len() => self.rewrite.keep(chunk.range.clone()),
            _ => self.rewrite.put(&chunk_of(chunk.kind, data)),
        }
        Ok(())
    }

    /// Writes an fcTL or fdAT with its new sequence number.
    fn keep_in_sequence(&mut self, chunk: &PngChunk<'_>, data: &[u8]) {
        let number = self.next_written.to_be_bytes();
        self.next_written += 1;
        if data.len() == chunk.data.len() && data.starts_with(&number) {
            self.rewrite.keep(chunk.range.clone());
        } else {
            let data = [&number, data.get(SEQUENCE_BYTES..).unwrap_or_default()].concat();
            self.rewrite.put(&chunk_of(chunk.kind, &data));
        }
    }

    fn end_image(&mut self) -> Result<(), ImageError> {
        self.image.take().map_or(Ok(()), |image| image.finish())
    }
}

fn u32_at(data: &[u8], at: usize) -> Result<u32, ImageError> {
    let bytes = data.get(at..).and_then(<[u8]>::first_chunk).ok_or(ImageError::Truncated)?;
    Ok(u32::from_be_bytes(*bytes))
}
