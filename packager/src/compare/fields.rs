//! What differs between two JSON documents, by JSON pointer.

use proofmark_core::json;
use serde_json::Value;

use super::report::Field;
use super::{RECORD, strings};

/// Differences told.
const TOLD: usize = 200;

/// The keys that differ; `None` where one of the two is not a JSON document that the core's reader takes (no duplicate keys).
pub(super) fn compare(a: &[u8], b: &[u8]) -> Option<Vec<Field>> {
    let read = |bytes: &[u8]| {
        let begins = bytes.iter().find(|byte| !byte.is_ascii_whitespace())?;
        (matches!(begins, b'{' | b'[') && bytes.len() as u64 <= RECORD).then(|| json::value(bytes).ok())?
    };
    let (a, b) = (read(a)?, read(b)?);
    let mut found = Vec::new();
    walk("", Some(&a), Some(&b), &mut found);
    Some(found)
}

fn walk(pointer: &str, a: Option<&Value>, b: Option<&Value>, found: &mut Vec<Field>) {
    if a == b || found.len() >= TOLD {
        return;
    }
    let step = |key: &str| format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
    match (a, b) {
        (Some(Value::Object(x)), Some(Value::Object(y))) => {
            let extra = y.keys().filter(|key| !x.contains_key(*key));
            for key in x.keys().chain(extra) {
                walk(&step(key), x.get(key), y.get(key), found);
            }
        }
        (Some(Value::Array(x)), Some(Value::Array(y))) => {
            for at in 0..x.len().max(y.len()) {
                walk(&step(&at.to_string()), x.get(at), y.get(at), found);
            }
        }
        _ => {
            let shown = |value: Option<&Value>| value.map(|value| strings::cut(&value.to_string()));
            found.push(Field { pointer: strings::cut(pointer), values: [shown(a), shown(b)] });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_that_differs_is_named_by_its_pointer() {
        let found = compare(br#"{"a":{"x/y":1,"z":[1,2]},"b":null}"#, br#"{"a":{"x/y":2,"z":[1]},"c":0}"#).unwrap();
        let told: Vec<_> =
            found.iter().map(|field| (field.pointer.as_str(), field.values[0].as_deref(), field.values[1].as_deref())).collect();
        assert_eq!(
            told,
            [("/a/x~1y", Some("1"), Some("2")), ("/a/z/1", Some("2"), None), ("/b", Some("null"), None), ("/c", None, Some("0")),]
        );
        assert!(compare(b"{\"a\":1,\"a\":2}", b"{}").is_none(), "a document with a key twice is not one");
        assert!(compare(b"plain", b"{}").is_none());
    }
}
