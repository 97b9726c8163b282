//! Cases of the rules that each kind of document has of its own; FORMAT.md sections 5 and 10.

use super::Kind;
use crate::vectors::sign;
use serde_json::{Value, json};

pub(super) fn trust(mut kind: Kind) -> Kind {
    kind.common(64 << 10);
    let wrong = |kind: &mut Kind, name: &str, says: &str, edit: &dyn Fn(&mut Value)| kind.bad(name, says, 92, "trust", edit);
    let key = |name: &str, holder: &str| json!({ "holder": holder, "public": sign::public(name) });
    wrong(&mut kind, "version-0", "version 1 or more", &|v| v["version"] = json!(0));
    wrong(&mut kind, "key-bytes-twice", "a key is under one name", &|v| {
        v["keys"]["bob-2"] = v["keys"]["bob-1"].clone();
        v["roles"]["go"]["others"] = json!({ "threshold": 1, "keys": ["bob-2"] });
        v["keys"]["bob-2"]["holder"] = json!("bert");
    });
    wrong(&mut kind, "key-bytes-twice-with-another-id", "the 32 bytes are the key, not its id", &|v| {
        let bytes = *sign::public("bob-1").bytes();
        v["keys"]["bob-2"] = json!({ "holder": "bert", "public": sign::encode(&[9; 8], &bytes) });
        v["roles"]["go"]["others"] = json!({ "threshold": 1, "keys": ["bob-2"] });
    });
    wrong(&mut kind, "role-without-group", "every role has a key group", &|v| v["roles"]["go"] = json!({}));
    kind.malformed("role-missing", "all six roles are present", |v| drop(v["roles"].as_object_mut().unwrap().remove("go")));
    kind.malformed("role-unknown", "and no others", |v| v["roles"]["record"] = v["roles"]["go"].clone());
    wrong(&mut kind, "threshold-0", "a threshold is 1 or more", &|v| v["roles"]["index"]["ci"]["threshold"] = json!(0));
    wrong(&mut kind, "threshold-above-the-keys", "and at most the number of keys", &|v| v["roles"]["index"]["ci"]["threshold"] = json!(2));
    wrong(&mut kind, "group-without-keys", "so that a group has keys", &|v| {
        v["roles"]["index"]["ci"] = json!({ "threshold": 1, "keys": [] })
    });
    kind.malformed("keys-of-a-group-unsorted", "keys are sorted", |v| v["roles"]["go"]["operators"]["keys"] = json!(["bob-1", "alice-1"]));
    kind.malformed("keys-of-a-group-twice", "without doubles", |v| v["roles"]["go"]["operators"]["keys"] = json!(["bob-1", "bob-1"]));
    wrong(&mut kind, "key-that-is-not-there", "a group's keys are keys of the document", &|v| {
        v["roles"]["go"]["operators"]["keys"] = json!(["alice-1", "eve-1"])
    });
    wrong(&mut kind, "holder-twice-in-a-group", "a holder is once in a role", &|v| {
        v["keys"]["bob-2"] = key("bob-2", "bob");
        v["roles"]["index"]["reviewers"]["keys"] = json!(["alice-1", "bob-1", "bob-2"]);
    });
    wrong(&mut kind, "holder-twice-in-a-role", "whatever the group", &|v| {
        v["keys"]["ci-2"] = key("ci-2", "ci");
        v["roles"]["index"]["reviewers"]["keys"] = json!(["alice-1", "bob-1", "ci-2"]);
    });
    wrong(&mut kind, "key-in-two-groups", "and so is a key", &|v| {
        v["roles"]["index"]["reviewers"]["keys"] = json!(["alice-1", "bob-1", "ci-1"])
    });
    wrong(&mut kind, "head-key-in-another-role", "a key of role head is in no other", &|v| {
        v["roles"]["halt"]["operators"]["keys"] = json!(["alice-1", "bob-1", "clock-1"])
    });
    wrong(&mut kind, "idle-key", "every key is in a role", &|v| v["keys"]["idle-1"] = key("idle-1", "idle"));
    wrong(&mut kind, "index-of-one-group", "role index has two groups", &|v| {
        v["roles"]["index"] = json!({ "reviewers": { "threshold": 1, "keys": ["alice-1"] } })
    });
    wrong(&mut kind, "halt-of-two-groups", "any one key stops", &|v| {
        v["roles"]["halt"] = json!({ "a": { "threshold": 1, "keys": ["alice-1"] }, "b": { "threshold": 1, "keys": ["bob-1"] } })
    });
    wrong(&mut kind, "halt-threshold-2", "any one key stops", &|v| v["roles"]["halt"]["operators"]["threshold"] = json!(2));
    wrong(&mut kind, "second-person-of-no-group", "the second person is a group of role index", &|v| v["second_person"] = json!("owners"));
    kind.malformed("threshold-text", "a threshold is an integer", |v| v["roles"]["go"]["operators"]["threshold"] = json!("1"));
    let public = |kind: &mut Kind, name: &str, says: &str, spelling: String| {
        kind.malformed(&format!("public-{name}"), says, move |v| v["keys"]["bob-1"]["public"] = json!(spelling))
    };
    let good = sign::public("bob-1").to_string();
    public(&mut kind, "short", "a public key is 56 characters", good[..52].to_owned());
    public(&mut kind, "with-space", "of base64", format!("{good} "));
    public(&mut kind, "prehashed", "its algorithm is Ed", good.replacen("RW", "RU", 1));
    let mut unreduced = [0xff; 32];
    unreduced[31] = 0x7f;
    public(&mut kind, "unreduced", "y is below 2^255 - 19", sign::encode(&[7; 8], &unreduced));
    unreduced[0] = 0xed;
    public(&mut kind, "unreduced-zero", "y is below 2^255 - 19", sign::encode(&[7; 8], &unreduced));
    for (n, hex) in SMALL_ORDER.iter().enumerate() {
        let mut bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        public(&mut kind, &format!("small-order-{n}"), "no point of small order", sign::encode(&[7; 8], &bytes));
        bytes[31] |= 0x80;
        public(&mut kind, &format!("small-order-{n}-negative"), "no point of small order", sign::encode(&[7; 8], &bytes));
    }
    for (name, hostile) in HOSTILE_NAMES {
        let hostile = (*hostile).to_owned();
        kind.malformed(&format!("name-{name}"), "a name has one grammar", |v| {
            let key = v["keys"].as_object_mut().unwrap().remove("root-1").unwrap();
            v["keys"][&hostile] = key;
            v["roles"]["trust"]["owners"]["keys"] = json!([hostile]);
        });
    }
    kind.malformed("holder-hostile", "a holder is a name", |v| v["keys"]["bob-1"]["holder"] = json!("../bob"));
    let many = |n: usize| {
        move |v: &mut Value| {
            let names: Vec<String> = (0..n).map(|n| format!("op{n:03}")).collect();
            for name in &names {
                v["keys"][name] = key(name, name);
            }
            v["roles"]["go"]["operators"]["keys"] = json!([vec!["alice-1".to_owned(), "bob-1".to_owned()], names].concat());
        }
    };
    kind.good("keys-256", "256 keys", many(251));
    kind.bad("keys-257", "and no more", 90, "limit", many(252));
    let groups = |n: usize| {
        move |v: &mut Value| {
            for n in 0..n {
                let name = format!("op{n}-1");
                v["keys"][&name] = key(&name, &name);
                v["roles"]["go"][format!("group{n}")] = json!({ "threshold": 1, "keys": [name] });
            }
        }
    };
    kind.good("groups-8", "8 groups in a role", groups(7));
    kind.bad("groups-9", "and no more", 90, "limit", groups(8));
    kind
}

/// The y coordinates of the points of small order, as in libsodium's list.
const SMALL_ORDER: [&str; 5] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

const HOSTILE_NAMES: &[(&str, &str)] = &[
    ("empty", ""),
    ("dot-dot", ".."),
    ("slash", "a/b"),
    ("backslash", "a\\b"),
    ("capital", "Root-1"),
    ("space", "a b"),
    ("umlaut", "ä"),
    ("hyphen-first", "-a"),
    ("minisig", "a.minisig"),
    ("65-characters", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
];

pub(super) fn index(mut kind: Kind) -> Kind {
    (kind.good["version"], kind.good["prev"]) = (json!(1), Value::Null);
    kind.common(1 << 20);
    kind.malformed("version-0", "an index has version 1 or more", |v| v["version"] = json!(0));
    kind.malformed("version-1-with-prev", "the first index has none before it", |v| {
        v["prev"] = json!({ "version": 0, "sha256": "a".repeat(64) })
    });
    kind.malformed("version-2-without-prev", "every other has", |v| v["version"] = json!(2));
    kind.good("version-2", "prev is the version before", |v| {
        (v["version"], v["prev"]) = (json!(2), json!({ "version": 1, "sha256": "a".repeat(64) }))
    });
    kind.malformed("prev-of-another-version", "and no other", |v| {
        (v["version"], v["prev"]) = (json!(3), json!({ "version": 1, "sha256": "a".repeat(64) }))
    });
    kind.good("no-groups", "an index may have no group", |v| v["groups"] = json!({}));
    for (name, group) in [
        ("no-slash", "prod"),
        ("two-slashes", "prod/a/b"),
        ("empty-role", "prod/"),
        ("empty-environment", "/router"),
        ("dots", "../router"),
    ] {
        kind.malformed(&format!("group-{name}"), "a group is ENV/ROLE", |v| {
            let pin = v["groups"]["prod/router"].clone();
            v["groups"] = json!({ group: pin });
        });
    }
    let groups = |n: usize| {
        move |v: &mut Value| {
            let pin = v["groups"]["prod/router"].clone();
            v["groups"] = Value::Object((0..n).map(|n| (format!("prod/r{n}"), pin.clone())).collect());
        }
    };
    kind.good("groups-4096", "4096 groups", groups(4096));
    kind.bad("groups-4097", "and no more", 90, "limit", groups(4097));
    kind.malformed("pin-without-size", "a pin is a digest and a size", |v| {
        drop(v["groups"]["prod/router"].as_object_mut().unwrap().remove("size"))
    });
    kind
}

pub(super) fn group(mut kind: Kind) -> Kind {
    kind.common(1 << 20);
    let hex = |c: &str| c.repeat(64);
    kind.malformed("no-hosts", "a group has a host", |v| v["hosts"] = json!({}));
    let hosts = |n: usize| {
        move |v: &mut Value| v["hosts"] = Value::Object((0..n).map(|n| (format!("h{n}"), json!({ "record_key": null }))).collect())
    };
    kind.good("hosts-1024", "1024 hosts", hosts(1024));
    kind.bad("hosts-1025", "and no more", 90, "limit", hosts(1025));
    kind.malformed("host-name", "a host is a name", |v| v["hosts"]["RTR-1"] = json!({ "record_key": null }));
    kind.good("record-key", "a host may have a record key", |v| v["hosts"]["rtr-1"]["record_key"] = json!(sign::public("rtr-1")));
    kind.malformed("record-key-malformed", "which is a public key", |v| v["hosts"]["rtr-1"]["record_key"] = json!("RWQ"));
    kind.malformed("record-key-missing", "or null", |v| v["hosts"]["rtr-1"] = json!({}));
    for (name, from, to) in [
        ("one-space", "  ", " "),
        ("binary-mark", "  ", " *"),
        ("other-directory", "bundles/", "bundle/"),
        ("other-file", "router-1.0", "router-1.1"),
        ("dots", "bundles/", "../bundles/"),
    ] {
        kind.malformed(&format!("sha256sum-{name}"), "the line is that of sha256sum -c", |v| {
            v["bundle"]["sha256sum"] = json!(v["bundle"]["sha256sum"].as_str().unwrap().replacen(from, to, 1))
        });
    }
    kind.malformed("sha256sum-two-digests", "digest and path are of one bundle", |v| {
        let line = v["bundle"]["sha256sum"].as_str().unwrap().to_owned();
        v["bundle"]["sha256sum"] = json!(format!("{}{}", hex("a"), &line[64..]));
    });
    kind.malformed("release-that-is-not-in-the-path", "the path is that of the entry's fields", |v| v["bundle"]["release"] = json!("1.1"));
    kind.malformed("environment-that-is-not-in-the-path", "the path is that of the group's environment", |v| {
        v["environment"] = json!("uat")
    });
    kind.good("bundle-4-gib", "a bundle of 4 GiB, a stream of 8", |v| {
        (v["bundle"]["size"], v["bundle"]["unpacked_size"]) = (json!(4u64 << 30), json!(8u64 << 30))
    });
    kind.bad("bundle-too-large", "and no more", 90, "limit", |v| v["bundle"]["size"] = json!((4u64 << 30) + 1));
    kind.bad("stream-too-large", "and no more", 90, "limit", |v| v["bundle"]["unpacked_size"] = json!((8u64 << 30) + 1));
    kind.malformed("mode-unknown", "install, upgrade or rollback", |v| v["mode"] = json!("downgrade"));
    kind.malformed("install-with-from", "install replaces nothing", |v| v["from"] = json!([hex("a")]));
    kind.malformed("upgrade-without-from", "upgrade replaces something", |v| v["mode"] = json!("upgrade"));
    kind.good("upgrade", "an upgrade", |v| (v["mode"], v["from"]) = (json!("upgrade"), json!([hex("a")])));
    let digest = |v: &Value| v["bundle"]["sha256sum"].as_str().unwrap()[..64].to_owned();
    kind.good("rollback", "a rollback", |v| {
        (v["mode"], v["from"], v["rollback_targets"]) = (json!("rollback"), json!([hex("a")]), json!([digest(v)]))
    });
    kind.bad("rollback-to-no-target", "its bundle is a target", 84, "transition", |v| {
        (v["mode"], v["from"]) = (json!("rollback"), json!([hex("a")]))
    });
    kind.bad("revoked", "the bundle is not revoked", 83, "revoked", |v| v["revoked"] = json!([digest(v)]));
    for list in ["from", "rollback_targets", "revoked"] {
        kind.malformed(&format!("{list}-unsorted"), "lists are sorted", |v| {
            (v["mode"], v["from"], v[list]) = (json!("upgrade"), json!([hex("a")]), json!([hex("b"), hex("a")]))
        });
    }
    let digests = |n: u64| Value::Array((0..n).map(|n| json!(format!("{n:064x}"))).collect());
    kind.good("rollback-targets-64", "64 rollback targets", |v| v["rollback_targets"] = digests(64));
    kind.bad("rollback-targets-65", "and no more", 90, "limit", |v| v["rollback_targets"] = digests(65));
    kind.good("revoked-4096", "4096 revoked bundles", |v| v["revoked"] = digests(4096));
    kind.bad("revoked-4097", "and no more", 90, "limit", |v| v["revoked"] = digests(4097));
    let flag = |id: u64, name: &str, state: &str| json!({ "id": id, "name": name, "meaning": "a".repeat(64), "state": state });
    kind.good("ledger", "a ledger", |v| {
        v["ledger"] = json!([flag(7, "power_peg", "retired"), flag(9, "rlp", "active"), flag(10, "x", "active")])
    });
    kind.malformed("ledger-by-text", "ids are sorted as numbers", |v| {
        v["ledger"] = json!([flag(10, "x", "active"), flag(9, "rlp", "active")])
    });
    kind.malformed("ledger-id-twice", "an id is there once", |v| {
        v["ledger"] = json!([flag(7, "power_peg", "retired"), flag(7, "rlp", "active")])
    });
    kind.malformed("ledger-state", "active or retired", |v| v["ledger"] = json!([flag(7, "power_peg", "deprecated")]));
    kind.malformed("ledger-name", "a flag's name has a grammar", |v| v["ledger"] = json!([flag(7, "Power Peg", "retired")]));
    kind.malformed("gate-unknown", "all or none", |v| v["gate"] = json!("most"));
    kind.good("gate-all", "a gate", |v| v["gate"] = json!("all"));
    kind.malformed("lease-unknown", "grace or strict", |v| v["freshness"]["lease"] = json!("long"));
    kind.malformed("silence-without-stop", "every key is present, also a null", |v| {
        drop(v["silence"].as_object_mut().unwrap().remove("stop_seconds"))
    });
    kind.good("silence-with-stop", "a number or null", |v| v["silence"]["stop_seconds"] = json!(60));
    for (name, target) in [
        ("one-part", "x86_64"),
        ("seven-parts", "a-b-c-d-e-f"),
        ("capital", "X86_64-linux"),
        ("dot-first", "x.86-linux"),
        ("empty-part", "x86_64--linux"),
    ] {
        kind.malformed(&format!("target-{name}"), "a target triple", |v| {
            let line = v["bundle"]["sha256sum"].as_str().unwrap().replacen("x86_64-unknown-linux-gnu", target, 1);
            (v["bundle"]["sha256sum"], v["bundle"]["target"]) = (json!(line), json!(target));
        });
    }
    kind.malformed("commit-short", "a commit is 40 or 64 hex digits", |v| v["bundle"]["source_commit"] = json!("c".repeat(41)));
    kind.good("commit-sha-256", "also of a SHA-256 repository", |v| v["bundle"]["source_commit"] = json!("c".repeat(64)));
    kind
}

pub(super) fn halt(mut kind: Kind) -> Kind {
    kind.common(4 << 10);
    for (name, scope) in [
        ("group", json!({ "group": "prod/router" })),
        ("host", json!({ "host": "rtr-1" })),
        ("bundle", json!({ "bundle": "a".repeat(64) })),
    ] {
        kind.good(&format!("scope-{name}"), "a scope", |v| v["scope"] = scope);
    }
    for (name, scope) in [
        ("unknown", json!("all")),
        ("null", json!(null)),
        ("empty", json!({})),
        ("everything-as-object", json!({ "everything": null })),
        ("two", json!({ "group": "prod/router", "host": "rtr-1" })),
        ("array", json!(["everything"])),
        ("group-malformed", json!({ "group": "router" })),
        ("host-malformed", json!({ "host": "RTR-1" })),
        ("bundle-malformed", json!({ "bundle": "a" })),
    ] {
        kind.malformed(&format!("scope-{name}"), "a scope has one spelling", |v| v["scope"] = scope);
    }
    kind.malformed("mode-unknown", "kill or drain", |v| v["mode"] = json!("pause"));
    for (name, mode, seconds, good) in [
        ("kill-with-seconds", "kill", json!(1), false),
        ("drain-without-seconds", "drain", json!(null), false),
        ("drain-0", "drain", json!(0), false),
        ("drain-1", "drain", json!(1), true),
        ("drain-3600", "drain", json!(3600), true),
        ("drain-3601", "drain", json!(3601), false),
    ] {
        let edit = |v: &mut Value| (v["mode"], v["drain_seconds"]) = (json!(mode), seconds);
        let says = "a drain is from 1 s to an hour";
        if good { kind.good(name, says, edit) } else { kind.malformed(name, says, edit) }
    }
    reasons(&mut kind);
    kind.malformed("by", "by a holder", |v| v["by"] = json!("Alice"));
    kind
}

fn reasons(kind: &mut Kind) {
    kind.malformed("reason-empty", "a reason is given", |v| v["reason"] = json!(""));
    kind.good("reason-120-bytes", "in at most 120 bytes", |v| v["reason"] = json!("ä".repeat(60)));
    kind.malformed("reason-121-bytes", "and no more", |v| v["reason"] = json!("ä".repeat(60) + "x"));
    kind.malformed("reason-with-escape", "a reason holds no control character", |v| v["reason"] = json!("\u{1b}[31m"));
}

pub(super) fn resume(mut kind: Kind) -> Kind {
    kind.common(4 << 10);
    reasons(&mut kind);
    kind.malformed("halt-malformed", "it lifts one halt", |v| v["halt"] = json!([v["halt"]]));
    kind.malformed("proposer", "a proposer is a name", |v| v["proposer"] = json!("CI"));
    kind
}

pub(super) fn adopt(mut kind: Kind) -> Kind {
    kind.common(64 << 10);
    kind.malformed("no-groups", "a host follows a group", |v| v["groups"] = json!([]));
    let groups = |n: usize| move |v: &mut Value| v["groups"] = (0..n).map(|n| json!(format!("prod/r{n:02}"))).collect();
    kind.good("groups-64", "64 groups", groups(64));
    kind.bad("groups-65", "and no more", 90, "limit", groups(65));
    kind.malformed("groups-unsorted", "sorted", |v| v["groups"] = json!(["prod/router", "prod/quoter"]));
    kind.malformed("group-of-another-environment", "of its environment", |v| v["groups"] = json!(["uat/router"]));
    kind.malformed("halts-unsorted", "sorted", |v| v["halts"] = json!(["b".repeat(64), "a".repeat(64)]));
    kind.malformed("expires-when-issued", "it expires after it was issued", |v| v["expires"] = v["issued"].clone());
    kind.good("seven-days", "within seven days", |v| v["expires"] = json!("2026-03-09T09:00:00Z"));
    kind.malformed("seven-days-and-a-second", "and no later", |v| v["expires"] = json!("2026-03-09T09:00:01Z"));
    kind
}

pub(super) fn latest(mut kind: Kind) -> Kind {
    kind.common(1 << 10);
    kind.good("nothing-yet", "there may be no index and no head yet", |v| (v["index"], v["head"]) = (json!(0), json!(0)));
    let digests = |n: u64| Value::Array((0..n).map(|n| json!(format!("{n:064x}"))).collect());
    kind.good("halts-8", "8 halts", |v| v["halts"] = digests(8));
    kind.spelled(
        "repository",
        "latest is of no repository",
        "\"kind\": \"latest\",",
        "\"kind\": \"latest\", \"repository\": \"0123456789abcdef0123456789abcdef\",",
    );
    let mut nine = kind.good.clone();
    nine["halts"] = digests(9);
    // Nine digests and all the rest, in one line, are less than 1024 bytes.
    kind.case("halts-9", "and no more", serde_json::to_vec(&nine).unwrap(), 0, 90, "limit");
    kind.malformed("halts-unsorted", "sorted", |v| v["halts"] = json!(["b".repeat(64), "a".repeat(64)]));
    kind
}
