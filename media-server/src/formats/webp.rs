//! WebP (RFC 9649): lossy, lossless, with alpha, animated.

mod chunks;
mod code_costs;
mod distances;
mod footprint;
mod image;
mod lossless;
mod lossy;
mod prefix_codes;
mod strip;
mod verify;

pub(crate) use self::footprint::{Footprint, footprint};
pub(super) use self::strip::strip_metadata;
pub(super) use self::verify::{memory_bytes, verify};

/// Work budget per pixel, each frame counted as large as the canvas, and per byte.
const STEPS: (u64, u64) = (6, 0);
