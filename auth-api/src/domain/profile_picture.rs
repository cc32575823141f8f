//! The profile picture field. media-server verifies the image.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;

use super::escaped::EscapedText;
use super::text::ValidationErrors;

/// The value of the field.
#[derive(Clone, Debug)]
pub enum PictureValue<'a> {
    /// No field, or a form's file input without a chosen file.
    Absent,
    /// JSON `null`.
    Null,
    /// A file part of a form, or a JSON string decoded from base64.
    File(Bytes),
    FormText(&'a str),
    /// A JSON string of up to [`LINK_BYTES_MAX`] with quotes and escapes.
    JsonText(EscapedText<'a>),
    Other,
}

/// The requested change of the picture.
#[derive(Clone, PartialEq, Eq)]
pub enum PictureChange {
    Keep,
    Remove,
    /// Bytes that media-server has yet to verify.
    Replace(Bytes),
}

impl PictureChange {
    /// Parses the field. `is_current` returns whether a text is the link to the user's current picture.
    pub fn parse(value: PictureValue<'_>, is_current: impl Fn(&str) -> bool) -> Result<Self, ValidationErrors> {
        let not_a_file = "The submitted data was not a file. Check the encoding type on the form.";
        match value {
            PictureValue::Absent => Ok(Self::Keep),
            PictureValue::Null | PictureValue::FormText("") => Ok(Self::Remove),
            PictureValue::JsonText(text) if text.is_empty() => Ok(Self::Remove),
            PictureValue::FormText(text) if is_current(text) => Ok(Self::Keep),
            PictureValue::JsonText(text) if text.text().is_some_and(|text| is_current(&text)) => Ok(Self::Keep),
            PictureValue::File(bytes) => Self::new(bytes),
            PictureValue::JsonText(text) => match decode_base64(text) {
                Some(bytes) => Self::new(bytes),
                None => Err(vec![not_a_file.to_owned()]),
            },
            PictureValue::FormText(_) | PictureValue::Other => Err(vec![not_a_file.to_owned()]),
        }
    }

    fn new(bytes: Bytes) -> Result<Self, ValidationErrors> {
        if bytes.is_empty() { Err(vec!["The submitted file is empty.".to_owned()]) } else { Ok(Self::Replace(bytes)) }
    }
}

/// Longest link to a picture, in bytes.
pub const LINK_BYTES_MAX: usize = 4096;

/// Longest prefix of a data URL, in bytes.
const DATA_URL_PREFIX_BYTES_MAX: u64 = 256;

/// Size of the buffer for encoded base64, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// Decodes padded base64, optionally in a `data:image/…;base64,` URL (RFC 2397); skips line breaks. Takes linear time, and the
/// memory of the decoded bytes and one chunk.
pub(crate) fn decode_base64(text: EscapedText<'_>) -> Option<Bytes> {
    let mut text_bytes = text.ascii();
    let mut start = Vec::new();
    text_bytes.by_ref().take(DATA_URL_PREFIX_BYTES_MAX).read_to_end(&mut start).ok()?;
    let mut data = start.as_slice();
    if let Some(comma) = start.iter().position(|byte| *byte == b',') {
        let (prefix, rest) = start.split_at_checked(comma)?;
        prefix.strip_prefix(b"data:image/")?.strip_suffix(b";base64")?;
        data = rest.strip_prefix(b",")?;
    }
    let mut reader = data.chain(text_bytes);
    let mut decoded = Vec::with_capacity(base64::decoded_len_estimate(text.len_bytes()));
    let mut encoded = Vec::with_capacity(CHUNK_BYTES);
    loop {
        let free = (CHUNK_BYTES - encoded.len()) as u64;
        if reader.by_ref().take(free).read_to_end(&mut encoded).ok()? == 0 {
            break;
        }
        if memchr::memchr2(b'\r', b'\n', &encoded).is_some() {
            encoded.retain(|byte| !matches!(byte, b'\r' | b'\n'));
        }
        // The last four characters may be padded.
        let (whole, last) = encoded.split_at(encoded.len().saturating_sub(1) / 4 * 4);
        STANDARD_NO_PAD.decode_vec(whole, &mut decoded).ok()?;
        let last = last.to_vec();
        encoded.clear();
        encoded.extend(last);
    }
    STANDARD.decode_vec(&encoded, &mut decoded).ok()?;
    Some(decoded.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(quoted: &str) -> PictureValue<'_> {
        PictureValue::JsonText(EscapedText::new(quoted).unwrap())
    }

    fn parse(value: PictureValue<'_>) -> Result<PictureChange, ValidationErrors> {
        PictureChange::parse(value, |text| text == "http://localhost/a.jpg")
    }

    #[test]
    fn file_base64_and_data_url_are_accepted() {
        let bytes = Bytes::from_static(b"\xff\xd8\xff");
        for value in [
            PictureValue::File(bytes.clone()),
            json(r#""/9j/""#),
            json(r#""\/9\r\nj\u002f\n""#),
            json(r#""data:image/jpeg;base64,/9j/""#),
            json(r#""data:image\/jpeg;base64,\n\/9j\/""#),
        ] {
            assert!(parse(value).is_ok_and(|picture| picture == PictureChange::Replace(bytes.clone())));
        }
    }

    #[test]
    fn base64_round_trips_at_any_length_and_line_length() {
        use base64::Engine as _;
        for length in [1_usize, 2, 3, 255, 256, 257, 1023, 1024, 1025, 100_000] {
            let bytes: Vec<u8> = (0..length).map(|number| u8::try_from(number * 7 % 251).unwrap()).collect();
            let encoded = STANDARD.encode(&bytes);
            for line in [1, 3, 4, 76, 1_000_000] {
                let lines: Vec<&str> =
                    encoded.as_bytes().chunks(line).map(|l| std::str::from_utf8(l).unwrap()).collect();
                for (prefix, end) in [("", "\\n"), ("data:image/png;base64,", "\\r\\n")] {
                    let quoted = format!("\"{prefix}{}\"", lines.join(end).replace('/', "\\/"));
                    assert_eq!(decode_base64(EscapedText::new(&quoted).unwrap()).unwrap(), bytes, "{length} {line}");
                }
            }
        }
    }

    #[test]
    fn other_texts_are_rejected() {
        for value in [
            PictureValue::FormText("/9j/"),
            json(r#""data:text/html;base64,/9j/""#),
            json(r#""http://localhost/b.jpg""#),
            json(r#""/9j/,/9j/""#),
            json(r#""/9j""#),
            json(r#""/9j=/9j/""#),
            json(r#""/9==/9j/""#),
            json(r#""/9j/\u00e9""#),
            json(r#""/9j/\ud800""#),
            PictureValue::Other,
        ] {
            assert!(parse(value).is_err_and(|errors| errors[0].starts_with("The submitted data was not a file.")));
        }
        let empty = parse(PictureValue::File(Bytes::new())).err().unwrap();
        assert_eq!(empty, ["The submitted file is empty."]);
    }

    #[test]
    fn null_and_empty_remove_the_picture_and_the_current_link_keeps_it() {
        assert!(parse(PictureValue::Null).is_ok_and(|picture| picture == PictureChange::Remove));
        assert!(parse(PictureValue::FormText("")).is_ok_and(|picture| picture == PictureChange::Remove));
        assert!(parse(PictureValue::Absent).is_ok_and(|picture| picture == PictureChange::Keep));
        assert!(parse(json("\"\"")).is_ok_and(|picture| picture == PictureChange::Remove));
        for link in [
            PictureValue::FormText("http://localhost/a.jpg"),
            json(r#""http://localhost/a.jpg""#),
            json(r#""http:\/\/localhost\/a.jpg""#),
        ] {
            assert!(parse(link).is_ok_and(|picture| picture == PictureChange::Keep));
        }
    }
}
