//! PNG (W3C PNG, third edition), animated or not, in the memory of a few rows.

mod clean;
mod deflate;
mod skipping;

use std::io::Cursor;

use png::{DecodeOptions, Decoder, DecodingError, Limits};

use super::work::Work;
use super::{PictureLimits, Refusal, check_size};

pub(super) use self::clean::clean;

const SIGNATURE_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;

/// Steps that a file may take for each pixel, its frames counted as large as the picture, and for each byte.
const STEPS: (u64, u64) = (2, 1);

/// Steps of the decoder for an image or a frame, for a chunk of its data, and for pixels.
const FRAME_STEPS: u64 = 200;
const CHUNK_STEPS: u64 = 60;
const PIXELS_PER_STEP: u64 = 2;

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
pub(super) fn decode(picture: &[u8], work: &mut Work) -> Result<(), Refusal> {
    let mut reader = decoder(picture).read_info().map_err(refused)?;
    let (info, images) = (reader.info(), images(&reader));
    let pixels = u64::from(info.width) * u64::from(info.height) * u64::from(images);
    work.limit(pixels, picture.len() as u64, STEPS);
    spend_chunks(picture, work)?;
    for image in 0..images {
        if image > 0 {
            reader.next_frame_info().map_err(refused)?;
        }
        let row_steps = u64::from(reader.info().width) / PIXELS_PER_STEP;
        while reader.next_row().map_err(refused)?.is_some() {
            work.spend(row_steps)?;
        }
    }
    reader.finish().map_err(refused)
}

/// Spends the steps of all chunks, frames and deflate blocks, before any of them is decoded.
fn spend_chunks(picture: &[u8], work: &mut Work) -> Result<(), Refusal> {
    let mut rest = picture.get(SIGNATURE_BYTES..).unwrap_or_default();
    let mut chunks = std::iter::from_fn(|| next_chunk(&mut rest)).peekable();
    while let Some((kind, data)) = chunks.next() {
        let sequence_bytes = match kind {
            b"IDAT" => 0,
            b"fdAT" => 4,
            _ => continue,
        };
        let mut count = 1;
        let more = std::iter::from_fn(|| chunks.next_if(|(other, _)| *other == kind)).map(|(_, data)| data);
        let mut pieces = std::iter::once(data).chain(more).inspect(|_| count += 1);
        work.spend(FRAME_STEPS)?;
        deflate::spend(pieces.by_ref().map(|data| data.get(sequence_bytes..).unwrap_or_default()), work)?;
        pieces.for_each(drop);
        work.spend(count * CHUNK_STEPS)?;
    }
    Ok(())
}

/// Name and data of the next chunk.
fn next_chunk<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8; 4], &'a [u8])> {
    let (length, after) = rest.split_first_chunk()?;
    let (kind, after) = after.split_first_chunk()?;
    let (data, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after.get(CHECKSUM_BYTES..)?;
    Some((kind, data))
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
