//! `application/json`.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{FIELDS_MAX, Fields, Names, PICTURE, Unreadable, Value, bounded, known, too_many, twice};
use crate::domain::{EscapedText, LINK_BYTES_MAX, decode_base64};

/// Most values that are ignored in one body, at any depth: each costs far more than its bytes.
const IGNORED_MAX: usize = 10_000;

/// What Python's JSON calls the value, if it is no object.
enum Body {
    Object(Fields),
    Other(&'static str),
}

pub(super) fn read(bytes: &[u8], names: Names) -> Result<Fields, Unreadable> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Unreadable::Body(format!("invalid UTF-8 after {} bytes", error.valid_up_to())))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let body = BodyVisitor(names)
        .deserialize(&mut json)
        .and_then(|body| json.end().map(|()| body))
        .map_err(|error| Unreadable::Body(error.to_string()))?;
    match body {
        Body::Object(fields) => Ok(fields),
        Body::Other(what) => Err(Unreadable::NotAnObject(what)),
    }
}

struct BodyVisitor(Names);

impl<'de> DeserializeSeed<'de> for BodyVisitor {
    type Value = Body;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Body, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
        let (mut fields, ignored) = (Fields::default(), Cell::new(0));
        let mut seen = HashSet::new();
        while let Some(Key(key)) = map.next_key()? {
            if seen.len() == FIELDS_MAX {
                return Err(A::Error::custom(too_many()));
            }
            if let Some(name) = known(self.0, &key) {
                let value =
                    if name == PICTURE { picture(map.next_value()?) } else { map.next_value_seed(Field(&ignored))? };
                fields.values.push((name, value));
            } else {
                map.next_value_seed(Ignored(&ignored))?;
            }
            if seen.contains(&key) {
                return Err(A::Error::custom(twice(&key)));
            }
            seen.insert(key);
        }
        Ok(Body::Object(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Body, A::Error> {
        Ignored(&Cell::new(0)).visit_seq(list).map(|()| Body::Other("list"))
    }

    fn visit_unit<E>(self) -> Result<Body, E> {
        Ok(Body::Other("NoneType"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Body, E> {
        Ok(Body::Other("bool"))
    }

    fn visit_str<E>(self, _: &str) -> Result<Body, E> {
        Ok(Body::Other("str"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Body, E> {
        Ok(Body::Other("int"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Body, E> {
        Ok(Body::Other("int"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Body, E> {
        Ok(Body::Other("float"))
    }
}

/// A text that is too long for a link is base64, and decoded at once, from where it stands in the body.
fn picture(raw: &RawValue) -> Value {
    match EscapedText::of(raw.get()) {
        Some(text) if text.len_bytes() <= LINK_BYTES_MAX => Value::JsonPicture(raw.get().to_owned()),
        Some(text) => decode_base64(text).map_or(Value::Other, Value::File),
        None if raw.get() == "null" => Value::Null,
        None => Value::Other,
    }
}

/// A key, borrowed from the body where it has no escapes.
#[derive(PartialEq, Eq, Hash)]
struct Key<'a>(Cow<'a, str>);

impl std::ops::Deref for Key<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(text.to_owned())))
    }
}

/// Reads the value of a text field.
struct Field<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(bounded(text, Value::JsonText))
    }

    // Django REST Framework takes a number for its digits.
    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::JsonText(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::JsonText(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::JsonText(number.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Value, A::Error> {
        Ignored(self.0).visit_seq(list).map(|()| Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        Ignored(self.0).visit_map(map).map(|()| Value::Other)
    }
}

/// Checks a value and drops it without an allocation; counts it and the values in it. Serde's `IgnoredAny` has no limit to
/// nesting, and takes lone surrogates.
#[derive(Clone, Copy)]
struct Ignored<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Ignored<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        self.0.set(self.0.get() + 1);
        if self.0.get() > IGNORED_MAX {
            return Err(D::Error::custom(format!("more than {IGNORED_MAX} values")));
        }
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Ignored<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry_seed(self, self)?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &[u8]) -> String {
        match read(body, &["email"]) {
            Err(Unreadable::Body(why)) => why,
            Err(Unreadable::NotAnObject(what)) => what.to_owned(),
            Ok(_) => panic!("taken"),
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        assert!(refused(br#"{"email": "a", "email": "b"}"#).starts_with("the key \"email\" is there twice"));
        assert!(refused(br#"{"x": "a", "\u0078": "b"}"#).starts_with("the key \"x\" is there twice"));
        assert!(refused(b"{\"email\": \"\xff\"}").starts_with("invalid UTF-8 after 11 bytes"));
        assert!(
            refused(br#"{"email": "\ud800"}"#).contains("surrogate")
                || refused(br#"{"email": "\ud800"}"#).contains("hex escape")
        );
        assert!(refused(br#"{"email": NaN}"#).starts_with("expected value"));
        assert!(refused(format!("{{\"x\": {}", "[".repeat(10_000)).as_bytes()).contains("recursion limit"));
        assert!(refused(br#"{"email": "a"} x"#).starts_with("trailing characters"));
    }

    #[test]
    fn values_that_are_ignored_are_counted_at_every_depth() {
        let list = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        assert_eq!(refused(list(IGNORED_MAX).as_bytes()), "list");
        for body in [
            list(IGNORED_MAX + 1),
            format!("{{\"x\": {}, \"y\": {}}}", list(IGNORED_MAX / 2), list(IGNORED_MAX / 2)),
            format!("{{\"email\": {}}}", list(IGNORED_MAX + 1)),
            format!("{{\"x\": {{{}\"\": 0}}}}", "\"\": 0,".repeat(IGNORED_MAX / 2)),
        ] {
            assert!(refused(body.as_bytes()).starts_with("more than 10000 values"));
        }
    }

    #[test]
    fn what_is_no_object_is_named_as_python_names_it() {
        for (body, name) in [("[1]", "list"), ("\"a\"", "str"), ("1", "int"), ("1.5", "float"), ("true", "bool")] {
            assert_eq!(refused(body.as_bytes()), name);
        }
        assert_eq!(refused(b"null"), "NoneType");
    }

    #[test]
    fn a_byte_order_mark_and_unknown_keys_are_fine() {
        let fields = read(b"\xef\xbb\xbf{\"email\": 12, \"x\": {\"y\": [1, {\"z\": null}]}}", &["email"]).ok().unwrap();
        assert_eq!(fields.text("email"), crate::domain::Presented::Text("12"));
    }
}
