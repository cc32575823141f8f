#![no_main]

mod property;

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};
use libfuzzer_sys::fuzz_target;
use shared::media_api::ImageKind;

fuzz_target!(|data: &[u8]| {
    property::check(data, ImageKind::Webp, |picture| frames(picture).ok());
});

/// Cut at the end of the file (RFC 9649, section 2.4): image-webp 0.2.4 reads a chunk that starts in the ten bytes after it.
fn frames(picture: &[u8]) -> Result<Vec<Vec<u8>>, DecodingError> {
    let size = picture.get(4..).and_then(<[u8]>::first_chunk).map_or(0, |size| u32::from_le_bytes(*size) as usize);
    let picture = picture.get(..8 + size).unwrap_or(picture);
    let mut decoder = WebPDecoder::new(Cursor::new(picture))?;
    let mut frame = vec![0; decoder.output_buffer_size().unwrap_or_default()];
    if !decoder.is_animated() {
        decoder.read_image(&mut frame)?;
        return Ok(vec![frame]);
    }
    let mut frames = Vec::new();
    for _ in 0..decoder.num_frames() {
        decoder.read_frame(&mut frame)?;
        frames.push(frame.clone());
    }
    Ok(frames)
}
