//! A person's name.

use super::text::{ValidationErrors, is_invisible, ok_or_errors, validate_common};

/// A name in any script, trimmed, with at least one character that shows.
#[derive(Clone, PartialEq, Eq)]
pub struct FullName(String);

impl FullName {
    /// Maximum length, in characters.
    pub const CHARS_MAX: usize = 255;

    /// Validates a name.
    pub fn parse(text: &str) -> Result<Self, ValidationErrors> {
        let mut errors = validate_common(text, Self::CHARS_MAX);
        if errors.is_empty() && text.chars().any(char::is_control) {
            errors.push("Control characters are not allowed.".to_owned());
        }
        if errors.is_empty() && text.chars().all(is_invisible) {
            errors.push("This field may not be blank.".to_owned());
        }
        ok_or_errors(errors, || Self(text.to_owned()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_shows_something_and_has_no_control_characters() {
        for name in ["Ann", "李", "O’Brien", "नेहा", "👩\u{200d}🚀", "a\u{200d}"] {
            assert!(FullName::parse(name).is_ok(), "{name:?}");
        }
        for name in ["\u{200b}", "\u{3164}", "\u{2060}\u{feff}", "\u{ad} \u{ad}"] {
            assert_eq!(FullName::parse(name).err().unwrap(), ["This field may not be blank."], "{name:?}");
        }
        for name in ["Ann\nLee", "a\u{7f}", "a\u{85}b", "\u{1b}[1m"] {
            assert_eq!(FullName::parse(name).err().unwrap(), ["Control characters are not allowed."], "{name:?}");
        }
    }
}
