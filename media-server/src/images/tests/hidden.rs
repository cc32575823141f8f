//! Hides 64 bytes in each place of each format where a decoder of pixels does not look: the picture that is kept is, byte
//! for byte, the one that is kept without them, or it is refused.

mod gif;
mod icc;
mod jpeg;
mod png;
mod webp;

use super::cleaning::{LIMITS, accept, frames, seed};
use super::*;
use crate::images::accept as images_accept;

/// Bytes that are in no picture by chance.
const SECRET: [u8; 64] = {
    let (mut secret, mut state, mut at) = ([0; 64], 1u32, 0);
    while at < secret.len() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        secret[at] = state.to_be_bytes()[0];
        at += 1;
    }
    secret
};

/// A picture, and what is done to it.
struct Case {
    place: String,
    clean: Vec<u8>,
    hiding: Vec<u8>,
    is_refused: bool,
}

impl Case {
    /// The secret is in `hiding`, which otherwise is `clean`.
    fn dropped(place: impl Into<String>, clean: &[u8], hiding: Vec<u8>) -> Self {
        Self { place: place.into(), clean: clean.to_vec(), hiding, is_refused: false }
    }

    /// The same, where decoders differ over what is shown, or can't show it.
    fn refused(place: impl Into<String>, clean: &[u8], hiding: Vec<u8>) -> Self {
        Self { is_refused: true, ..Self::dropped(place, clean, hiding) }
    }

    fn assert(&self) {
        let place = &self.place;
        assert!(self.clean != self.hiding, "{place}: nothing is hidden");
        let clean = accept(&self.clean).unwrap_or_else(|refusal| panic!("{place}: clean: {refusal}"));
        match accept(&self.hiding) {
            Ok(kept) => {
                assert!(!self.is_refused, "{place}: accepted");
                assert!(kept == clean, "{place}: kept {} bytes of {}", kept.bytes.len(), clean.bytes.len());
                assert!(frames(&kept.bytes) == frames(&self.clean), "{place}: the pixels changed");
            }
            Err(refusal) => assert!(self.is_refused, "{place}: {refusal}"),
        }
        let again = Bytes::from(clean.bytes.to_vec());
        let kept_again = images_accept(&again, LIMITS).unwrap();
        assert_eq!(
            (kept_again.bytes.as_ptr(), kept_again.bytes.len()),
            (again.as_ptr(), again.len()),
            "{place}: copied"
        );
    }
}

/// Asserts all that holds of some cases.
fn assert_all(cases: impl IntoIterator<Item = Case>) {
    let mut count = 0;
    for case in cases {
        case.assert();
        count += 1;
    }
    assert!(count > 0);
}

/// `bytes` with `more` at `at`.
fn inserted(bytes: &[u8], at: usize, more: &[u8]) -> Vec<u8> {
    [&bytes[..at], more, &bytes[at..]].concat()
}

fn position(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).unwrap()
}
