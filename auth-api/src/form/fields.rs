//! The fields of a body of any media type.

use bytes::Bytes;
use shared::http::body::BufferedBody;
use shared::http::excerpt;

use crate::domain::{
    EscapedText, FieldValue, PictureValue, TextRules, ValidationErrors, required_or_optional_text, validate_common,
};

/// The names of the fields that an endpoint reads.
pub type FieldNames = &'static [&'static str];

/// Name of the field that holds a picture.
pub const PICTURE: &str = "profile_pic";

/// Limit of keys or parts in a body, unknown ones included.
pub(super) const FIELDS_MAX: usize = 1000;

/// Limit of a text, in bytes: four times the longest valid one, a password of 1,024 characters, as room for white space that is
/// trimmed. A longer text is dropped while parsing.
pub(super) const TEXT_BYTES_MAX: usize = 16 * 1024;

/// The value of a field.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// JSON `null`.
    Null,
    /// A JSON string or number.
    JsonText(String),
    /// The JSON string of [`PICTURE`] with quotes, if it is short enough for a link.
    JsonPicture(String),
    FormText(String),
    /// A file of a multipart form, or a picture decoded from base64.
    File(Bytes),
    /// A text above [`TEXT_BYTES_MAX`].
    TooLong,
    Bool(bool),
    /// A JSON list or object.
    Other,
}

/// The fields of a body, with the body's permit of the memory budget.
#[derive(Debug, Default)]
pub struct Fields {
    values: Vec<(&'static str, Value)>,
    _body: Option<BufferedBody>,
}

/// Why a body has no fields.
pub(super) enum FormError {
    /// The reason follows "JSON parse error - " and the like.
    Syntax(String),
    /// Valid JSON, but no object; with Python's name for its type.
    NotAnObject(&'static str),
}

impl Fields {
    /// Adds a field without a check for duplicates.
    pub(super) fn push(&mut self, name: &'static str, value: Value) {
        self.values.push((name, value));
    }

    /// Adds a field; fails for a duplicate.
    pub(super) fn add(&mut self, name: &'static str, value: Value) -> Result<(), FormError> {
        if self.get(name).is_some() {
            return Err(FormError::Syntax(duplicate(name)));
        }
        self.push(name, value);
        Ok(())
    }

    /// Keeps the permit of `body` as long as the fields.
    pub(super) fn with_permit_of(self, body: BufferedBody) -> Self {
        Self { _body: Some(body), ..self }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Returns a text field.
    pub fn text(&self, name: &str) -> FieldValue<'_> {
        match self.get(name) {
            None => FieldValue::Absent,
            Some(Value::Null) => FieldValue::Null,
            Some(Value::JsonText(text) | Value::FormText(text)) => FieldValue::Text(text),
            Some(Value::TooLong) => FieldValue::TooLong,
            Some(Value::JsonPicture(_) | Value::File(_) | Value::Bool(_) | Value::Other) => FieldValue::NotText,
        }
    }

    /// Returns a required text without NUL. `chars_max` is only the limit in the message for a text that was dropped.
    pub fn required_text(&self, name: &str, trimmed: bool, chars_max: usize) -> Result<&str, ValidationErrors> {
        let rules = TextRules { required: true, trimmed, chars_max };
        let text = required_or_optional_text(self.text(name), rules)?.unwrap_or_default();
        if text.contains('\0') { Err(validate_common(text, usize::MAX)) } else { Ok(text) }
    }

    /// Returns a flag, false if it is absent; of a form, as `true` or `false`.
    pub fn flag(&self, name: &str) -> Result<bool, ValidationErrors> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(Value::FormText(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(Value::FormText(text)) if text.is_empty() || text.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(vec!["Must be a valid boolean.".to_owned()]),
        }
    }

    /// Whether the body has no fields that the endpoint reads.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns the picture field.
    pub fn picture(&self) -> PictureValue<'_> {
        match self.get(PICTURE) {
            None => PictureValue::Absent,
            Some(Value::Null) => PictureValue::Null,
            Some(Value::File(bytes)) => PictureValue::File(bytes.clone()),
            Some(Value::FormText(text)) => PictureValue::FormText(text),
            Some(Value::JsonPicture(text)) => {
                EscapedText::new(text).map_or(PictureValue::Other, PictureValue::JsonText)
            }
            Some(Value::JsonText(_) | Value::TooLong | Value::Bool(_) | Value::Other) => PictureValue::Other,
        }
    }
}

/// Drops a text above [`TEXT_BYTES_MAX`].
pub(super) fn bounded(text: impl Into<String> + AsRef<str>, value: fn(String) -> Value) -> Value {
    if text.as_ref().len() > TEXT_BYTES_MAX { Value::TooLong } else { value(text.into()) }
}

/// Returns the name as one of `names`, if the endpoint reads it.
pub(super) fn known(names: FieldNames, name: &str) -> Option<&'static str> {
    names.iter().find(|known| **known == name).copied()
}

pub(super) fn duplicate(name: &str) -> String {
    format!("the key \"{}\" is there twice", excerpt(name))
}

pub(super) fn too_many_fields() -> String {
    format!("more than {FIELDS_MAX} fields")
}
