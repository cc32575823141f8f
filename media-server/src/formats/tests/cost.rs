//! Work budgets of verification.

use shared::worker_pool::StopSignal;

use super::super::work::Work;
use super::*;
use crate::hostile;

const LIMITS: PictureLimits = PictureLimits { pixels_max: 40_000_000 };

/// Strips and verifies within the budget.
fn strip_and_verify(picture: &[u8], work: &mut Work) -> Result<(), ImageError> {
    let stripped = strip_metadata(&Bytes::copy_from_slice(picture))?;
    stripped.memory_bytes(LIMITS)?;
    stripped.verify(work).map(drop)
}

#[test]
fn hostile_images_are_rejected_or_verified_within_budget() {
    let mut verified = Vec::new();
    for picture in hostile::ALL {
        let hostile::HostilePicture { name, bytes, .. } = picture();
        let mut work = Work::default();
        match strip_and_verify(&bytes, &mut work) {
            Ok(()) => verified.push((name, work.spent() <= work.budget())),
            Err(ImageError::TooMuchWork { .. } | ImageError::TooManyBlocks) => {}
            Err(error) => panic!("{name}: {error}"),
        }
    }
    let cheap = ["webp-long-codewords", "gif-tiny-frames", "png-stored-blocks", "jpeg-many-restarts"];
    assert_eq!(verified, cheap.map(|name| (name, true)));
}

#[test]
fn costliest_ordinary_images_take_at_most_three_quarters_of_their_budget() {
    // Larger ones take long to encode.
    for picture in hostile::ALL.iter().map(|picture| picture()).filter(|picture| picture.pixels < 5_000_000) {
        let mut work = Work::default();
        assert_eq!(strip_and_verify(&picture.ordinary(), &mut work), Ok(()), "{}", picture.name);
        assert!(work.spent() * 4 <= work.budget() * 3, "{}: {work:?}", picture.name);
    }
}

#[test]
fn images_of_real_encoders_take_at_most_a_tenth_of_their_budget() {
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for kind in ["jpeg", "png", "gif", "webp"] {
        for file in std::fs::read_dir(seeds.join(kind)).unwrap() {
            let path = file.unwrap().path();
            let mut work = Work::default();
            assert_eq!(strip_and_verify(&std::fs::read(&path).unwrap(), &mut work), Ok(()), "{path:?}");
            assert!(work.spent() * 10 <= work.budget(), "{path:?}: {} of {} steps", work.spent(), work.budget());
        }
    }
}

#[test]
fn cancelled_verification_ends_after_its_first_steps() {
    for kind in ImageKind::ALL {
        let picture = encode(64, 48, kind);
        let stop = StopSignal::default();
        stop.stop();
        let mut work = Work::stopped_by(stop);
        assert_eq!(strip_and_verify(&picture, &mut work), Err(ImageError::Stopped), "{kind:?}");
        let mut whole = Work::default();
        assert_eq!(strip_and_verify(&picture, &mut whole), Ok(()), "{kind:?}");
        assert!(work.spent() < whole.spent(), "{kind:?}: {} of {} steps", work.spent(), whole.spent());
    }
}
