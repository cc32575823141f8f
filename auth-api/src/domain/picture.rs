//! A profile picture as a client sends it. Whether it is a picture is media-server's to say.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;

use super::{EscapedText, Refusal};

/// Where the value comes from.
#[derive(Clone, Debug)]
pub enum PictureSource<'a> {
    /// The key is not there, or it is a form's file input in which no file was chosen.
    Absent,
    /// JSON `null`.
    Null,
    /// A file part of a form, or a JSON string in base64 that has been decoded.
    File(Bytes),
    /// A text of a form.
    FormText(&'a str),
    /// A JSON string of up to [`LINK_BYTES_MAX`], quotes and escapes included.
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
            PictureSource::JsonText(text) if text.text().is_some_and(|text| is_current(&text)) => Ok(Self::Unchanged),
            PictureSource::File(bytes) => Self::new(bytes),
            PictureSource::JsonText(text) => match decode_base64(text) {
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

/// Longest link to a picture, in bytes.
pub const LINK_BYTES_MAX: usize = 4096;

/// Longest text before the data of a data URL, in bytes.
const DATA_URL_PREFIX_BYTES_MAX: u64 = 256;

/// Size of the buffer that base64 is decoded from, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// Decodes base64 with padding, bare or as a `data:image/…;base64,` URL (RFC 2397); line breaks are skipped. Linear in the size
/// of the text; memory is that of the decoded bytes and one chunk.
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
    let mut source = data.chain(text_bytes);
    let mut decoded = Vec::with_capacity(base64::decoded_len_estimate(text.len_bytes()));
    let mut encoded = Vec::with_capacity(CHUNK_BYTES);
    loop {
        let free = (CHUNK_BYTES - encoded.len()) as u64;
        if source.by_ref().take(free).read_to_end(&mut encoded).ok()? == 0 {
            break;
        }
        if memchr::memchr2(b'\r', b'\n', &encoded).is_some() {
            encoded.retain(|byte| !matches!(byte, b'\r' | b'\n'));
        }
        // The last four letters may be padded.
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
                    assert_eq!(decode_base64(EscapedText::of(&quoted).unwrap()).unwrap(), bytes, "{length} {line}");
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
