//! GIF (87a, 89a): decoded to the number of its pixels and not on to pixels, which can be made of any codes.

mod clean;
mod decode;
mod lzw;

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError};

use super::{PictureLimits, Refusal, check_size};

pub(super) use self::clean::clean;
pub(super) use self::decode::decode;

/// What [`decode`] takes, in bytes.
pub(super) fn memory_bytes(picture: &[u8], limits: PictureLimits) -> Result<u64, Refusal> {
    /// The table of codes, and what the decoder that looks for the sizes of frames holds.
    const BYTES: u64 = 512 * 1024;
    let mut decoder = decoder(picture)?;
    let mut frames = 0;
    // What all frames so far cover: one may reach out of the screen that it is drawn on.
    let (mut width, mut height) = (u32::from(decoder.width()), u32::from(decoder.height()));
    while let Some(frame) = decoder.next_frame_info().map_err(refused)? {
        width = width.max(u32::from(frame.left) + u32::from(frame.width));
        height = height.max(u32::from(frame.top) + u32::from(frame.height));
        frames += 1;
        check_size(width, height, frames, limits)?;
    }
    if frames == 0 { Err(Refusal::Empty) } else { Ok(BYTES + picture.len() as u64) }
}

fn decoder(picture: &[u8]) -> Result<Decoder<&[u8]>, Refusal> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.skip_frame_decoding(true);
    options.read_info(picture).map_err(refused)
}

fn refused(error: DecodingError) -> Refusal {
    match error {
        DecodingError::UnexpectedEof => Refusal::Truncated,
        error => Refusal::broken(error),
    }
}
