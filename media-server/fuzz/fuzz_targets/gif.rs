#![no_main]

mod property;

use gif::{DecodeOptions, DecodingError, Frame};
use libfuzzer_sys::fuzz_target;
use shared::media_api::ImageKind;

fuzz_target!(|data: &[u8]| {
    property::check(data, ImageKind::Gif, |picture| frames(picture).ok());
});

/// All of each frame: where, for how long, transparent or not, in which colours.
fn frames(picture: &[u8]) -> Result<Vec<String>, DecodingError> {
    let mut decoder = DecodeOptions::new().read_info(picture)?;
    let mut frames = vec![format!("{:?} {:?}", decoder.repeat(), decoder.global_palette())];
    while let Some(frame) = decoder.read_next_frame()? {
        let frame: &Frame<'_> = frame;
        frames.push(format!("{frame:?}"));
    }
    Ok(frames)
}
