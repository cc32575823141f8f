//! Verification of a GIF: decodes LZW to the lengths of its strings, which takes 8 kB and a tenth of the time of pixels.

use bytes::Bytes;

use super::blocks::{GifBlock, GifBlocks, GifImage};
use super::lzw::{Lengths, Lzw, Steps};
use super::trim;
use crate::formats::rewrite::Rewrite;
use crate::formats::work::Work;
use crate::formats::{ImageError, PictureLimits, check_size};

/// Work budget per pixel, each frame counted as large as the screen, and per byte.
const STEPS: (u64, u64) = (5, 1);

/// Steps per frame.
const FRAME_STEPS: u64 = 8;

/// Returns the memory that [`verify`] takes, in bytes.
pub(in crate::formats) fn memory_bytes(file: &[u8], limits: PictureLimits) -> Result<u64, ImageError> {
    // Trimming copies the codes of an image.
    size(file, limits).map(|_| (size_of::<Lengths>() + file.len()) as u64)
}

/// Returns width, height and number of frames.
fn size(file: &[u8], limits: PictureLimits) -> Result<(u32, u32, u32), ImageError> {
    let mut blocks = GifBlocks::new(file)?;
    let (mut width, mut height) = blocks.screen();
    let mut frames = 0;
    loop {
        match blocks.next()? {
            GifBlock::Extension(_) => {}
            GifBlock::Image(image) => {
                // A frame may exceed the logical screen.
                width = width.max(image.left + image.width);
                height = height.max(image.top + image.height);
                frames += 1;
                check_size(width, height, frames, limits)?;
            }
            GifBlock::Trailer if frames == 0 => return Err(ImageError::Empty),
            GifBlock::Trailer => return Ok((width, height, frames)),
        }
    }
}

/// Decodes all frames. Returns the file with each frame's codes trimmed after its last pixel.
pub(in crate::formats) fn verify(file: &Bytes, work: &mut Work) -> Result<Bytes, ImageError> {
    let (width, height, frames) = size(file, PictureLimits { pixels_max: u64::MAX })?;
    work.limit(u64::from(width) * u64::from(height) * u64::from(frames), file.len() as u64, STEPS);
    let mut blocks = GifBlocks::new(file)?;
    let (mut lengths, mut steps) = (Lengths::default(), Steps::OF_RENDITION);
    let mut rewrite = Rewrite::new(file);
    let mut kept_to = 0;
    loop {
        match blocks.next()? {
            GifBlock::Extension(_) => {}
            GifBlock::Image(GifImage { width, height, code_size, data, range, .. }) => {
                work.spend(FRAME_STEPS)?;
                let pixels = u64::from(width) * u64::from(height);
                let end = Lzw::new(data, steps, work).decode(code_size, pixels, &mut lengths)?;
                steps = Steps::OF_VERIFICATION;
                if !end.is_last {
                    rewrite.keep(kept_to..range.end - data.len());
                    trim::put(&mut rewrite, data, &end);
                    kept_to = range.end;
                }
            }
            GifBlock::Trailer => {
                rewrite.keep(kept_to..blocks.at());
                return Ok(rewrite.finish().into_bytes(file));
            }
        }
    }
}
