//! What holds for whatever is uploaded: it is refused, or what is kept of it is clean, and has the same pixels.

use bytes::Bytes;
use media_server::images::work::Work;
use media_server::images::{self, Accepted, PictureLimits};
use media_server::renditions::RenderInput;
use shared::media_api::ImageKind;

/// Small, so that much is tried.
const LIMITS: PictureLimits = PictureLimits { pixels_max: 1024 * 1024 };

/// Steps that a decoder counts at a time, at most: a row of blocks, or a lossy image.
const STEPS_AT_ONCE: u64 = 1 << 21;

/// Accepts a picture, and sees that its decoder keeps its budget.
fn accept(data: &[u8]) -> Option<Accepted> {
    let cleaned = images::clean(&Bytes::copy_from_slice(data)).ok()?;
    cleaned.memory_bytes(LIMITS).ok()?;
    let mut work = Work::default();
    let accepted = cleaned.decode(&mut work);
    assert!(work.spent() <= work.budget().saturating_add(STEPS_AT_ONCE), "{work:?}");
    accepted.ok()
}

/// Whether the picture was accepted. `pixels` decodes one by another way than ours, if it can.
pub fn check<Pixels: PartialEq>(data: &[u8], kind: ImageKind, pixels: impl Fn(&[u8]) -> Option<Pixels>) -> bool {
    if images::kind(data) != Some(kind) {
        return false;
    }
    let Some(accepted) = accept(data) else { return false };
    let again = images::accept(&accepted.bytes, LIMITS).expect("what was accepted is again");
    assert_eq!(again.bytes.as_ptr(), accepted.bytes.as_ptr(), "what is clean is not copied");
    assert_eq!(again.bytes, accepted.bytes, "what is clean is not changed");
    if accepted.bytes != data
        && let Some(before) = pixels(data)
    {
        assert!(pixels(&accepted.bytes) == Some(before), "the pixels changed");
    }
    let rendition = RenderInput::Original(accepted.bytes).render(16, &mut Work::default());
    assert!(rendition.is_ok(), "what was accepted has renditions: {rendition:?}");
    true
}
