//! PNG (W3C PNG, third edition), animated or not, in the memory of a few rows.

use std::io::Cursor;

use png::{DecodeOptions, Decoder, DecodingError, Limits};

use super::{PictureLimits, Refusal, check_size};

/// What the decoder may hold of chunks, in bytes; rows are bounded by the longest side.
const CHUNK_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) fn check(picture: &[u8], limits: PictureLimits) -> Result<(), Refusal> {
    let mut options = DecodeOptions::default();
    options.set_ignore_adler32(false);
    // Colour profiles and texts are compressed, and may be a thousand times what they take in the file.
    options.set_ignore_iccp_chunk(true);
    options.set_ignore_text_chunk(true);
    let mut decoder = Decoder::new_with_options(Cursor::new(picture), options);
    decoder.set_limits(Limits { bytes: CHUNK_BYTES_MAX });
    let header = decoder.read_header_info().map_err(refused)?;
    check_size(header.width, header.height, 1, limits)?;

    let mut reader = decoder.read_info().map_err(refused)?;
    let info = reader.info();
    // Of an animation the default image may be a frame or not; it is decoded either way.
    let is_apart = info.animation_control.is_some() && info.frame_control.is_none();
    let frames = info.animation_control.map_or(1, |animation| animation.num_frames);
    let images = frames.saturating_add(u32::from(is_apart));
    check_size(info.width, info.height, images, limits)?;
    for image in 0..images {
        if image > 0 {
            reader.next_frame_info().map_err(refused)?;
        }
        while reader.next_row().map_err(refused)?.is_some() {}
    }
    reader.finish().map_err(refused)
}

fn refused(error: DecodingError) -> Refusal {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Refusal::Truncated,
        error => Refusal::broken(error),
    }
}
