//! GIF (87a, 89a).

mod blocks;
mod lzw;
mod strip;
mod trim;
mod verify;

pub(super) use self::strip::strip_metadata;
pub(super) use self::verify::{memory_bytes, verify};
