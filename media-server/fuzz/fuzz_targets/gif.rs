#![no_main]

mod property;

use bytes::Bytes;
use gif::{DecodeOptions, DecodingError, Frame};
use libfuzzer_sys::fuzz_target;
use media_server::formats::work::Work;
use media_server::formats::{self, ImageError, PictureLimits};
use shared::media_api::ImageKind;

const LIMITS: PictureLimits = PictureLimits { pixels_max: 1024 * 1024 };

fuzz_target!(|data: &[u8]| {
    let is_verified = property::check(data, ImageKind::Gif, |picture| frames(picture).ok());
    let Ok(stripped) = formats::strip_metadata(&Bytes::copy_from_slice(data)) else { return };
    if !is_verified && frames(stripped.bytes()).is_ok_and(|frames| frames.len() > 1) {
        let error = stripped.memory_bytes(LIMITS).err().or_else(|| stripped.verify(&mut Work::default()).err());
        let is_by_limits =
            matches!(error, Some(ImageError::TooManyPixels(_) | ImageError::Sides | ImageError::TooMuchWork { .. }));
        assert!(is_by_limits, "the gif crate shows it: {error:?}");
    }
});

/// Returns all fields of each frame.
fn frames(picture: &[u8]) -> Result<Vec<String>, DecodingError> {
    let mut decoder = DecodeOptions::new().read_info(picture)?;
    let mut frames = vec![format!("{:?} {:?}", decoder.repeat(), decoder.global_palette())];
    while let Some(frame) = decoder.read_next_frame()? {
        let frame: &Frame<'_> = frame;
        frames.push(format!("{frame:?}"));
    }
    Ok(frames)
}
