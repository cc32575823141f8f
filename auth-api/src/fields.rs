//! The fields of a body: JSON, a form or a multipart form, all three on every endpoint that takes one.
//!
//! Only the fields that an endpoint names are kept; unknown keys are ignored. What can be understood in two ways (a key
//! twice, text that is not UTF-8) is refused as a whole.

mod form;
mod json;
mod multipart;

use std::borrow::Cow;

use bytes::Bytes;
use mime::Mime;
use shared::http::Problem;
use shared::http::body::Received;

use crate::domain::{EscapedText, PictureSource, Presented};
use crate::error::Error;

/// The names of the fields that an endpoint takes.
pub type Names = &'static [&'static str];

/// The field that holds a picture, wherever there is one.
pub const PICTURE: &str = "profile_pic";

/// Keys and parts in one body, known or not.
const FIELDS_MAX: usize = 1000;

/// A field as it was sent.
#[derive(Clone, Debug)]
enum Value<'a> {
    /// JSON `null`.
    Null,
    /// A JSON string or number.
    JsonText(Cow<'a, str>),
    /// The JSON string of [`PICTURE`], which may be long.
    JsonPicture(EscapedText<'a>),
    /// A form's value.
    FormText(Cow<'a, str>),
    /// A file of a multipart form.
    File(Bytes),
    /// A JSON boolean, list or object.
    Other,
}

/// The fields of a body.
#[derive(Debug, Default)]
pub struct Fields<'a>(Vec<(&'static str, Value<'a>)>);

/// Why a body has no fields.
enum Unreadable {
    /// The whole is not understood; the text is told after "JSON parse error - " and the like.
    Body(String),
    /// It is JSON, but no object; with the name that Python has for what it is.
    NotAnObject(&'static str),
}

/// Reads the fields of `names` in a body.
pub async fn read(received: &Received, names: Names) -> Result<Fields<'_>, Error> {
    if received.bytes.is_empty() {
        return Ok(Fields::default());
    }
    let unsupported = || Problem::unsupported_media_type(&received.content_type);
    let media_type: Mime = received.content_type.parse().map_err(|_| unsupported())?;
    let is_utf8 = media_type.get_param(mime::CHARSET).is_none_or(|charset| charset == mime::UTF_8);
    let (kind, fields) = match (media_type.type_().as_str(), media_type.subtype().as_str()) {
        ("application", "json") if is_utf8 => ("JSON", json::read(&received.bytes, names)),
        ("application", "x-www-form-urlencoded") if is_utf8 => ("Form", form::read(&received.bytes, names)),
        ("multipart", "form-data") => {
            let boundary = media_type.get_param(mime::BOUNDARY).map(|boundary| boundary.as_str().to_owned());
            ("Multipart form", multipart::read(received.bytes.clone(), boundary, names).await)
        }
        _ => return Err(unsupported().into()),
    };
    fields.map_err(|unreadable| match unreadable {
        Unreadable::Body(why) => Problem::bad_request(format!("{kind} parse error - {why}")).into(),
        Unreadable::NotAnObject(what) => not_an_object(what),
    })
}

fn not_an_object(what: &str) -> Error {
    let sentence = match what {
        "NoneType" => "No data provided".to_owned(),
        _ => format!("Invalid data. Expected a dictionary, but got {what}."),
    };
    Error::Fields(crate::error::FieldErrors::of("non_field_errors", &sentence))
}

impl<'a> Fields<'a> {
    /// Adds a field: refused if it is there already.
    fn add(&mut self, name: &'static str, value: Value<'a>) -> Result<(), Unreadable> {
        if self.0.iter().any(|(known, _)| *known == name) {
            return Err(Unreadable::Body(twice(name)));
        }
        self.0.push((name, value));
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// A field that holds text.
    pub fn text(&self, name: &str) -> Presented<'_> {
        match self.get(name) {
            None => Presented::Absent,
            Some(Value::Null) => Presented::Null,
            Some(Value::JsonText(text) | Value::FormText(text)) => Presented::Text(text),
            Some(Value::JsonPicture(_) | Value::File(_) | Value::Other) => Presented::NotText,
        }
    }

    /// The field that holds a picture.
    pub fn picture(&self) -> PictureSource<'_> {
        match self.get(PICTURE) {
            None => PictureSource::Absent,
            Some(Value::Null) => PictureSource::Null,
            Some(Value::File(bytes)) => PictureSource::File(bytes.clone()),
            Some(Value::FormText(text)) => PictureSource::FormText(text),
            Some(Value::JsonPicture(text)) => PictureSource::JsonText(*text),
            Some(Value::JsonText(_) | Value::Other) => PictureSource::Other,
        }
    }
}

/// The name as one of `names`, if the endpoint takes it.
fn known(names: Names, name: &str) -> Option<&'static str> {
    names.iter().find(|known| **known == name).copied()
}

fn twice(name: &str) -> String {
    format!("the key \"{name}\" is there twice")
}

fn too_many() -> String {
    format!("more than {FIELDS_MAX} fields")
}
