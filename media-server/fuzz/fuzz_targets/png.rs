#![no_main]

mod property;

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use png::{Decoder, DecodingError};
use shared::media_api::ImageKind;

fuzz_target!(|data: &[u8]| {
    property::check(data, ImageKind::Png, |picture| frames(picture).ok());
});

fn frames(picture: &[u8]) -> Result<Vec<Vec<u8>>, DecodingError> {
    let mut reader = Decoder::new(Cursor::new(picture)).read_info()?;
    let mut frames = Vec::new();
    while let Ok(()) = if frames.is_empty() { Ok(()) } else { reader.next_frame_info().map(drop) } {
        let mut frame = vec![0; reader.output_buffer_size().unwrap_or_default()];
        reader.next_frame(&mut frame)?;
        frames.push(frame);
    }
    Ok(frames)
}
