//! What decoding costs, in steps.

use shared::worker_pool::StopSignal;

use super::super::work::Work;
use super::*;
use crate::hostile;

const LIMITS: PictureLimits = PictureLimits { pixels_max: 40_000_000 };

/// Cleans a picture and decodes it within its budget.
fn decode(picture: &[u8], work: &mut Work) -> Result<(), Refusal> {
    let cleaned = clean(&Bytes::copy_from_slice(picture))?;
    cleaned.memory_bytes(LIMITS)?;
    cleaned.decode(work).map(drop)
}

#[test]
fn a_hostile_picture_is_refused_or_decoded_within_its_budget() {
    let mut accepted = Vec::new();
    for picture in hostile::ALL {
        let hostile::HostilePicture { name, bytes, .. } = picture();
        let mut work = Work::default();
        match decode(&bytes, &mut work) {
            Ok(()) => accepted.push((name, work.spent() <= work.budget())),
            Err(Refusal::TooMuchWork { .. } | Refusal::TooManyBlocks) => {}
            Err(refusal) => panic!("{name}: {refusal}"),
        }
    }
    let cheap = ["webp-long-codewords", "gif-tiny-frames", "png-stored-blocks", "jpeg-many-restarts"];
    assert_eq!(accepted, cheap.map(|name| (name, true)));
}

#[test]
fn the_costliest_ordinary_picture_takes_three_quarters_of_its_budget_at_most() {
    // Those of many megapixels take long to encode.
    for picture in hostile::ALL.iter().map(|picture| picture()).filter(|picture| picture.pixels < 5_000_000) {
        let mut work = Work::default();
        assert_eq!(decode(&picture.ordinary(), &mut work), Ok(()), "{}", picture.name);
        assert!(work.spent() * 4 <= work.budget() * 3, "{}: {work:?}", picture.name);
    }
}

#[test]
fn pictures_of_real_encoders_take_a_tenth_of_their_budget_at_most() {
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for kind in ["jpeg", "png", "gif", "webp"] {
        for file in std::fs::read_dir(seeds.join(kind)).unwrap() {
            let path = file.unwrap().path();
            let mut work = Work::default();
            assert_eq!(decode(&std::fs::read(&path).unwrap(), &mut work), Ok(()), "{path:?}");
            assert!(work.spent() * 10 <= work.budget(), "{path:?}: {} of {} steps", work.spent(), work.budget());
        }
    }
}

#[test]
fn a_decode_that_is_stopped_ends_after_its_first_steps() {
    for kind in ImageKind::ALL {
        let picture = encode(64, 48, kind);
        let stop = StopSignal::default();
        stop.stop();
        let mut work = Work::stopped_by(stop);
        assert_eq!(decode(&picture, &mut work), Err(Refusal::Stopped), "{kind:?}");
        let mut whole = Work::default();
        assert_eq!(decode(&picture, &mut whole), Ok(()), "{kind:?}");
        assert!(work.spent() < whole.spent(), "{kind:?}: {} of {} steps", work.spent(), whole.spent());
    }
}
