//! Invariants of any upload: it is rejected, or stripping and verifying it is idempotent and keeps the pixels.

use bytes::Bytes;
use media_server::formats::work::Work;
use media_server::formats::{self, PictureLimits, VerifiedImage};
use media_server::renditions::RenderInput;
use shared::media_api::ImageKind;

/// Small, for many runs per second.
const LIMITS: PictureLimits = PictureLimits { pixels_max: 1024 * 1024 };

/// The most steps that a decoder spends at once: a row of blocks, or a lossy image.
const STEPS_AT_ONCE: u64 = 1 << 21;

/// Strips and verifies, and asserts that the decoder keeps its budget.
fn strip_and_verify(data: &[u8]) -> Option<VerifiedImage> {
    let stripped = formats::strip_metadata(&Bytes::copy_from_slice(data)).ok()?;
    stripped.memory_bytes(LIMITS).ok()?;
    let mut work = Work::default();
    let verified = stripped.verify(&mut work);
    assert!(work.spent() <= work.budget().saturating_add(STEPS_AT_ONCE), "{work:?}");
    verified.ok()
}

/// Asserts the invariants; returns whether the file was verified. `pixels` decodes with another decoder.
pub fn check<Pixels: PartialEq>(data: &[u8], kind: ImageKind, pixels: impl Fn(&[u8]) -> Option<Pixels>) -> bool {
    if formats::detect_kind(data) != Some(kind) {
        return false;
    }
    let Some(verified) = strip_and_verify(data) else { return false };
    let again = formats::verify(&verified.bytes, LIMITS).expect("a verified file verifies again");
    assert_eq!(again.bytes.as_ptr(), verified.bytes.as_ptr(), "a clean file is not copied");
    assert_eq!(again.bytes, verified.bytes, "a clean file is not changed");
    if verified.bytes != data
        && let Some(before) = pixels(data)
    {
        assert!(pixels(&verified.bytes) == Some(before), "the pixels changed");
    }
    let rendition = RenderInput::Original(verified.bytes).render(16, &mut Work::default());
    assert!(rendition.is_ok(), "a verified file has renditions: {rendition:?}");
    true
}
