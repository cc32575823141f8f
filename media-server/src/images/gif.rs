//! GIF (87a, 89a), in constant memory.

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError};

use super::{PictureLimits, Refusal, check_size};

/// Pixels are decoded this many at a time.
const CHUNK_PIXELS: usize = 64 * 1024;

pub(super) fn check(picture: &[u8], limits: PictureLimits) -> Result<(), Refusal> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    let mut decoder = options.read_info(picture).map_err(refused)?;
    let mut chunk = vec![0; CHUNK_PIXELS];
    let mut frames = 0;
    // The largest frame yet: one may be larger than the screen it is drawn on.
    let (mut width, mut height) = (u32::from(decoder.width()), u32::from(decoder.height()));
    while let Some(frame) = decoder.next_frame_info().map_err(refused)? {
        let pixels = usize::from(frame.width) * usize::from(frame.height);
        width = width.max(frame.width.into());
        height = height.max(frame.height.into());
        frames += 1;
        check_size(width, height, frames, limits)?;
        decode_frame(&mut decoder, pixels, &mut chunk)?;
    }
    if frames == 0 { Err(Refusal::Empty) } else { Ok(()) }
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
