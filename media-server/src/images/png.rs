//! PNG (W3C PNG, third edition), animated or not: decoded to its filtered rows and not on to pixels, which can be made of
//! any, in constant memory.

mod chunks;
mod clean;
mod decode;
mod deflate;
mod header;
mod image_data;
mod skipping;

pub(super) use self::clean::clean;
pub(super) use self::decode::{decode, memory_bytes};
