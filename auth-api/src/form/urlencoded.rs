//! `application/x-www-form-urlencoded` of the WHATWG URL standard; invalid UTF-8 is rejected.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::fields::{FIELDS_MAX, FieldNames, Fields, FormError, Value, bounded, known, too_many_fields};

pub(super) fn read(bytes: &[u8], names: FieldNames) -> Result<Fields, FormError> {
    let mut fields = Fields::default();
    for (number, pair) in bytes.split(|byte| *byte == b'&').enumerate() {
        if number == FIELDS_MAX {
            return Err(FormError::Syntax(too_many_fields()));
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

fn decode(encoded: &[u8]) -> Result<Cow<'_, str>, FormError> {
    let not_utf8 = || FormError::Syntax("invalid UTF-8".to_owned());
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
    use crate::domain::FieldValue;

    #[test]
    fn values_are_decoded() {
        let fields = read(b"full_name=Ann+M%C3%BCller&email=a%2Bb%40c.de&x=1", &["email", "full_name"]).ok().unwrap();
        assert_eq!(fields.text("full_name"), FieldValue::Text("Ann Müller"));
        assert_eq!(fields.text("email"), FieldValue::Text("a+b@c.de"));
    }

    #[test]
    fn duplicate_key_and_invalid_utf8_are_rejected() {
        assert!(read(b"email=a&email=b", &["email"]).is_err());
        assert!(read(b"email=%ff", &["email"]).is_err());
    }
}
