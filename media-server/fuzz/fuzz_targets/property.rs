//! What holds for whatever is uploaded: it is refused, or what is kept of it is clean, and has the same pixels.

use bytes::Bytes;
use media_server::images::{self, PictureLimits};
use shared::media_api::ImageKind;

/// Small, so that much is tried.
const LIMITS: PictureLimits = PictureLimits { pixels_max: 1024 * 1024 };

/// Whether the picture was accepted. `pixels` decodes one by another way than ours, if it can.
pub fn check<Pixels: PartialEq>(data: &[u8], kind: ImageKind, pixels: impl Fn(&[u8]) -> Option<Pixels>) -> bool {
    if images::kind(data) != Some(kind) {
        return false;
    }
    let Ok(accepted) = images::accept(&Bytes::copy_from_slice(data), LIMITS) else { return false };
    let again = images::accept(&accepted.bytes, LIMITS).expect("what was accepted is again");
    assert_eq!(again.bytes.as_ptr(), accepted.bytes.as_ptr(), "what is clean is not copied");
    assert_eq!(again.bytes, accepted.bytes, "what is clean is not changed");
    if accepted.bytes != data
        && let Some(before) = pixels(data)
    {
        assert!(pixels(&accepted.bytes) == Some(before), "the pixels changed");
    }
    true
}
