//! JPEG (ITU-T T.81): baseline, extended and progressive, 8 bits; gray, YCbCr, RGB, CMYK.

mod ac_coefficients;
mod bit_reader;
mod coefficients;
mod crop;
mod frame;
mod huffman;
mod metadata;
mod scaled_idct;
mod scan;
mod segments;
mod strip;
mod tables;
mod used_tables;
mod verify;

pub use self::crop::ScaledCrop;
pub(crate) use self::metadata::ColorSpace;
pub(super) use self::strip::strip_metadata;
pub(crate) use self::verify::{crop_memory_bytes, scaled_crop};
pub(super) use self::verify::{memory_bytes, verify, verify_and_crop};

/// The most scans of a file; encoders write about ten.
const SCANS_MAX: usize = 64;

/// Steps of a block in a scan: an empty one has fewer, one of many coefficients more.
const VISIT_STEPS: u64 = 16;
