//! A person's name.

use super::text::{ValidationErrors, ok_or_errors, validate_common};

/// A name in any script, trimmed.
#[derive(Clone, PartialEq, Eq)]
pub struct FullName(String);

impl FullName {
    /// Maximum length, in characters.
    pub const CHARS_MAX: usize = 255;

    /// Validates a name.
    pub fn parse(text: &str) -> Result<Self, ValidationErrors> {
        ok_or_errors(validate_common(text, Self::CHARS_MAX), || Self(text.to_owned()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
