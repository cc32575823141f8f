//! A text as it stands in JSON, read piece by piece: a long one need not be copied to be understood.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Read};

use memchr::memchr;

/// A JSON string (RFC 8259, section 7) with its quotes and its escapes, known to be well-formed but for lone surrogates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EscapedText<'a>(&'a str);

impl<'a> EscapedText<'a> {
    /// `None` if it is not in quotes.
    pub fn of(quoted: &'a str) -> Option<Self> {
        (quoted.len() >= 2 && quoted.starts_with('"') && quoted.ends_with('"')).then_some(Self(quoted))
    }

    /// Its length with quotes and escapes, in bytes: no less than that of the text itself.
    pub fn len_bytes(self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing between the quotes.
    pub fn is_empty(self) -> bool {
        self.0 == "\"\""
    }

    /// The text. It is copied where it has escapes; `None` if they make no text.
    pub fn text(self) -> Option<Cow<'a, str>> {
        let inside = self.inside();
        if inside.contains('\\') {
            serde_json::from_str(self.0).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inside))
        }
    }

    /// Reads the bytes of a text of ASCII characters, and fails at any other.
    pub fn ascii(self) -> Ascii<'a> {
        Ascii(self.inside().as_bytes())
    }

    fn inside(self) -> &'a str {
        self.0.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default()
    }
}

/// What is left to be read. It reads single bytes as quickly as many.
#[derive(Clone, Copy, Debug)]
pub struct Ascii<'a>(&'a [u8]);

impl Read for Ascii<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let run = memchr(b'\\', self.0).unwrap_or(self.0.len());
        if let Some((run, left)) = self.0.split_at_checked(run.min(out.len()))
            && !run.is_empty()
        {
            let Some(out) = out.get_mut(..run.len()) else { return Ok(0) };
            out.copy_from_slice(run);
            self.0 = left;
            return Ok(run.len());
        }
        let (Some(out), [b'\\', escape @ ..]) = (out.first_mut(), self.0) else { return Ok(0) };
        let (byte, left) = unescaped(escape).ok_or(ErrorKind::InvalidData)?;
        *out = byte;
        self.0 = left;
        Ok(1)
    }
}

/// What stands behind a backslash, and what comes after.
fn unescaped(escape: &[u8]) -> Option<(u8, &[u8])> {
    let (kind, left) = escape.split_first()?;
    let byte = match kind {
        b'"' | b'\\' | b'/' => *kind,
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'f' => 12,
        b'r' => b'\r',
        b'u' => {
            let (digits, left) = left.split_at_checked(4)?;
            let code = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().filter(u8::is_ascii)?;
            return Some((code, left));
        }
        _ => return None,
    };
    Some((byte, left))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(quoted: &str) -> Option<String> {
        let mut text = String::new();
        EscapedText::of(quoted)?.ascii().read_to_string(&mut text).ok().map(|_| text)
    }

    #[test]
    fn every_escape_is_read_as_json_has_it() {
        let quoted = r#""\u0061b\/c\\d\"e\n\r\t\b\f\u002B\u002f""#;
        let text = EscapedText::of(quoted).unwrap().text().unwrap();
        assert_eq!(read(quoted).unwrap(), text);
        assert_eq!(text, "ab/c\\d\"e\n\r\t\u{8}\u{c}+/");
        assert_eq!(read(r#""plain""#).unwrap(), "plain");
        assert_eq!(read(r#""""#).unwrap(), "");
    }

    #[test]
    fn what_is_not_ascii_is_not_read() {
        assert_eq!(read(r#""\u00e9""#), None);
        assert_eq!(read(r#""\ud83d\ude00""#), None);
        assert_eq!(EscapedText::of(r#""\ud800""#).unwrap().text(), None);
        assert_eq!(EscapedText::of("12"), None);
        assert_eq!(EscapedText::of("\""), None);
    }
}
