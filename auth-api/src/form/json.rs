//! `application/json`.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::fields::{
    FIELDS_MAX, FieldNames, Fields, FormError, PICTURE, Value, bounded, duplicate, known, too_many_fields,
};
use crate::domain::{EscapedText, LINK_BYTES_MAX, decode_base64};

/// Limit of ignored values in a body, at any depth: each costs far more than its bytes.
const IGNORED_MAX: usize = 10_000;

pub(super) fn read(bytes: &[u8], names: FieldNames) -> Result<Fields, FormError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|error| FormError::Syntax(format!("invalid UTF-8 after {} bytes", error.valid_up_to())))?;
    let first = text.trim_start_matches([' ', '\t', '\n', '\r']).bytes().next();
    let mut json = serde_json::Deserializer::from_str(text);
    let fields = if first == Some(b'{') {
        json.deserialize_map(ObjectVisitor(names)).map(Some)
    } else {
        ValueReader { ignored: &Cell::new(0), keeps: true }.deserialize(&mut json).map(|_| None)
    };
    let fields = fields.and_then(|fields| json.end().map(|()| fields));
    let fields = fields.map_err(|error| FormError::Syntax(error.to_string()))?;
    fields.ok_or_else(|| FormError::NotAnObject(python_type(text, first)))
}

/// Returns Python's name for the type of a JSON text that starts with this byte.
fn python_type(text: &str, first: Option<u8>) -> &'static str {
    match first {
        Some(b'[') => "list",
        Some(b'"') => "str",
        Some(b't' | b'f') => "bool",
        Some(b'n') => "NoneType",
        _ if serde_json::from_str(text).is_ok_and(|number: serde_json::Number| number.is_f64()) => "float",
        _ => "int",
    }
}

struct ObjectVisitor(FieldNames);

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let (mut fields, ignored) = (Fields::default(), Cell::new(0));
        let mut seen = HashSet::new();
        while let Some(Key(key)) = map.next_key()? {
            if seen.len() == FIELDS_MAX {
                return Err(A::Error::custom(too_many_fields()));
            }
            match known(self.0, &key) {
                Some(PICTURE) => fields.push(PICTURE, picture(map.next_value()?)),
                Some(name) => fields.push(name, text(map.next_value()?, &ignored).map_err(A::Error::custom)?),
                None => drop(map.next_value_seed(ValueReader { ignored: &ignored, keeps: false })?),
            }
            if seen.contains(&key) {
                return Err(A::Error::custom(duplicate(&key)));
            }
            seen.insert(key);
        }
        Ok(fields)
    }
}

/// A key, borrowed from the body if it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// A string too long for a link is base64, decoded directly from the body.
fn picture(raw: &RawValue) -> Value {
    match EscapedText::new(raw.get()) {
        Some(text) if text.len_bytes() <= LINK_BYTES_MAX => Value::JsonPicture(raw.get().to_owned()),
        Some(text) => decode_base64(text).map_or(Value::Other, Value::File),
        None if raw.get() == "null" => Value::Null,
        None => Value::Other,
    }
}

/// Django REST Framework accepts a number as its digits, which are kept as they are sent.
fn text(raw: &RawValue, ignored: &Cell<usize>) -> serde_json::Result<Value> {
    match raw.get().bytes().next() {
        Some(b'-' | b'0'..=b'9') if raw.get().parse().is_ok_and(f64::is_infinite) => {
            Err(serde_json::Error::custom("number out of range"))
        }
        Some(b'-' | b'0'..=b'9') => Ok(bounded(raw.get(), Value::JsonText)),
        _ => ValueReader { ignored, keeps: true }.deserialize(&mut serde_json::Deserializer::from_str(raw.get())),
    }
}

/// Reads a value, or ignores it without an allocation; counts the ignored values, those inside included. Serde's
/// `IgnoredAny` has no limit of nesting and accepts lone surrogates.
#[derive(Clone, Copy)]
struct ValueReader<'a> {
    ignored: &'a Cell<usize>,
    keeps: bool,
}

impl<'de> DeserializeSeed<'de> for ValueReader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        if !self.keeps {
            self.ignored.set(self.ignored.get() + 1);
            if self.ignored.get() > IGNORED_MAX {
                return Err(D::Error::custom(format!("more than {IGNORED_MAX} values")));
            }
        }
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueReader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(if self.keeps { bounded(text, Value::JsonText) } else { Value::Other })
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        while list.next_element_seed(Self { keeps: false, ..self })?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let ignore = Self { keeps: false, ..self };
        while map.next_entry_seed(ignore, ignore)?.is_some() {}
        Ok(Value::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(body: &[u8]) -> String {
        match read(body, &["email"]) {
            Err(FormError::Syntax(why)) => why,
            Err(FormError::NotAnObject(what)) => what.to_owned(),
            Ok(_) => panic!("accepted"),
        }
    }

    #[test]
    fn ambiguous_and_malformed_json_is_rejected() {
        assert!(error(br#"{"email": "a", "email": "b"}"#).starts_with("the key \"email\" is there twice"));
        assert!(error(br#"{"x": "a", "\u0078": "b"}"#).starts_with("the key \"x\" is there twice"));
        assert!(error(b"{\"email\": \"\xff\"}").starts_with("invalid UTF-8 after 11 bytes"));
        assert!(
            error(br#"{"email": "\ud800"}"#).contains("surrogate")
                || error(br#"{"email": "\ud800"}"#).contains("hex escape")
        );
        assert!(error(br#"{"email": NaN}"#).starts_with("expected value"));
        assert!(error(format!("{{\"x\": {}", "[".repeat(10_000)).as_bytes()).contains("recursion limit"));
        assert!(error(br#"{"email": "a"} x"#).starts_with("trailing characters"));
    }

    #[test]
    fn ignored_values_are_counted_at_every_depth() {
        let list = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        assert_eq!(error(list(IGNORED_MAX).as_bytes()), "list");
        for body in [
            list(IGNORED_MAX + 1),
            format!("{{\"x\": {}, \"y\": {}}}", list(IGNORED_MAX / 2), list(IGNORED_MAX / 2)),
            format!("{{\"email\": {}}}", list(IGNORED_MAX + 1)),
            format!("{{\"x\": {{{}\"\": 0}}}}", "\"\": 0,".repeat(IGNORED_MAX / 2)),
        ] {
            assert!(error(body.as_bytes()).starts_with("more than 10000 values"));
        }
    }

    #[test]
    fn non_object_is_reported_with_its_python_type() {
        for (body, name) in [
            ("[1]", "list"),
            ("\"a\"", "str"),
            ("1", "int"),
            ("1.5", "float"),
            ("18446744073709551616", "float"),
            (" \n-1", "int"),
            ("true", "bool"),
        ] {
            assert_eq!(error(body.as_bytes()), name);
        }
        assert_eq!(error(b"null"), "NoneType");
    }

    #[test]
    fn byte_order_mark_and_unknown_keys_are_accepted() {
        let fields = read(b"\xef\xbb\xbf{\"email\": 12, \"x\": {\"y\": [1, {\"z\": null}]}}", &["email"]).ok().unwrap();
        assert_eq!(fields.text("email"), crate::domain::FieldValue::Text("12"));
    }
}
