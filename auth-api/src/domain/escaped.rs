//! A JSON string with its escapes, decoded while reading: a long one is never copied as a whole.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Read};

use memchr::memchr;

/// A JSON string (RFC 8259, section 7) with quotes and escapes, well-formed except for lone surrogates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EscapedText<'a>(&'a str);

impl<'a> EscapedText<'a> {
    /// Returns `None` without quotes.
    pub fn new(quoted: &'a str) -> Option<Self> {
        (quoted.len() >= 2 && quoted.starts_with('"') && quoted.ends_with('"')).then_some(Self(quoted))
    }

    /// Returns the length with quotes and escapes, in bytes: an upper bound of the text's length.
    pub fn len_bytes(self) -> usize {
        self.0.len()
    }

    /// Whether the string is empty.
    pub fn is_empty(self) -> bool {
        self.0 == "\"\""
    }

    /// Returns the text, copied if it has escapes; `None` if they are invalid.
    pub fn text(self) -> Option<Cow<'a, str>> {
        let inside = self.inside();
        if inside.contains('\\') {
            serde_json::from_str(self.0).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inside))
        }
    }

    /// Returns a reader of the text, which fails at a character outside of ASCII.
    pub fn ascii(self) -> Ascii<'a> {
        Ascii(self.inside().as_bytes())
    }

    fn inside(self) -> &'a str {
        self.0.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default()
    }
}

/// Reader of the rest of an [`EscapedText`].
#[derive(Clone, Copy, Debug)]
pub struct Ascii<'a>(&'a [u8]);

impl Read for Ascii<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut written = 0;
        while let Some(free) = out.get_mut(written..).filter(|free| !free.is_empty()) {
            let (run, left) = self.0.split_at(unescaped_length(self.0, free.len()));
            if let Some(copied) = free.get_mut(..run.len()).filter(|copied| !copied.is_empty()) {
                copied.copy_from_slice(run);
                self.0 = left;
                written += run.len();
            } else if let ([b'\\', escape @ ..], Some(byte)) = (self.0, free.first_mut()) {
                (*byte, self.0) = unescaped(escape).ok_or(ErrorKind::InvalidData)?;
                written += 1;
            } else {
                break;
            }
        }
        Ok(written)
    }
}

/// Returns the length of the unescaped run at the start of `text`, at most `limit`. Visits no byte past the limit, so that
/// reading in small pieces stays linear.
fn unescaped_length(text: &[u8], limit: usize) -> usize {
    let window = text.get(..limit).unwrap_or(text);
    let length = memchr(b'\\', window).unwrap_or(window.len());
    #[cfg(test)]
    tests::VISITED_BYTES.set(tests::VISITED_BYTES.get() + length);
    length
}

/// Decodes the escape after a backslash; returns it with the rest.
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
            let ([b'0', b'0', high, low], left) = left.split_first_chunk()? else { return None };
            let digit = |digit: &u8| u8::try_from(char::from(*digit).to_digit(16)?).ok();
            return Some((digit(high).filter(|high| *high < 8)? * 16 + digit(low)?, left));
        }
        _ => return None,
    };
    Some((byte, left))
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        /// Bytes visited by the search for escapes on this thread.
        pub(super) static VISITED_BYTES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    /// Returns the bytes visited while reading `quoted` in pieces of `piece` bytes.
    fn visited_bytes(quoted: &str, piece: usize) -> usize {
        VISITED_BYTES.set(0);
        let (mut text, mut out) = (EscapedText::new(quoted).unwrap().ascii(), vec![0; piece]);
        while text.read(&mut out).unwrap() > 0 {}
        VISITED_BYTES.get()
    }

    #[test]
    fn reading_in_small_pieces_visits_each_byte_once() {
        let length = 1 << 20;
        for (text, expected) in [("a".repeat(length), length), ("aaa\\/".repeat(length / 5), length / 5 * 3)] {
            for piece in [1, 1024, 64 * 1024] {
                assert_eq!(visited_bytes(&format!("\"{text}\""), piece), expected, "pieces of {piece} bytes");
            }
        }
    }

    fn read(quoted: &str) -> Option<String> {
        let mut text = String::new();
        EscapedText::new(quoted)?.ascii().read_to_string(&mut text).ok().map(|_| text)
    }

    #[test]
    fn every_json_escape_is_decoded() {
        let quoted = r#""\u0061b\/c\\d\"e\n\r\t\b\f\u002B\u002f""#;
        let text = EscapedText::new(quoted).unwrap().text().unwrap();
        assert_eq!(read(quoted).unwrap(), text);
        assert_eq!(text, "ab/c\\d\"e\n\r\t\u{8}\u{c}+/");
        assert_eq!(read(r#""plain""#).unwrap(), "plain");
        assert_eq!(read(r#""""#).unwrap(), "");
    }

    #[test]
    fn non_ascii_is_rejected() {
        assert_eq!(read(r#""\u00e9""#), None);
        assert_eq!(read(r#""\ud83d\ude00""#), None);
        assert_eq!(EscapedText::new(r#""\ud800""#).unwrap().text(), None);
        assert_eq!(EscapedText::new("12"), None);
        assert_eq!(EscapedText::new("\""), None);
    }
}
