//! What accounts consist of: types that are valid once parsed. Nothing here knows HTTP or a store.

mod email;
mod escaped;
mod full_name;
mod password;
mod profile_picture;
mod text;

pub use email::Email;
pub use escaped::EscapedText;
pub use full_name::FullName;
pub use password::{Password, is_too_similar};
pub(crate) use profile_picture::decode_base64;
pub use profile_picture::{LINK_BYTES_MAX, PictureChange, PictureValue};
pub(crate) use text::validate_common;
pub use text::{FieldValue, Message, TextRules, ValidationErrors, required_or_optional_text};
