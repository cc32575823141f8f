//! What accounts are made of: types that can't be wrong once parsed. Nothing here knows HTTP or a store.
//!
//! A parser takes what the client sent and returns the value, or every sentence that the client shall read about it.

mod email;
mod escaped;
mod full_name;
mod password;
mod picture;
mod text;

pub use email::Email;
pub use escaped::EscapedText;
pub use full_name::FullName;
pub use password::{Password, is_too_similar};
pub(crate) use picture::decode_base64;
pub use picture::{LINK_BYTES_MAX, Picture, PictureSource};
pub use text::{Presented, TextField, present};

/// What a client reads about a field.
pub type Sentence = String;

/// Why a value was refused: at least one sentence.
pub type Refusal = Vec<Sentence>;
