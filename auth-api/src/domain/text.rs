//! What all text fields have in common.

use super::Refusal;

/// A text field as the client sent it, before its content is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented<'a> {
    /// The key is not there.
    Absent,
    /// JSON `null`.
    Null,
    /// A text, or a JSON number by its digits.
    Text(&'a str),
    /// A text that is longer than any field may be; it was dropped unread.
    TooLong,
    /// Anything else: a list, an object, a boolean, a file.
    NotText,
}

/// How a text field is read.
#[derive(Clone, Copy, Debug)]
pub struct TextField {
    /// Whether its absence is an error.
    pub required: bool,
    /// Whether surrounding white space is removed.
    pub trimmed: bool,
    /// Longest text, in characters.
    pub chars_max: usize,
}

/// The text that was sent: `None` where it is absent and not required.
pub fn present(presented: Presented<'_>, field: TextField) -> Result<Option<&str>, Refusal> {
    match presented {
        Presented::Absent if field.required => Err(vec!["This field is required.".to_owned()]),
        Presented::Absent => Ok(None),
        Presented::Null => Err(vec!["This field may not be null.".to_owned()]),
        Presented::TooLong => Err(vec![too_long(field.chars_max)]),
        Presented::NotText => Err(vec!["Not a valid string.".to_owned()]),
        Presented::Text(text) => {
            let text = if field.trimmed { text.trim() } else { text };
            if text.is_empty() { Err(vec!["This field may not be blank.".to_owned()]) } else { Ok(Some(text)) }
        }
    }
}

fn too_long(chars_max: usize) -> String {
    format!("Ensure this field has no more than {chars_max} characters.")
}

/// Whether `text` has more than `chars_max` characters. Looks at no more of it.
pub(super) fn is_too_long(text: &str, chars_max: usize) -> bool {
    text.chars().nth(chars_max).is_some()
}

/// Sentences on length (in characters) and NUL, which every text field has.
pub(super) fn common_faults(text: &str, chars_max: usize) -> Refusal {
    let mut faults = Refusal::new();
    if is_too_long(text, chars_max) {
        faults.push(too_long(chars_max));
    }
    if text.contains('\0') {
        faults.push("Null characters are not allowed.".to_owned());
    }
    faults
}

/// The value, unless there are faults.
pub(super) fn unless_faulty<T>(faults: Refusal, value: impl FnOnce() -> T) -> Result<T, Refusal> {
    if faults.is_empty() { Ok(value()) } else { Err(faults) }
}
