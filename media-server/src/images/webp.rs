//! WebP (RFC 9649): lossy, lossless, with alpha, animated.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::{PictureLimits, Refusal, check_size};

pub(super) fn check(picture: &[u8], limits: PictureLimits) -> Result<(), Refusal> {
    has_end(picture)?;
    let mut decoder = WebPDecoder::new(Cursor::new(picture)).map_err(refused)?;
    let (width, height) = decoder.dimensions();
    let frames = if decoder.is_animated() { decoder.num_frames() } else { 1 };
    check_size(width, height, frames, limits)?;
    if frames == 0 {
        return Err(Refusal::Empty);
    }
    let mut pixels = vec![0; decoder.output_buffer_size().ok_or(Refusal::Sides)?];
    if !decoder.is_animated() {
        return decoder.read_image(&mut pixels).map_err(refused);
    }
    for _ in 0..frames {
        decoder.read_frame(&mut pixels).map_err(refused)?;
    }
    Ok(())
}

/// The file must be as long as it says (RFC 9649, section 2.4): the decoder takes what is missing for zeros.
fn has_end(picture: &[u8]) -> Result<(), Refusal> {
    const RIFF_HEADER_BYTES: usize = 8;
    let Some([size @ .., _, _, _, _]) = picture.get(4..12) else { return Err(Refusal::Truncated) };
    let size = size.try_into().map(u32::from_le_bytes).map_err(|_| Refusal::Truncated)?;
    let available = picture.len().saturating_sub(RIFF_HEADER_BYTES);
    if usize::try_from(size).is_ok_and(|size| size <= available) { Ok(()) } else { Err(Refusal::Truncated) }
}

fn refused(error: DecodingError) -> Refusal {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Refusal::Truncated,
        error => Refusal::broken(error),
    }
}
