//! Strict JSON (section 4): the reader accepts only what a writer of the same type would print, white space and key order aside.
//!
//! serde_json alone keeps the last of two equal keys, fills structs from arrays and missing options with `None`. Two steps close
//! all three: the token walk below, which refuses duplicates, odd numbers and odd strings; and a round trip, which refuses a
//! document that is not equal to what its parsed form prints.

use crate::limits;
use crate::refusal::{Reason, Refusal, Result};
use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// A document's fixed properties.
pub trait Document: DeserializeOwned + Serialize {
    /// Value of `kind`.
    const KIND: &'static str;
    /// Largest size in bytes.
    const LIMIT: usize;
    /// Checks that need this document alone.
    fn check(&self) -> Result<()>;
}

/// Parses one document: size, strict JSON, `format`, `kind`, shape, [`Document::check`], in this order.
///
/// `subject` is the file's name, for messages.
pub fn parse<D: Document>(bytes: &[u8], subject: &str) -> Result<D> {
    if bytes.len() > D::LIMIT {
        return Err(Refusal::new(
            Reason::Limit,
            subject,
            format_args!("at most {} bytes", D::LIMIT),
            format_args!("{} bytes", bytes.len()),
        ));
    }
    let malformed =
        |have: &dyn fmt::Display| Refusal::new(Reason::Malformed, subject, format_args!("a {} document as in FORMAT.md", D::KIND), have);
    let value = value(bytes).map_err(|e| malformed(&e))?;
    match value.get("format") {
        Some(Value::Number(n)) if n.as_u64() == Some(1) => {}
        Some(other) => return Err(Refusal::new(Reason::UnknownFormat, subject, "\"format\": 1", other)),
        None => return Err(malformed(&"no \"format\"")),
    }
    match value.get("kind") {
        Some(Value::String(kind)) if kind == D::KIND => {}
        other => return Err(malformed(&format_args!("kind {}", other.unwrap_or(&Value::Null)))),
    }
    let document = D::deserialize(&value).map_err(|e| malformed(&e))?;
    let printed = serde_json::to_value(&document).map_err(|e| malformed(&e))?;
    if printed != value {
        return Err(malformed(&format_args!("{}", difference(&printed, &value))));
    }
    document.check().map_err(|e| e.within(subject))?;
    Ok(document)
}

/// Prints a document: two-space indent, a final LF. The inverse of [`parse`].
pub fn print<D: Document>(document: &D) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(document).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// The token walk: UTF-8, one value, no duplicate keys, integers 0 to 2^53-1 only, bounded strings without control characters, bounded depth.
pub fn value(bytes: &[u8]) -> serde_json::Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: limits::DEPTH }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Where two values first differ, in words.
fn difference(want: &Value, have: &Value) -> String {
    match (want, have) {
        (Value::Object(want), Value::Object(have)) => {
            for (key, value) in want {
                match have.get(key) {
                    None => return format!("no key {key:?}"),
                    Some(other) if other != value => return format!("in {key:?}: {}", difference(value, other)),
                    Some(_) => {}
                }
            }
            have.keys().find(|key| !want.contains_key(*key)).map_or_else(String::new, |key| format!("unknown key {key:?}"))
        }
        (Value::Array(want), Value::Array(have)) => want
            .iter()
            .zip(have)
            .enumerate()
            .find(|(_, (a, b))| a != b)
            .map_or_else(|| "a list of another length".to_owned(), |(n, (a, b))| format!("in element {n}: {}", difference(a, b))),
        (want, have) => format!("{have} where {want} would be printed"),
    }
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> std::result::Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Strict { depth })
    }
}

fn text<E: Error>(text: &str) -> std::result::Result<String, E> {
    if text.len() > limits::STRING {
        return Err(E::custom(format_args!("a string of {} bytes", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(E::custom("a control character in a string"));
    }
    Ok(text.to_owned())
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("strict JSON")
    }
    fn visit_bool<E: Error>(self, v: bool) -> std::result::Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_unit<E: Error>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_u64<E: Error>(self, v: u64) -> std::result::Result<Value, E> {
        if v > limits::INTEGER {
            return Err(E::custom(format_args!("{v} is over 2^53-1")));
        }
        Ok(Value::from(v))
    }
    fn visit_i64<E: Error>(self, v: i64) -> std::result::Result<Value, E> {
        Err(E::custom(format_args!("{v} is negative")))
    }
    fn visit_f64<E: Error>(self, v: f64) -> std::result::Result<Value, E> {
        Err(E::custom(format_args!("{v} is not a plain integer")))
    }
    fn visit_str<E: Error>(self, v: &str) -> std::result::Result<Value, E> {
        text(v).map(Value::String)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let key = text(&key)?;
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("duplicate key {key:?}")));
            }
            let item = map.next_value_seed(inner)?;
            object.insert(key, item);
        }
        Ok(Value::Object(object))
    }
}

/// Refuses a list that is not strictly ascending (*sorted*, section 4) or has over `most` entries.
pub(crate) fn sorted<T: Ord + fmt::Display>(list: &[T], most: usize, what: &str) -> Result<()> {
    at_most(list.len(), most, what)?;
    match list.windows(2).find(|w| w[0] >= w[1]) {
        Some(w) => Err(Refusal::new(Reason::Malformed, what, "strictly ascending entries", format_args!("{} before {}", w[0], w[1]))),
        None => Ok(()),
    }
}

/// Refuses a count over its bound.
pub(crate) fn at_most(count: usize, most: usize, what: &str) -> Result<()> {
    if count > most {
        return Err(Refusal::new(Reason::Limit, what, format_args!("at most {most} entries"), count));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{difference, value};

    #[test]
    fn attack_25_odd_json_is_refused() {
        let deep = "[".repeat(9) + &"]".repeat(9);
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"a":1}}"#,
            r#"{"x":[{"a":1,"a":1}]}"#,
            "1.0",
            "-0",
            "-1",
            "1e2",
            "01",
            "+1",
            "9007199254740992",
            "99999999999999999999",
            "NaN",
            "\u{feff}{}",
            "{} {}",
            "{}x",
            "{},",
            "[1,]",
            r#""\u0000""#,
            "\"\u{7f}\"",
            "\"\n\"",
            r#""\ud800""#,
            "'a'",
            "// c\n1",
            "",
            " ",
            &deep,
        ] {
            assert!(value(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(value(b"\"\xff\"").is_err());
        assert!(value(b"1.5").unwrap_err().to_string().contains("1.5 is not a plain integer"));
        assert!(value(format!("\"{}\"", "a".repeat(4097)).as_bytes()).is_err());
        assert!(value(b" {\"a\": [1, 9007199254740991, null, true, \"x\"]}\n").is_ok());
    }

    #[test]
    fn a_difference_is_named_by_its_place() {
        let between = |want: &str, have: &str| difference(&value(want.as_bytes()).unwrap(), &value(have.as_bytes()).unwrap());
        let document = r#"{"a": 1, "b": {"c": [1, "x"]}}"#;
        for (have, words) in [
            (r#"{"a": 1}"#, r#"no key "b""#),
            (r#"{"a": 1, "b": {"c": [1, "x"]}, "d": 1}"#, r#"unknown key "d""#),
            (r#"{"a": 2, "b": {"c": [1, "x"]}}"#, r#"in "a": 2 where 1 would be printed"#),
            (r#"{"a": 1, "b": {"c": [1, "y"]}}"#, r#"in "b": in "c": in element 1: "y" where "x" would be printed"#),
            (r#"{"a": 1, "b": {"c": [1, "x", 1]}}"#, r#"in "b": in "c": a list of another length"#),
        ] {
            assert_eq!(between(document, have), words);
        }
    }
}
