//! A profile picture as a client sends it. Whether it is a picture is media-server's to say.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::Refusal;

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
    JsonText(&'a str),
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
            PictureSource::Null | PictureSource::FormText("") | PictureSource::JsonText("") => Ok(Self::None),
            PictureSource::FormText(text) | PictureSource::JsonText(text) if is_current(text) => Ok(Self::Unchanged),
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

/// Base64 with padding, bare or as a `data:image/…;base64,` URL (RFC 2397); line breaks inside are left out.
fn from_base64(text: &str) -> Option<Bytes> {
    let encoded = match text.split_once(',') {
        Some((prefix, encoded)) => {
            prefix.strip_prefix("data:image/")?.strip_suffix(";base64")?;
            encoded
        }
        None => text,
    };
    if encoded.contains(['\r', '\n']) {
        let joined: String = encoded.split(['\r', '\n']).collect();
        return STANDARD.decode(joined).ok().map(Bytes::from);
    }
    STANDARD.decode(encoded).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(source: PictureSource<'_>) -> Result<Picture, Refusal> {
        Picture::parse(source, |text| text == "http://localhost/a.jpg")
    }

    #[test]
    fn a_picture_comes_as_file_as_base64_or_as_data_url() {
        let bytes = Bytes::from_static(b"\xff\xd8\xff");
        for source in [
            PictureSource::File(bytes.clone()),
            PictureSource::JsonText("/9j/"),
            PictureSource::JsonText("/9\nj/"),
            PictureSource::JsonText("data:image/jpeg;base64,/9j/"),
        ] {
            assert!(parse(source).is_ok_and(|picture| picture == Picture::New(bytes.clone())));
        }
    }

    #[test]
    fn what_is_no_file_is_refused() {
        for source in [
            PictureSource::FormText("/9j/"),
            PictureSource::JsonText("data:text/html;base64,/9j/"),
            PictureSource::JsonText("http://localhost/b.jpg"),
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
        let link = PictureSource::FormText("http://localhost/a.jpg");
        assert!(parse(link).is_ok_and(|picture| picture == Picture::Unchanged));
    }
}
