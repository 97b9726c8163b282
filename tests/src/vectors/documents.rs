//! `documents/KIND/`: single documents, and what a reader says of each before it looks at anything else; FORMAT.md sections 1, 4, 5 and 10.

use super::repo::{self, Repo, Tree};
use proofmark_core::halt::Scope;
use proofmark_core::json;
use serde_json::{Value, json};
use std::collections::BTreeMap;

mod manifest;
mod rules;

/// The cases of one kind: its files so far, and what is expected of them.
struct Kind {
    name: &'static str,
    good: Value,
    files: BTreeMap<String, (Vec<u8>, Value)>,
}

/// Writes the cases of every kind.
pub fn write(files: &mut Tree) {
    let mut repo = Repo::standard();
    let halt = repo.publish_halt(&repo.halt(Scope::Everything, "alice"), &["alice-1"]);
    repo.publish_resume(halt, |_| {}, &["ci-1"]);
    let adopt = repo.publish_adopt(|_| {}, &["ci-1"]);
    let group = repo.files.keys().find(|path| path.starts_with("group/")).unwrap().clone();
    let kind = |name, bytes: &[u8]| Kind { name, good: serde_json::from_slice(bytes).unwrap(), files: BTreeMap::new() };
    let manifest = json::print(&repo::bundle("1.0").packed.manifest);
    let kinds = [
        any(kind("head", repo.read("head/1.head.json"))),
        rules::trust(kind("trust", repo.read("trust/1.trust.json"))),
        rules::index(kind("index", repo.read("index/2.index.json"))),
        rules::group(kind("group", repo.read(&group))),
        rules::halt(kind("halt", repo.read(&format!("halt/{halt}.halt.json")))),
        rules::resume(kind("resume", repo.read(&format!("resume/{halt}.resume.json")))),
        rules::adopt(kind("adopt", repo.read(&adopt))),
        rules::latest(kind("latest", repo.read("latest"))),
        manifest::manifest(kind("manifest", &manifest)),
    ];
    for kind in kinds {
        let cases: Vec<Value> = kind.files.iter().map(|(_, (_, case))| case.clone()).collect();
        files.extend(kind.files.into_iter().map(|(file, (bytes, _))| (format!("documents/{}/{file}", kind.name), bytes)));
        files.insert(format!("documents/{}/cases.json", kind.name), super::print(&json!({ "kind": kind.name, "cases": cases })));
    }
}

impl Kind {
    fn case(&mut self, name: &str, says: &str, bytes: Vec<u8>, pad: u64, code: u8, word: &str) {
        let file = format!("{name}.json");
        let case = json!({ "file": file, "pad": pad, "says": says, "code": code, "word": word });
        assert!(self.files.insert(file, (bytes, case)).is_none(), "{name}");
    }

    fn text(&self) -> String {
        String::from_utf8(super::print(&self.good)).unwrap()
    }

    /// The good document, edited, is accepted.
    fn good(&mut self, name: &str, says: &str, edit: impl FnOnce(&mut Value)) {
        let mut value = self.good.clone();
        edit(&mut value);
        self.case(name, says, printed(&value), 0, 0, "done");
    }

    /// The good document, edited, is refused.
    fn bad(&mut self, name: &str, says: &str, code: u8, word: &str, edit: impl FnOnce(&mut Value)) {
        let mut value = self.good.clone();
        edit(&mut value);
        self.case(name, says, printed(&value), 0, code, word);
    }

    /// As [`Kind::bad`], and it is a matter of form.
    fn malformed(&mut self, name: &str, says: &str, edit: impl FnOnce(&mut Value)) {
        self.bad(name, says, 90, "malformed", edit);
    }

    /// The good document, one text in it replaced by another, is refused.
    fn spelled(&mut self, name: &str, says: &str, from: &str, to: &str) {
        let text = self.text();
        assert_eq!(text.matches(from).count(), 1, "{name}: {from}");
        self.case(name, says, text.replace(from, to).into_bytes(), 0, 90, "malformed");
    }

    /// What every kind has in common, and its limit in bytes.
    fn common(&mut self, limit: u64) {
        let text = self.text();
        self.case("good", "a document", text.clone().into_bytes(), 0, 0, "done");
        self.case("as-long-as-can-be", "white space is free, up to the limit of the file", text.clone().into_bytes(), limit, 0, "done");
        self.case("too-long", "and no byte more", text.into_bytes(), limit + 1, 90, "limit");
        self.bad("format-2", "another format is unknown", 90, "unknown-format", |v| v["format"] = json!(2));
        self.malformed("kind-other", "a document is of its kind", |v| v["kind"] = json!("another"));
        self.malformed("kind-missing", "a document says its kind", |v| drop(v.as_object_mut().unwrap().remove("kind")));
        self.malformed("key-unknown", "an unknown key is refused", |v| v["more"] = json!(1));
        for key in self.good.as_object().unwrap().keys().cloned().collect::<Vec<_>>() {
            if key != "kind" {
                self.malformed(&format!("key-missing-{key}"), "every key is present", |v| drop(v.as_object_mut().unwrap().remove(&key)));
            }
        }
    }
}

/// As people read it, unless that is too long to be read.
fn printed(value: &Value) -> Vec<u8> {
    let text = super::print(value);
    if text.len() > 16 << 10 { serde_json::to_vec(value).unwrap() } else { text }
}

/// JSON itself, on heads: the same for every kind.
fn any(mut kind: Kind) -> Kind {
    kind.common(64 << 10);
    let text = kind.text();
    let bytes = |kind: &mut Kind, name: &str, says: &str, bytes: Vec<u8>, code: u8, word: &str| kind.case(name, says, bytes, 0, code, word);
    let bad = |kind: &mut Kind, name: &str, says: &str, text: Vec<u8>| kind.case(name, says, text, 0, 90, "malformed");
    let good = kind.good.clone();
    bytes(&mut kind, "one-line", "white space is free", serde_json::to_vec(&good).unwrap(), 0, "done");
    bytes(
        &mut kind,
        "keys-in-another-order",
        "the order of keys is free",
        {
            let members: Vec<String> = good.as_object().unwrap().iter().rev().map(|(key, value)| format!("\"{key}\": {value}")).collect();
            format!("{{{}}}", members.join(",")).into_bytes()
        },
        0,
        "done",
    );
    bytes(&mut kind, "escaped-letters", "escapes are letters", text.replace("\"kind\"", "\"\\u006bind\"").into_bytes(), 0, "done");
    bad(&mut kind, "empty", "nothing is no document", vec![]);
    bad(&mut kind, "null", "one object", b"null".to_vec());
    bad(&mut kind, "array", "one object, not an array of its values", {
        let values: Vec<&Value> = good.as_object().unwrap().values().collect();
        serde_json::to_vec(&values).unwrap()
    });
    bad(&mut kind, "two-objects", "one object and nothing after it", [text.as_bytes(), b"{}"].concat());
    bad(&mut kind, "trailing-text", "one object and nothing after it", [text.as_bytes(), b"x"].concat());
    bad(&mut kind, "trailing-nul", "one object and nothing after it", [text.as_bytes(), b"\0"].concat());
    bad(&mut kind, "truncated", "a whole object", text.as_bytes()[..text.len() / 2].to_vec());
    bad(&mut kind, "byte-order-mark", "no byte order mark", [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat());
    bad(&mut kind, "utf-16", "UTF-8", text.encode_utf16().flat_map(u16::to_le_bytes).collect());
    bad(&mut kind, "not-utf-8", "UTF-8", text.replace("head\"", "head@\"").bytes().map(|b| if b == b'@' { 0xff } else { b }).collect());
    bad(&mut kind, "overlong-utf-8", "in its shortest form", {
        let at = text.find("\"kind\"").unwrap();
        [&text.as_bytes()[..at + 1], b"\xc1\xab", &text.as_bytes()[at + 2..]].concat()
    });
    bad(&mut kind, "comment", "no comments", [b"// x\n".as_slice(), text.as_bytes()].concat());
    bad(&mut kind, "trailing-comma", "no comma before the end", text.replace("\n}\n", ",\n}\n").into_bytes());
    bad(&mut kind, "form-feed", "white space is space, tab, LF and CR", [b"\x0c".as_slice(), text.as_bytes()].concat());
    bad(&mut kind, "single-quotes", "strings have double quotes", text.replace("\"kind\"", "'kind'").into_bytes());
    bad(&mut kind, "key-twice", "a key twice is refused", text.replacen('{', "{\"version\": 1,", 1).into_bytes());
    bad(
        &mut kind,
        "key-twice-escaped",
        "also where one is spelled with escapes",
        text.replacen('{', "{\"\\u0076ersion\": 1,", 1).into_bytes(),
    );
    bad(&mut kind, "key-twice-nested", "and at any depth", text.replacen("\"trust\": {", "\"trust\": {\"version\": 1,", 1).into_bytes());
    for (name, spelling) in [
        ("float", "1.0"),
        ("exponent", "1e0"),
        ("minus-zero", "-0"),
        ("minus-one", "-1"),
        ("plus", "+1"),
        ("leading-zero", "01"),
        ("hexadecimal", "0x1"),
        ("2-to-the-53", "9007199254740992"),
        ("2-to-the-64", "18446744073709551616"),
        ("huge", "1000000000000000000000000000000000000000"),
        ("string", "\"1\""),
        ("boolean", "true"),
        ("nothing", "null"),
        ("nan", "NaN"),
    ] {
        let text = text.replacen("\"version\": 1\n}", &format!("\"version\": {spelling}\n}}"), 1);
        assert!(text.contains(spelling), "{name}");
        bad(&mut kind, &format!("integer-as-{name}"), "an integer has one spelling", text.into_bytes());
    }
    kind.good("integer-2-to-the-53-less-1", "the largest integer", |v| v["index"]["size"] = json!((1u64 << 53) - 1));
    for (name, spelling) in [
        ("nul", "\\u0000"),
        ("escape", "\\u001b"),
        ("delete", "\\u007f"),
        ("c1-control", "\\u009b"),
        ("raw-delete", "\u{7f}"),
        ("raw-c1-control", "\u{9b}"),
        ("raw-tab", "\t"),
        ("lone-surrogate", "\\ud800"),
        ("lone-low-surrogate", "\\udc00"),
        ("unknown-escape", "\\x41"),
        ("line-end", "\\n"),
    ] {
        let text = text.replacen('{', &format!("{{\"{spelling}\": 1,"), 1);
        bad(&mut kind, &format!("string-with-{name}"), "a string holds no control character and no half of a pair", text.into_bytes());
    }
    bad(
        &mut kind,
        "string-too-long",
        "a string has at most 4096 bytes",
        text.replacen('{', &format!("{{\"{}\": 1,", "x".repeat(4097)), 1).into_bytes(),
    );
    bad(
        &mut kind,
        "nested-too-deep",
        "nested at most 8 deep",
        text.replacen("\"halts\": []", &format!("\"halts\": {}{}", "[".repeat(8), "]".repeat(8)), 1).into_bytes(),
    );
    bad(
        &mut kind,
        "nested-very-deep",
        "however deep",
        text.replacen("\"halts\": []", &format!("\"halts\": {}{}", "[".repeat(10_000), "]".repeat(10_000)), 1).into_bytes(),
    );
    kind.bad("format-string", "a format is the integer 1", 90, "unknown-format", |v| v["format"] = json!("1"));
    kind.malformed("format-missing", "a document says its format", |v| drop(v.as_object_mut().unwrap().remove("format")));
    kind.malformed("object-as-array", "an object is an object", |v| v["trust"] = json!([1, v["trust"]["sha256"]]));
    for (name, time) in [
        ("small-t-and-z", "2026-03-02t09:00:00z"),
        ("space", "2026-03-02 09:00:00Z"),
        ("fraction", "2026-03-02T09:00:00.0Z"),
        ("offset", "2026-03-02T09:00:00+00:00"),
        ("no-seconds", "2026-03-02T09:00Z"),
        ("february-30", "2026-02-30T09:00:00Z"),
        ("february-29-in-2026", "2026-02-29T09:00:00Z"),
        ("leap-second", "2026-06-30T23:59:60Z"),
        ("hour-24", "2026-03-01T24:00:00Z"),
        ("before-1970", "1969-12-31T23:59:59Z"),
        ("after-9999", "10000-01-01T00:00:00Z"),
        ("in-the-last-hours", "9999-12-30T22:00:01Z"),
        ("number", "1772442000"),
    ] {
        kind.malformed(&format!("time-{name}"), "a time has one spelling", |v| {
            v["issued"] = json!(time);
            v["expires"] = json!("9999-12-30T22:00:00Z");
        });
    }
    kind.good("time-1970", "the first time", |v| v["issued"] = json!("1970-01-01T00:00:00Z"));
    kind.good("time-february-29-in-2024", "a leap day", |v| v["issued"] = json!("2024-02-29T23:59:59Z"));
    kind.good("time-9999", "the last time", |v| v["expires"] = json!("9999-12-30T22:00:00Z"));
    for (name, digest) in [("upper-case", "A".repeat(64)), ("short", "a".repeat(63)), ("long", "a".repeat(65)), ("not-hex", "g".repeat(64))]
    {
        kind.malformed(&format!("digest-{name}"), "a digest is 64 lower-case hex digits", |v| v["index"]["sha256"] = json!(digest));
    }
    for (name, id) in [("upper-case", "A".repeat(32)), ("long", "a".repeat(33))] {
        kind.malformed(&format!("repository-{name}"), "a repository is 32 lower-case hex digits", |v| v["repository"] = json!(id));
    }
    // Rules of the head.
    kind.malformed("version-0", "a head has version 1 or more", |v| v["version"] = json!(0));
    kind.malformed("expires-when-issued", "a head expires after it was issued", |v| v["expires"] = v["issued"].clone());
    let digests = |n: u64| Value::Array((0..n).map(|n| json!(format!("{n:064x}"))).collect());
    kind.good("halts-512", "a head lists at most 512 halts", |v| v["halts"] = digests(512));
    kind.bad("halts-513", "and no more", 90, "limit", |v| v["halts"] = digests(513));
    kind.malformed("halts-unsorted", "sorted", |v| v["halts"] = json!(["b".repeat(64), "a".repeat(64)]));
    kind.malformed("halts-twice", "without doubles", |v| v["halts"] = json!(["a".repeat(64), "a".repeat(64)]));
    kind
}
