//! Hides 64 bytes in each place of each format that pixel decoders ignore: the stored file equals, byte for byte, the one
//! without them, or the file is rejected.

mod gif;
mod icc;
mod jpeg;
mod png;
mod webp;

use super::stripping::{LIMITS, frames, seed, strip_and_verify};
use super::*;

/// Pseudorandom bytes that no image contains by chance.
const SECRET: [u8; 64] = {
    let (mut secret, mut state, mut at) = ([0; 64], 1u32, 0);
    while at < secret.len() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        secret[at] = state.to_be_bytes()[0];
        at += 1;
    }
    secret
};

/// A clean file, and the same file with hidden bytes.
struct Case {
    place: String,
    clean: Vec<u8>,
    hiding: Vec<u8>,
    is_rejected: bool,
}

impl Case {
    /// `hiding` is `clean` with the secret; stripping must restore `clean`.
    fn dropped(place: impl Into<String>, clean: &[u8], hiding: Vec<u8>) -> Self {
        Self { place: place.into(), clean: clean.to_vec(), hiding, is_rejected: false }
    }

    /// `hiding` must be rejected: decoders differ in what they show of it, or cannot show it.
    fn rejected(place: impl Into<String>, clean: &[u8], hiding: Vec<u8>) -> Self {
        Self { is_rejected: true, ..Self::dropped(place, clean, hiding) }
    }

    fn assert(&self) {
        let place = &self.place;
        assert!(self.clean != self.hiding, "{place}: nothing is hidden");
        let clean = strip_and_verify(&self.clean).unwrap_or_else(|error| panic!("{place}: clean: {error}"));
        match strip_and_verify(&self.hiding) {
            Ok(kept) => {
                assert!(!self.is_rejected, "{place}: accepted");
                assert!(kept == clean, "{place}: kept {} bytes of {}", kept.bytes.len(), clean.bytes.len());
                assert!(frames(&kept.bytes) == frames(&self.clean), "{place}: the pixels changed");
            }
            Err(error) => assert!(self.is_rejected, "{place}: {error}"),
        }
        let again = Bytes::from(clean.bytes.to_vec());
        let kept_again = verify(&again, LIMITS).unwrap();
        assert_eq!(
            (kept_again.bytes.as_ptr(), kept_again.bytes.len()),
            (again.as_ptr(), again.len()),
            "{place}: copied"
        );
    }
}

fn assert_all(cases: impl IntoIterator<Item = Case>) {
    let mut count = 0;
    for case in cases {
        case.assert();
        count += 1;
    }
    assert!(count > 0);
}

/// Inserts `more` at offset `at`.
fn inserted(bytes: &[u8], at: usize, more: &[u8]) -> Vec<u8> {
    [&bytes[..at], more, &bytes[at..]].concat()
}

fn position(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).unwrap()
}
