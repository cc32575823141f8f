//! PNG (W3C PNG, third edition), animated or not, in the memory of a few rows.

mod clean;

use std::io::Cursor;

use png::{DecodeOptions, Decoder, DecodingError, Limits};

use super::{PictureLimits, Refusal, check_size};

pub(super) use self::clean::clean;

/// What the decoder may hold of chunks, in bytes.
const CHUNK_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What [`decode`] takes, in bytes.
pub(super) fn memory_bytes(picture: &[u8], limits: PictureLimits) -> Result<u64, Refusal> {
    /// The decoder, its windows on compressed and on decompressed data.
    const BASE_BYTES: u64 = 512 * 1024;
    /// A row is held as it came, decompressed, and as it is handed on; at most of 4 samples of 16 bits.
    const ROWS: u64 = 6;
    let mut decoder = decoder(picture);
    let header = decoder.read_header_info().map_err(refused)?;
    check_size(header.width, header.height, 1, limits)?;
    let row_bytes = header.raw_row_length() as u64;
    let reader = decoder.read_info().map_err(refused)?;
    check_size(reader.info().width, reader.info().height, images(&reader), limits)?;
    Ok(BASE_BYTES + ROWS * row_bytes)
}

/// Decodes all frames.
pub(super) fn decode(picture: &[u8]) -> Result<(), Refusal> {
    let mut reader = decoder(picture).read_info().map_err(refused)?;
    for image in 0..images(&reader) {
        if image > 0 {
            reader.next_frame_info().map_err(refused)?;
        }
        while reader.next_row().map_err(refused)?.is_some() {}
    }
    reader.finish().map_err(refused)
}

fn decoder(picture: &[u8]) -> Decoder<Cursor<&[u8]>> {
    let mut options = DecodeOptions::default();
    options.set_ignore_adler32(false);
    // The cleaner has looked at them.
    options.set_ignore_iccp_chunk(true);
    options.set_ignore_text_chunk(true);
    let mut decoder = Decoder::new_with_options(Cursor::new(picture), options);
    decoder.set_limits(Limits { bytes: CHUNK_BYTES_MAX });
    decoder
}

/// How many images are decoded: of an animation the default image may be a frame or not; it is decoded either way.
fn images(reader: &png::Reader<Cursor<&[u8]>>) -> u32 {
    let info = reader.info();
    let is_apart = info.animation_control.is_some() && info.frame_control.is_none();
    info.animation_control.map_or(1, |animation| animation.num_frames).saturating_add(u32::from(is_apart))
}

fn refused(error: DecodingError) -> Refusal {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Refusal::Truncated,
        error => Refusal::broken(error),
    }
}
