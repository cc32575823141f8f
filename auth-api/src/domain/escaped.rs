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

/// The part of a text that is left to be read.
#[derive(Clone, Copy, Debug)]
pub struct Ascii<'a>(&'a [u8]);

impl Read for Ascii<'_> {
    /// Fills `out` unless the text ends.
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

/// Length of the run without escapes at the start of `text`, in bytes; `limit` at most, and no byte past it is looked at: a
/// reader of small pieces stays linear in the size of the text.
fn unescaped_length(text: &[u8], limit: usize) -> usize {
    let window = text.get(..limit).unwrap_or(text);
    let length = memchr(b'\\', window).unwrap_or(window.len());
    #[cfg(test)]
    tests::VISITED_BYTES.set(tests::VISITED_BYTES.get() + length);
    length
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
        /// Bytes that the search for escapes has visited on this thread.
        pub(super) static VISITED_BYTES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    /// Bytes visited while `quoted` is read in pieces of `piece` bytes.
    fn visited_bytes(quoted: &str, piece: usize) -> usize {
        VISITED_BYTES.set(0);
        let (mut text, mut out) = (EscapedText::of(quoted).unwrap().ascii(), vec![0; piece]);
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
