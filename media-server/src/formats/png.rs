//! PNG (W3C PNG, third edition), animated or not.

mod chunks;
mod deflate;
mod deflate_codes;
mod header;
mod image_data;
mod strip;
mod verify;

pub(super) use self::strip::strip_metadata;
pub(super) use self::verify::{memory_bytes, verify};
