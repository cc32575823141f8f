//! `multipart/form-data` (RFC 7578).

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use memchr::memmem;
use multer::Multipart;

use super::fields::{FIELDS_MAX, FieldNames, Fields, FormError, PICTURE, Value, bounded, known, too_many_fields};

pub(super) async fn read(bytes: Bytes, boundary: Option<String>, names: FieldNames) -> Result<Fields, FormError> {
    // Django's message.
    let boundary = boundary
        .filter(|boundary| is_boundary(boundary))
        .ok_or_else(|| FormError::Syntax("Invalid boundary in multipart: None".to_owned()))?;
    if has_long_header(&bytes, &boundary) {
        return Err(FormError::Syntax(format!("a part with a header of more than {HEADER_BYTES_MAX} bytes")));
    }
    let mut parts = Multipart::new(stream::iter([Ok::<_, Infallible>(bytes)]), boundary);
    let mut fields = Fields::default();
    for _ in 0..=FIELDS_MAX {
        let Some(part) = parts.next_field().await.map_err(syntax_error)? else { return Ok(fields) };
        let name = part.name().and_then(|name| known(names, name));
        let file_name = part.file_name().map(ToOwned::to_owned);
        let bytes = part.bytes().await.map_err(syntax_error)?;
        let Some(name) = name else { continue };
        match file_name {
            // A browser's file input without a chosen file.
            Some(file_name) if file_name.is_empty() && bytes.is_empty() => {}
            Some(_) => fields.add(name, Value::File(bytes))?,
            None => fields.add(name, text(name, &bytes)?)?,
        }
    }
    Err(FormError::Syntax(too_many_fields()))
}

/// Longest header of a part, in bytes: `multer` has no limit, and unescapes names one character at a time.
const HEADER_BYTES_MAX: usize = 8 * 1024;

/// Whether the header of a part, within the limit of fields, is longer than [`HEADER_BYTES_MAX`].
fn has_long_header(body: &[u8], boundary: &str) -> bool {
    let delimiter = format!("\r\n--{boundary}");
    let later = memmem::find_iter(body, &delimiter).map(|start| start + delimiter.len());
    // The first part may lack the line break before it.
    let first = body.starts_with(delimiter.trim_start().as_bytes()).then_some(delimiter.len() - 2);
    first.into_iter().chain(later).take(FIELDS_MAX + 1).any(|start| {
        let header = body.get(start..).and_then(|rest| rest.get(..HEADER_BYTES_MAX));
        header.is_some_and(|header| !header.starts_with(b"--") && memmem::find(header, b"\r\n\r\n").is_none())
    })
}

/// Whether the boundary has an acceptable length: RFC 2046, section 5.1.1, allows 70 characters; more are harmless.
fn is_boundary(boundary: &str) -> bool {
    (1..=1024).contains(&boundary.len())
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn syntax_error(error: multer::Error) -> FormError {
    FormError::Syntax(error.to_string())
}

fn text(name: &str, bytes: &[u8]) -> Result<Value, FormError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(bounded(text, Value::FormText)),
        // A picture in a part without a file name: an error of the field, not of the form.
        Err(_) if name == PICTURE => Ok(Value::Other),
        Err(_) => Err(FormError::Syntax(format!("invalid UTF-8 in \"{name}\""))),
    }
}
