//! A profile picture as a client sends it. Whether it is a picture is media-server's to say.

use std::borrow::Cow;
use std::io::{self, Read};

use base64::engine::general_purpose::STANDARD;
use base64::read::DecoderReader;
use bytes::Bytes;

use super::{EscapedText, Refusal};

/// Where the value comes from.
#[derive(Clone, Debug)]
pub enum PictureSource<'a> {
    /// The key is not there, or it is a form's file input in which no file was chosen.
    Absent,
    /// JSON `null`.
    Null,
    /// A file part of a form.
    File(Bytes),
    /// A text of a form.
    FormText(&'a str),
    /// A JSON string.
    JsonText(EscapedText<'a>),
    /// Anything else.
    Other,
}

/// What shall become of the picture.
#[derive(Clone, PartialEq, Eq)]
pub enum Picture {
    /// It stays as it is.
    Unchanged,
    /// There shall be none.
    None,
    /// These bytes, once media-server has found them to be a picture.
    New(Bytes),
}

impl Picture {
    /// Parses what was sent. `is_current` tells whether a text is the link that the user's answer holds now.
    pub fn parse(source: PictureSource<'_>, is_current: impl Fn(&str) -> bool) -> Result<Self, Refusal> {
        let not_a_file = "The submitted data was not a file. Check the encoding type on the form.";
        match source {
            PictureSource::Absent => Ok(Self::Unchanged),
            PictureSource::Null | PictureSource::FormText("") => Ok(Self::None),
            PictureSource::JsonText(text) if text.is_empty() => Ok(Self::None),
            PictureSource::FormText(text) if is_current(text) => Ok(Self::Unchanged),
            PictureSource::JsonText(text) if link(text).is_some_and(|text| is_current(&text)) => Ok(Self::Unchanged),
            PictureSource::File(bytes) => Self::new(bytes),
            PictureSource::JsonText(text) => match from_base64(text) {
                Some(bytes) => Self::new(bytes),
                None => Err(vec![not_a_file.to_owned()]),
            },
            PictureSource::FormText(_) | PictureSource::Other => Err(vec![not_a_file.to_owned()]),
        }
    }

    fn new(bytes: Bytes) -> Result<Self, Refusal> {
        if bytes.is_empty() { Err(vec!["The submitted file is empty.".to_owned()]) } else { Ok(Self::New(bytes)) }
    }
}

/// No link is longer, in bytes.
const LINK_BYTES_MAX: usize = 4096;

/// A text that may be a link.
fn link(text: EscapedText<'_>) -> Option<Cow<'_, str>> {
    if text.len_bytes() <= LINK_BYTES_MAX { text.text() } else { None }
}

/// No data URL has more before its data, in bytes.
const DATA_URL_PREFIX_BYTES_MAX: u64 = 256;

/// Base64 with padding, bare or as a `data:image/…;base64,` URL (RFC 2397); line breaks inside are left out. It is decoded
/// as it is read: beside the body there is what comes of it, and nothing else.
fn from_base64(text: EscapedText<'_>) -> Option<Bytes> {
    let mut text_bytes = text.ascii();
    let mut start = Vec::new();
    text_bytes.by_ref().take(DATA_URL_PREFIX_BYTES_MAX).read_to_end(&mut start).ok()?;
    let mut encoded = start.as_slice();
    if let Some(comma) = start.iter().position(|byte| *byte == b',') {
        let (prefix, data) = start.split_at_checked(comma)?;
        prefix.strip_prefix(b"data:image/")?.strip_suffix(b";base64")?;
        encoded = data.strip_prefix(b",")?;
    }
    let mut decoded = Vec::with_capacity(base64::decoded_len_estimate(text.len_bytes()));
    let encoded = WithoutLineBreaks(encoded.chain(text_bytes));
    DecoderReader::new(encoded, &STANDARD).read_to_end(&mut decoded).ok()?;
    Some(decoded.into())
}

struct WithoutLineBreaks<R>(R);

impl<R: Read> Read for WithoutLineBreaks<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.0.read(out)?;
            let mut kept = 0;
            for from in 0..read {
                if let Some(byte) = out.get(from).copied().filter(|byte| !matches!(byte, b'\r' | b'\n'))
                    && let Some(to) = out.get_mut(kept)
                {
                    *to = byte;
                    kept += 1;
                }
            }
            if kept > 0 || read == 0 {
                return Ok(kept);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(quoted: &str) -> PictureSource<'_> {
        PictureSource::JsonText(EscapedText::of(quoted).unwrap())
    }

    fn parse(source: PictureSource<'_>) -> Result<Picture, Refusal> {
        Picture::parse(source, |text| text == "http://localhost/a.jpg")
    }

    #[test]
    fn a_picture_comes_as_file_as_base64_or_as_data_url() {
        let bytes = Bytes::from_static(b"\xff\xd8\xff");
        for source in [
            PictureSource::File(bytes.clone()),
            json(r#""/9j/""#),
            json(r#""\/9\r\nj\u002f\n""#),
            json(r#""data:image/jpeg;base64,/9j/""#),
            json(r#""data:image\/jpeg;base64,\n\/9j\/""#),
        ] {
            assert!(parse(source).is_ok_and(|picture| picture == Picture::New(bytes.clone())));
        }
    }

    #[test]
    fn base64_of_any_length_in_lines_of_any_length_is_what_it_was() {
        use base64::Engine as _;
        for length in [1_usize, 2, 3, 255, 256, 257, 1023, 1024, 1025, 100_000] {
            let bytes: Vec<u8> = (0..length).map(|number| u8::try_from(number * 7 % 251).unwrap()).collect();
            let encoded = STANDARD.encode(&bytes);
            for line in [1, 3, 4, 76, 1_000_000] {
                let lines: Vec<&str> =
                    encoded.as_bytes().chunks(line).map(|l| std::str::from_utf8(l).unwrap()).collect();
                for (prefix, end) in [("", "\\n"), ("data:image/png;base64,", "\\r\\n")] {
                    let quoted = format!("\"{prefix}{}\"", lines.join(end).replace('/', "\\/"));
                    assert_eq!(from_base64(EscapedText::of(&quoted).unwrap()).unwrap(), bytes, "{length} {line}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_file_is_refused() {
        for source in [
            PictureSource::FormText("/9j/"),
            json(r#""data:text/html;base64,/9j/""#),
            json(r#""http://localhost/b.jpg""#),
            json(r#""/9j/,/9j/""#),
            json(r#""/9j""#),
            json(r#""/9j=/9j/""#),
            json(r#""/9==/9j/""#),
            json(r#""/9j/\u00e9""#),
            json(r#""/9j/\ud800""#),
            PictureSource::Other,
        ] {
            assert!(parse(source).is_err_and(|faults| faults[0].starts_with("The submitted data was not a file.")));
        }
        let empty = parse(PictureSource::File(Bytes::new())).err().unwrap();
        assert_eq!(empty, ["The submitted file is empty."]);
    }

    #[test]
    fn null_and_empty_take_it_away_and_the_present_link_leaves_it() {
        assert!(parse(PictureSource::Null).is_ok_and(|picture| picture == Picture::None));
        assert!(parse(PictureSource::FormText("")).is_ok_and(|picture| picture == Picture::None));
        assert!(parse(PictureSource::Absent).is_ok_and(|picture| picture == Picture::Unchanged));
        assert!(parse(json("\"\"")).is_ok_and(|picture| picture == Picture::None));
        for link in [
            PictureSource::FormText("http://localhost/a.jpg"),
            json(r#""http://localhost/a.jpg""#),
            json(r#""http:\/\/localhost\/a.jpg""#),
        ] {
            assert!(parse(link).is_ok_and(|picture| picture == Picture::Unchanged));
        }
    }
}
