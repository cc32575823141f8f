//! Validation that all text fields share.

use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;

/// A message about a field, in the words of Django REST Framework.
pub type Message = String;

/// Why a value was rejected: at least one message.
pub type ValidationErrors = Vec<Message>;

/// A text field as sent, before validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValue<'a> {
    Absent,
    /// JSON `null`.
    Null,
    /// A text, or the digits of a JSON number.
    Text(&'a str),
    /// A text above the limit of all fields, dropped while parsing.
    TooLong,
    /// A list, an object, a boolean or a file.
    NotText,
}

/// What a text field must satisfy.
#[derive(Clone, Copy, Debug)]
pub struct TextRules {
    pub required: bool,
    /// Whether surrounding white space is removed.
    pub trimmed: bool,
    pub chars_max: usize,
}

/// Returns the text; `None` if it is absent and optional.
pub fn required_or_optional_text(value: FieldValue<'_>, rules: TextRules) -> Result<Option<&str>, ValidationErrors> {
    match value {
        FieldValue::Absent if rules.required => Err(vec!["This field is required.".to_owned()]),
        FieldValue::Absent => Ok(None),
        FieldValue::Null => Err(vec!["This field may not be null.".to_owned()]),
        FieldValue::TooLong => Err(vec![too_long(rules.chars_max)]),
        FieldValue::NotText => Err(vec!["Not a valid string.".to_owned()]),
        FieldValue::Text(text) => {
            let text = if rules.trimmed { text.trim() } else { text };
            if text.is_empty() { Err(vec!["This field may not be blank.".to_owned()]) } else { Ok(Some(text)) }
        }
    }
}

fn too_long(chars_max: usize) -> String {
    format!("Ensure this field has no more than {chars_max} characters.")
}

/// Whether `text` has more than `chars_max` characters. Stops counting there.
pub(super) fn is_too_long(text: &str, chars_max: usize) -> bool {
    text.chars().nth(chars_max).is_some()
}

/// Validates length and NUL characters.
pub(crate) fn validate_common(text: &str, chars_max: usize) -> ValidationErrors {
    let mut errors = ValidationErrors::new();
    if is_too_long(text, chars_max) {
        errors.push(too_long(chars_max));
    }
    if text.contains('\0') {
        errors.push("Null characters are not allowed.".to_owned());
    }
    errors
}

/// Whether a character shows nothing: white space, a control character, or one that is ignored by default (Unicode Standard,
/// section 5.21), such as a zero-width space.
pub(super) fn is_invisible(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control() || is_ignorable(letter)
}

/// Whether a character is ignored by default in display.
pub(super) fn is_ignorable(letter: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(letter)
}

/// Returns the value unless there are errors.
pub(super) fn ok_or_errors<T>(errors: ValidationErrors, value: impl FnOnce() -> T) -> Result<T, ValidationErrors> {
    if errors.is_empty() { Ok(value()) } else { Err(errors) }
}
