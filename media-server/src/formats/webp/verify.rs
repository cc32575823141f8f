//! Verification of a WebP: decodes all frames without keeping pixels.

use bytes::Bytes;

use super::STEPS;
use super::chunks::{FILE_HEADER_BYTES, RiffChunk, RiffChunks, end_chunk, u24_at};
use super::image::{Trimmed, WebpImage};
use crate::formats::rewrite::Rewrite;
use crate::formats::work::Work;
use crate::formats::{ImageError, PictureLimits, check_size};

/// The chunks of a file, those inside of frames excepted.
struct Layout<'a> {
    is_extended: bool,
    canvas: (u32, u32),
    frames: u32,
    still: WebpImage<'a>,
}

impl<'a> Layout<'a> {
    fn read(file: &'a [u8]) -> Result<Self, ImageError> {
        let mut chunks = RiffChunks::of_file(file)?;
        let first = chunks.next()?.ok_or(ImageError::Empty)?;
        let is_extended = first.name == *b"VP8X";
        let mut still = WebpImage::default().add(&first)?;
        let canvas = if is_extended { canvas(&first)? } else { still.dimensions()? };
        let mut frames = 0;
        while let Some(chunk) = chunks.next()? {
            if chunk.name == *b"ANMF" {
                frames += 1;
            } else {
                still = still.add(&chunk)?;
            }
        }
        Ok(Self { is_extended, canvas, frames, still })
    }
}

/// Returns the memory that [`verify`] takes, in bytes.
pub(in crate::formats) fn memory_bytes(file: &[u8], limits: PictureLimits) -> Result<u64, ImageError> {
    let Layout { canvas: (width, height), frames, still, .. } = Layout::read(file)?;
    check_size(width, height, frames.max(1), limits)?;
    if frames == 0 {
        return still.memory_bytes();
    }
    let mut frame_bytes_max = 0;
    let mut chunks = RiffChunks::of_file(file)?;
    while let Some(chunk) = chunks.next()? {
        if chunk.name == *b"ANMF" {
            frame_bytes_max = frame_bytes_max.max(frame(file, &chunk)?.memory_bytes()?);
        }
    }
    Ok(frame_bytes_max)
}

/// Decodes all frames. Returns the file without bytes after the end of their compressed data.
pub(in crate::formats) fn verify(file: &Bytes, work: &mut Work) -> Result<Bytes, ImageError> {
    let Layout { is_extended, canvas, frames, still } = Layout::read(file)?;
    let pixels = u64::from(canvas.0) * u64::from(canvas.1) * u64::from(frames.max(1));
    work.limit(pixels, file.len() as u64, STEPS);
    if frames == 0 && is_extended && still.dimensions() != Ok(canvas) {
        return Err(ImageError::malformed("dimensions other than in VP8X"));
    }
    let trimmed = if frames == 0 { still.decode(work)? } else { Trimmed::default() };
    let mut rewrite = Rewrite::new(file);
    rewrite.keep(0..FILE_HEADER_BYTES);
    let mut chunks = RiffChunks::of_file(file)?;
    while let Some(chunk) = chunks.next()? {
        if chunk.name == *b"ANMF" {
            let image = frame(file, &chunk)?;
            check_frame(&chunk, canvas, image.dimensions()?)?;
            image.decode(work)?.put_frame(&mut rewrite, file, &chunk)?;
        } else {
            trimmed.put(&mut rewrite, &chunk)?;
        }
    }
    end_chunk(&mut rewrite, 0)?;
    Ok(rewrite.finish().into_bytes(file))
}

/// Returns the canvas dimensions in VP8X.
pub(super) fn canvas(vp8x: &RiffChunk<'_>) -> Result<(u32, u32), ImageError> {
    match (u24_at(vp8x.data, 4), u24_at(vp8x.data, 7)) {
        (Some(width), Some(height)) => Ok((width + 1, height + 1)),
        _ => Err(ImageError::Truncated),
    }
}

/// Returns the image of an ANMF chunk.
pub(super) fn frame<'a>(file: &'a [u8], chunk: &RiffChunk<'_>) -> Result<WebpImage<'a>, ImageError> {
    let mut chunks = RiffChunks::of_frame(file, chunk);
    let mut image = WebpImage::default();
    while let Some(chunk) = chunks.next()? {
        image = image.add(&chunk)?;
    }
    Ok(image)
}

/// Checks that a frame is on the canvas and as large as its header says (section 2.7.1.1).
fn check_frame(frame: &RiffChunk<'_>, canvas: (u32, u32), dimensions: (u32, u32)) -> Result<(), ImageError> {
    let [x, y, width, height] = [0, 3, 6, 9].map(|at| u24_at(frame.data, at).unwrap_or(u32::MAX >> 8));
    let is_inside = x * 2 + width < canvas.0 && y * 2 + height < canvas.1;
    if is_inside && dimensions == (width + 1, height + 1) {
        Ok(())
    } else {
        Err(ImageError::malformed("a frame outside of the canvas or of other dimensions"))
    }
}
