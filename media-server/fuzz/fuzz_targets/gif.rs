#![no_main]

mod property;

use bytes::Bytes;
use gif::{DecodeOptions, DecodingError, Frame};
use libfuzzer_sys::fuzz_target;
use media_server::images::work::Work;
use media_server::images::{self, PictureLimits, Refusal};
use shared::media_api::ImageKind;

const LIMITS: PictureLimits = PictureLimits { pixels_max: 1024 * 1024 };

fuzz_target!(|data: &[u8]| {
    let is_accepted = property::check(data, ImageKind::Gif, |picture| frames(picture).ok());
    let Ok(cleaned) = images::clean(&Bytes::copy_from_slice(data)) else { return };
    if !is_accepted && frames(cleaned.bytes()).is_ok_and(|frames| frames.len() > 1) {
        let refusal = cleaned.memory_bytes(LIMITS).err().or_else(|| cleaned.decode(&mut Work::default()).err());
        let is_by_limits =
            matches!(refusal, Some(Refusal::TooManyPixels(_) | Refusal::Sides | Refusal::TooMuchWork { .. }));
        assert!(is_by_limits, "another decoder shows it: {refusal:?}");
    }
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
