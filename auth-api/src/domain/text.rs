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
    /// Anything else: a list, an object, a boolean, a file.
    NotText,
}

/// The text that was sent: `None` where it is absent and may be (`required` is false).
///
/// `trim`: whether white space around it goes before it is looked at.
pub fn present(presented: Presented<'_>, required: bool, trim: bool) -> Result<Option<&str>, Refusal> {
    match presented {
        Presented::Absent if required => Err(vec!["This field is required.".to_owned()]),
        Presented::Absent => Ok(None),
        Presented::Null => Err(vec!["This field may not be null.".to_owned()]),
        Presented::NotText => Err(vec!["Not a valid string.".to_owned()]),
        Presented::Text(text) => {
            let text = if trim { text.trim() } else { text };
            if text.is_empty() { Err(vec!["This field may not be blank.".to_owned()]) } else { Ok(Some(text)) }
        }
    }
}

/// Sentences on length (in characters) and NUL, which every text field has.
pub(super) fn common_faults(text: &str, chars_max: usize) -> Refusal {
    let mut faults = Refusal::new();
    if text.chars().nth(chars_max).is_some() {
        faults.push(format!("Ensure this field has no more than {chars_max} characters."));
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
