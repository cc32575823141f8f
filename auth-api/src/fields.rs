//! The fields of a body: JSON, a form or a multipart form, all three on every endpoint that takes one.
//!
//! Only the fields that an endpoint names are kept; unknown keys are ignored. What can be understood in two ways (a key
//! twice, text that is not UTF-8) is refused as a whole. Parsing is linear in the size of the body, and a body above
//! [`INLINE_BYTES_MAX`] is parsed on the threads of [`Parsers`], never on one that serves sockets.

mod form;
mod json;
mod multipart;

use bytes::Bytes;
use mime::Mime;
use shared::http::body::{BodyLimits, BodyReader, BufferedBody};
use shared::http::{Problem, excerpt};
use shared::worker_pool::{Overload, Workers, WorkersConfig};
use tokio::runtime::Handle;

use crate::domain::{EscapedText, PictureSource, Presented};
use crate::error::{Error, FieldErrors};

/// The names of the fields that an endpoint takes.
pub type Names = &'static [&'static str];

/// The field that holds a picture, wherever there is one.
pub const PICTURE: &str = "profile_pic";

/// Keys and parts in one body, known or not.
const FIELDS_MAX: usize = 1000;

/// Longest text of a field, in bytes: four times the longest valid one, a password of 1,024 characters, to leave room for white
/// space that is trimmed. A longer text is dropped here, so that no other code ever looks at it.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Largest body that is parsed on the thread that received it, in bytes: less than 1 ms of work.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// A field as it was sent.
#[derive(Clone, Debug)]
enum Value {
    /// JSON `null`.
    Null,
    /// A JSON string or number.
    JsonText(String),
    /// The JSON string of [`PICTURE`], with its quotes, where it is short enough to be a link.
    JsonPicture(String),
    /// A form's value.
    FormText(String),
    /// A file of a multipart form, or a picture that was decoded from base64.
    File(Bytes),
    /// A text above [`TEXT_BYTES_MAX`].
    TooLong,
    /// A JSON boolean, list or object.
    Other,
}

/// The fields of a body, with the body's permit for memory.
#[derive(Debug, Default)]
pub struct Fields {
    values: Vec<(&'static str, Value)>,
    _body: Option<BufferedBody>,
}

/// Why a body has no fields.
enum Unreadable {
    /// The body can't be parsed; the reason follows "JSON parse error - " and the like.
    Body(String),
    /// It is JSON, but no object; with the name that Python has for what it is.
    NotAnObject(&'static str),
}

/// Bodies that wait to be parsed; past it the response is 503 at once.
const QUEUE_MAX: usize = 256;

/// The threads that parse large bodies: bounded in number and in queue, see [`shared::worker_pool`].
#[derive(Clone, Debug)]
pub struct Parsers(Workers<()>);

impl Parsers {
    /// Starts a thread for each core. A body waits for one as long as it may take to arrive.
    pub fn start(limits: &BodyLimits) -> std::io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let config = WorkersConfig { threads, queue_max: QUEUE_MAX, queue_timeout: limits.timeout };
        Workers::start("parsing", &config, || ()).map(Self)
    }

    /// Parses the fields of `names`.
    async fn parse(&self, body: BufferedBody, names: Names) -> Result<Fields, Error> {
        if body.bytes.len() <= INLINE_BYTES_MAX {
            return parse(body, names).await;
        }
        let runtime = Handle::current();
        // Only `multer` is asynchronous, and all of the body has arrived: nothing here waits.
        match self.0.run(move |()| runtime.block_on(parse(body, names))).await {
            Ok(fields) => fields,
            Err(Overload::Panicked) => Err(Error::Internal("parsing a body panicked".to_owned())),
            Err(overload) => Err(Error::Busy(overload)),
        }
    }
}

/// What a body may cost to receive and to parse. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bodies {
    limits: BodyLimits,
    parsers: Parsers,
}

impl Bodies {
    /// Starts the threads that parse.
    pub fn start(limits: BodyLimits) -> std::io::Result<Self> {
        Ok(Self { parsers: Parsers::start(&limits)?, limits })
    }

    /// Receives a body of at most `limit_bytes` (else 413) and reads the fields of `names`.
    pub async fn read(&self, body: BodyReader, limit_bytes: usize, names: Names) -> Result<Fields, Error> {
        let body = body.read(limit_bytes, &self.limits).await?;
        self.parsers.parse(body, names).await
    }
}

async fn parse(mut body: BufferedBody, names: Names) -> Result<Fields, Error> {
    if body.bytes.is_empty() {
        return Ok(Fields::default());
    }
    let unsupported = || Problem::unsupported_media_type(&body.content_type);
    let media_type: Mime = body.content_type.parse().map_err(|_| unsupported())?;
    let is_utf8 = media_type.get_param(mime::CHARSET).is_none_or(|charset| charset == mime::UTF_8);
    let (kind, fields) = match (media_type.type_().as_str(), media_type.subtype().as_str()) {
        ("application", "json") if is_utf8 => ("JSON", json::read(&body.bytes, names)),
        ("application", "x-www-form-urlencoded") if is_utf8 => ("Form", form::read(&body.bytes, names)),
        ("multipart", "form-data") => {
            let boundary = media_type.get_param(mime::BOUNDARY).map(|boundary| boundary.as_str().to_owned());
            ("Multipart form", multipart::read(std::mem::take(&mut body.bytes), boundary, names).await)
        }
        _ => return Err(unsupported().into()),
    };
    // What is kept of it has been copied; its permit covers the copy.
    body.bytes = Bytes::new();
    match fields {
        Ok(fields) => Ok(Fields { _body: Some(body), ..fields }),
        Err(Unreadable::Body(reason)) => Err(Problem::bad_request(format!("{kind} parse error - {reason}")).into()),
        Err(Unreadable::NotAnObject(what)) => Err(not_an_object(what)),
    }
}

fn not_an_object(what: &str) -> Error {
    let message = match what {
        "NoneType" => "No data provided".to_owned(),
        _ => format!("Invalid data. Expected a dictionary, but got {what}."),
    };
    Error::Fields(FieldErrors::of("non_field_errors", &message))
}

impl Fields {
    /// Adds a field: refused if it is there already.
    fn add(&mut self, name: &'static str, value: Value) -> Result<(), Unreadable> {
        if self.values.iter().any(|(known, _)| *known == name) {
            return Err(Unreadable::Body(twice(name)));
        }
        self.values.push((name, value));
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// A field that holds text.
    pub fn text(&self, name: &str) -> Presented<'_> {
        match self.get(name) {
            None => Presented::Absent,
            Some(Value::Null) => Presented::Null,
            Some(Value::JsonText(text) | Value::FormText(text)) => Presented::Text(text),
            Some(Value::TooLong) => Presented::TooLong,
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
            Some(Value::JsonPicture(text)) => {
                EscapedText::of(text).map_or(PictureSource::Other, PictureSource::JsonText)
            }
            Some(Value::JsonText(_) | Value::TooLong | Value::Other) => PictureSource::Other,
        }
    }
}

/// A text of a field, dropped where it is longer than any field may be.
fn bounded(text: impl Into<String> + AsRef<str>, value: fn(String) -> Value) -> Value {
    if text.as_ref().len() > TEXT_BYTES_MAX { Value::TooLong } else { value(text.into()) }
}

/// The name as one of `names`, if the endpoint takes it.
fn known(names: Names, name: &str) -> Option<&'static str> {
    names.iter().find(|known| **known == name).copied()
}

fn twice(name: &str) -> String {
    format!("the key \"{}\" is there twice", excerpt(name))
}

fn too_many() -> String {
    format!("more than {FIELDS_MAX} fields")
}

#[cfg(test)]
mod tests;
