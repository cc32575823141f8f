//! GIF (87a, 89a), in constant memory.

mod clean;

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError};

use super::{PictureLimits, Refusal, check_size};

pub(super) use self::clean::clean;

/// Pixels are decoded this many at a time.
const CHUNK_PIXELS: usize = 64 * 1024;

/// What [`decode`] takes, in bytes.
pub(super) fn memory_bytes(picture: &[u8], limits: PictureLimits) -> Result<u64, Refusal> {
    /// The decoder's tables, and what it reads and writes at a time.
    const BYTES: u64 = 512 * 1024;
    let mut decoder = decoder(picture, true)?;
    let mut frames = 0;
    // What all frames so far cover: one may reach out of the screen that it is drawn on.
    let (mut width, mut height) = (u32::from(decoder.width()), u32::from(decoder.height()));
    while let Some(frame) = decoder.next_frame_info().map_err(refused)? {
        width = width.max(u32::from(frame.left) + u32::from(frame.width));
        height = height.max(u32::from(frame.top) + u32::from(frame.height));
        frames += 1;
        check_size(width, height, frames, limits)?;
    }
    if frames == 0 { Err(Refusal::Empty) } else { Ok(BYTES) }
}

/// Decodes all frames.
pub(super) fn decode(picture: &[u8]) -> Result<(), Refusal> {
    let mut decoder = decoder(picture, false)?;
    let mut chunk = vec![0; CHUNK_PIXELS];
    while let Some(frame) = decoder.next_frame_info().map_err(refused)? {
        let pixels = usize::from(frame.width) * usize::from(frame.height);
        decode_frame(&mut decoder, pixels, &mut chunk)?;
    }
    Ok(())
}

fn decoder(picture: &[u8], is_outline: bool) -> Result<Decoder<&[u8]>, Refusal> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.skip_frame_decoding(is_outline);
    options.read_info(picture).map_err(refused)
}

fn decode_frame(decoder: &mut Decoder<&[u8]>, pixels: usize, chunk: &mut [u8]) -> Result<(), Refusal> {
    let mut left = pixels;
    while left > 0 {
        let now = left.min(chunk.len());
        let part = chunk.get_mut(..now).unwrap_or_default();
        if !decoder.fill_buffer(part).map_err(refused)? {
            return Err(Refusal::Truncated);
        }
        left -= now;
    }
    Ok(())
}

fn refused(error: DecodingError) -> Refusal {
    match error {
        DecodingError::UnexpectedEof => Refusal::Truncated,
        error => Refusal::broken(error),
    }
}
