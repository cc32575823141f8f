//! `application/x-www-form-urlencoded`, as the WHATWG URL standard reads it, but with invalid UTF-8 refused.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::{FIELDS_MAX, Fields, Names, Unreadable, Value, bounded, known, too_many};

pub(super) fn read(bytes: &[u8], names: Names) -> Result<Fields, Unreadable> {
    let mut fields = Fields::default();
    for (number, pair) in bytes.split(|byte| *byte == b'&').enumerate() {
        if number == FIELDS_MAX {
            return Err(Unreadable::Body(too_many()));
        }
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let name = decode(parts.next().unwrap_or_default())?;
        let value = decode(parts.next().unwrap_or_default())?;
        if let Some(name) = known(names, &name) {
            fields.add(name, bounded(value, Value::FormText))?;
        }
    }
    Ok(fields)
}

fn decode(encoded: &[u8]) -> Result<Cow<'_, str>, Unreadable> {
    let not_utf8 = || Unreadable::Body("invalid UTF-8".to_owned());
    if encoded.contains(&b'+') {
        let spaced: Vec<u8> = encoded.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        let text = percent_decode(&spaced).decode_utf8().map_err(|_| not_utf8())?;
        return Ok(Cow::Owned(text.into_owned()));
    }
    percent_decode(encoded).decode_utf8().map_err(|_| not_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Presented;

    #[test]
    fn values_are_decoded() {
        let fields = read(b"full_name=Ann+M%C3%BCller&email=a%2Bb%40c.de&x=1", &["email", "full_name"]).ok().unwrap();
        assert_eq!(fields.text("full_name"), Presented::Text("Ann Müller"));
        assert_eq!(fields.text("email"), Presented::Text("a+b@c.de"));
    }

    #[test]
    fn a_key_twice_and_broken_utf8_are_refused() {
        assert!(read(b"email=a&email=b", &["email"]).is_err());
        assert!(read(b"email=%ff", &["email"]).is_err());
    }
}
