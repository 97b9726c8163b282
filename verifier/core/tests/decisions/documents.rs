//! Section 4 and the own rules of index, head and latest; the printer and the strict reader.

use crate::world::*;
use proofmark_core::head::Head;
use proofmark_core::index::{Index, Pin};
use proofmark_core::json::{self, Document};
use proofmark_core::latest::Latest;
use proofmark_core::{Digest, Reason, limits};

fn latest() -> Latest {
    Latest { format: 1, kind: "latest".into(), trust: 1, index: 0, head: 0, halts: vec![] }
}

fn head() -> Head {
    let scene = Scene::new();
    json::parse(&scene.head.1.bytes, "head").unwrap()
}

fn digests(count: usize) -> Vec<Digest> {
    let mut list: Vec<Digest> = (0..count).map(|n| Digest::of(&n.to_be_bytes())).collect();
    list.sort();
    list
}

#[test]
fn attack_25_shapes_that_a_writer_would_not_print_are_refused() {
    let good = latest();
    assert_eq!(reparsed(&good, |text| text).unwrap(), good);
    assert_eq!(reparsed(&good, |text| text.replace('\n', "\t \r\n")).unwrap(), good);
    let malformed = |edit: &dyn Fn(String) -> String| refused(reparsed(&good, edit), Reason::Malformed);
    malformed(&|text| text.replacen("\"trust\": 1", "\"trust\": 1, \"extra\": 1", 1));
    malformed(&|text| text.replacen("\"trust\": 1,", "", 1));
    malformed(&|text| text.replacen("\"trust\": 1", "\"trust\": 1, \"trust\": 1", 1));
    malformed(&|text| text.replacen("\"trust\": 1", "\"trust\": \"1\"", 1));
    malformed(&|text| text.replacen("[]", "null", 1));
    malformed(&|text| text.replacen("\"latest\"", "\"head\"", 1));
    malformed(&|text| text.replacen("\"kind\": \"latest\",", "", 1));
    malformed(&|text| text.replacen("\"format\": 1,", "", 1));
    malformed(&|_| "[]".into());
    malformed(&|_| "1".into());
    refused(reparsed(&good, |text| text.replacen("\"format\": 1", "\"format\": 2", 1)), Reason::UnknownFormat);
    refused(reparsed(&good, |text| text.replacen("\"format\": 1", "\"format\": \"1\"", 1)), Reason::UnknownFormat);
    // Format before kind, kind before shape.
    refused(reparsed(&good, |text| text.replacen("\"format\": 1", "\"format\": 2", 1).replacen("latest", "x", 1)), Reason::UnknownFormat);
    let text = reparsed(&good, |text| text.replacen("\"trust\": 1", "\"trust\": 1, \"extra\": 1", 1)).unwrap_err();
    assert!(text.have().contains("extra"), "{text}");
}

#[test]
fn attack_25_an_array_is_no_struct_and_a_missing_null_is_missing() {
    let mut group = group("bundle 1");
    group.mode = proofmark_core::group::Mode::Install;
    let parse = |edit: &dyn Fn(String) -> String| reparsed(&group, edit);
    assert!(parse(&|text| text).is_ok());
    refused(parse(&|text| text.replacen("\"record_key\": null", "", 1)), Reason::Malformed);
    refused(parse(&|text| text.replacen(",\n    \"stop_seconds\": null", "", 1)), Reason::Malformed);
    let silence = |text: String| {
        let at = text.find("\"silence\"").unwrap();
        format!("{}\"silence\": [60, null]\n}}\n", &text[..at])
    };
    refused(parse(&silence), Reason::Malformed);
}

#[test]
fn every_document_is_bounded_in_bytes() {
    fn bound<D: Document + std::fmt::Debug>(document: &D, limit: usize) {
        let mut bytes = json::print(document);
        bytes.resize(limit, b' ');
        assert!(json::parse::<D>(&bytes, "document").is_ok(), "{}", D::KIND);
        bytes.push(b' ');
        refused(json::parse::<D>(&bytes, "document"), Reason::Limit);
    }
    bound(&latest(), 1 << 10);
    bound(&head(), 64 << 10);
    bound(&halt(proofmark_core::halt::Scope::Everything), 4 << 10);
    bound(&resume(Digest::of(b"x")), 4 << 10);
    bound(&group("x"), 1 << 20);
    bound(&index(&Default::default(), 1), 1 << 20);
}

#[test]
fn a_heads_own_rules() {
    let is = |edit: &dyn Fn(&mut Head)| {
        let mut head = head();
        edit(&mut head);
        reparsed(&head, |text| text).map(drop)
    };
    assert!(is(&|_| {}).is_ok());
    refused(is(&|head| head.version = 0), Reason::Malformed);
    refused(is(&|head| head.expires = head.issued), Reason::Malformed);
    refused(is(&|head| head.expires = head.issued.plus(-1)), Reason::Malformed);
    assert!(is(&|head| head.expires = head.issued.plus(1)).is_ok());
    refused(is(&|head| head.halts = vec![Digest::of(b"x"); 2]), Reason::Malformed);
    assert!(is(&|head| head.halts = digests(limits::HALTS)).is_ok());
    refused(is(&|head| head.halts = digests(limits::HALTS + 1)), Reason::Limit);
}

#[test]
fn an_indexs_own_rules() {
    let pin = |version| Some(Pin { version, sha256: Digest::of(b"x") });
    let is = |version: u64, prev: Option<Pin>| {
        let mut index: Index = index(&Default::default(), version);
        index.prev = prev;
        reparsed(&index, |text| text).map(drop)
    };
    assert!(is(1, None).is_ok() && is(2, pin(1)).is_ok());
    for (version, prev) in [(0, None), (0, pin(0)), (1, pin(0)), (2, None), (2, pin(2)), (3, pin(1)), (2, pin(0))] {
        refused(is(version, prev), Reason::Malformed);
    }
    let many = |count: usize| {
        let mut index = index(&Default::default(), 1);
        index.groups =
            (0..count).map(|n| (t(&format!("prod/g{n}")), proofmark_core::index::GroupPin { sha256: Digest::of(b"x"), size: 1 })).collect();
        reparsed(&index, |text| text.replace("    ", "")).map(drop)
    };
    assert!(many(limits::GROUPS).is_ok());
    refused(many(limits::GROUPS + 1), Reason::Limit);
}

#[test]
fn latest_names_few_halts_and_fits() {
    let is = |halts: Vec<Digest>| {
        reparsed(&Latest { halts, trust: limits::INTEGER, index: limits::INTEGER, head: limits::INTEGER, ..latest() }, |text| text)
            .map(drop)
    };
    assert!(is(digests(8)).is_ok());
    refused(is(digests(9)), Reason::Limit);
    refused(is(vec![Digest::of(b"x"); 2]), Reason::Malformed);
}

#[test]
fn attack_25_nesting_and_strings_have_bounds() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(json::value(nested(8).as_bytes()).is_ok());
    assert!(json::value(nested(9).as_bytes()).is_err());
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(json::value(objects(8).as_bytes()).is_ok());
    assert!(json::value(objects(9).as_bytes()).is_err());
    assert!(json::value(format!("\"{}\"", "a".repeat(4096)).as_bytes()).is_ok());
    assert!(json::value(format!("{{\"{}\": 1}}", "a".repeat(4097)).as_bytes()).is_err());
    assert!(json::value(b"{\"a\\u0085\": 1}").is_err());
    assert_eq!(json::value(b" [0, 9007199254740991] ").unwrap(), serde_json::json!([0, 9_007_199_254_740_991u64]));
}
