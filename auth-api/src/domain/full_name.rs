//! A person's name.

use super::Refusal;
use super::text::{common_faults, unless_faulty};

/// A name in any script, without white space around it.
#[derive(Clone, PartialEq, Eq)]
pub struct FullName(String);

impl FullName {
    /// The longest name, in characters.
    pub const CHARS_MAX: usize = 255;

    /// Parses a name that is not blank.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        unless_faulty(common_faults(text, Self::CHARS_MAX), || Self(text.to_owned()))
    }

    /// The name, for the store.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
