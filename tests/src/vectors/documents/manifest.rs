//! Cases of the manifest: FORMAT.md section 6.

use super::Kind;
use serde_json::{Value, json};

pub(super) fn manifest(mut kind: Kind) -> Kind {
    kind.common(4 << 20);
    let policy = |kind: &mut Kind, name: &str, says: &str, edit: &dyn Fn(&mut Value)| kind.bad(name, says, 97, "payload-policy", edit);
    let file = |path: &str| json!({ "path": path, "size": 1, "mode": "0644", "sha256": "a".repeat(64) });
    let with = |paths: &'static [&'static str]| {
        move |v: &mut Value| {
            let files = v["files"].as_array_mut().unwrap();
            files.extend(paths.iter().map(|path| file(path)));
            files.sort_by_key(|file| file["path"].as_str().unwrap().to_owned());
        }
    };
    kind.bad("contract-2", "another contract is unknown", 90, "unknown-format", |v| v["contract"] = json!(2));
    kind.malformed("files-unsorted", "files are sorted", |v| v["files"].as_array_mut().unwrap().reverse());
    kind.malformed("file-twice", "a file is there once", |v| {
        let first = v["files"][0].clone();
        v["files"].as_array_mut().unwrap().insert(0, first);
    });
    for (name, path) in [
        ("dot-dot", "root/../etc/passwd"),
        ("dot", "root/./a"),
        ("absolute", "/root/a"),
        ("double-slash", "root//a"),
        ("slash-last", "root/a/"),
        ("backslash", "root/a\\b"),
        ("space", "root/a b"),
        ("umlaut", "root/ä"),
        ("neither-root-nor-hosts", "etc/a"),
        ("no-host", "hosts/a"),
        ("host-malformed", "hosts/A/b"),
        ("manifest", "manifest.json"),
        ("empty", ""),
        ("over-100-bytes", "root/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("component-over-64-bytes", "root/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    ] {
        kind.malformed(&format!("path-{name}"), "a member path has one grammar", |v| {
            let files = v["files"].as_array_mut().unwrap();
            files.push(file(path));
            files.sort_by_key(|file| file["path"].as_str().unwrap().to_owned());
        });
    }
    kind.malformed("mode-setuid", "0644 or 0755", |v| v["files"][0]["mode"] = json!("4755"));
    kind.good("overlay", "a host may have files of its own", with(&["hosts/rtr-1/etc/router.toml", "hosts/rtr-2/etc/more.toml"]));
    policy(&mut kind, "case-twins", "paths differ in more than case", &with(&["root/etc/Router.toml"]));
    policy(&mut kind, "case-twins-over-an-overlay", "also over an overlay", &with(&["hosts/rtr-1/etc/ROUTER.toml"]));
    kind.good("case-twins-of-two-hosts", "but not between two hosts", with(&["hosts/rtr-1/etc/more", "hosts/rtr-2/etc/More"]));
    policy(&mut kind, "file-and-directory", "a path is a file or a directory", &with(&["root/etc/router.toml/more"]));
    policy(&mut kind, "file-and-directory-over-an-overlay", "also over an overlay", &with(&["hosts/rtr-1/etc/router.toml/more"]));
    policy(&mut kind, "file-and-directory-in-another-case", "in whichever case", &with(&["root/ETC/Router.toml/more"]));
    for (name, path) in [
        ("proc", &["root/proc/self"] as &'static [&str]),
        ("dev", &["root/dev/null"]),
        ("credentials", &["root/run/credentials/a"]),
        ("proc-itself", &["root/proc"]),
    ] {
        policy(&mut kind, &format!("file-in-{name}"), "a file is not where the verifier mounts", &with(path));
    }
    policy(&mut kind, "file-above-credentials", "nor what must be a directory for it", &with(&["root/run"]));
    policy(&mut kind, "file-above-state", "nor above the state directory", &|v| {
        with(&["root/srv"])(v);
        v["launch"]["state"] = json!("/srv/state");
    });
    policy(&mut kind, "file-above-a-host-file", "nor above a file of the host", &|v| {
        with(&["root/hosts"])(v);
        v["launch"]["host_files"] = json!([{ "path": "/hosts/a", "sha256": "unverified" }]);
    });
    kind.good("directories-differ-in-case", "directories may differ only in case", with(&["root/ETC/a", "root/etc/b"]));
    kind.good("file-beside-proc", "but may be beside it", with(&["root/procs/a", "root/run/a"]));
    policy(&mut kind, "file-in-state", "nor in the state directory", &|v| v["launch"]["state"] = json!("/etc"));
    policy(&mut kind, "file-at-a-host-file", "nor at a file of the host", &|v| {
        v["launch"]["host_files"] = json!([{ "path": "/etc/router.toml", "sha256": "unverified" }])
    });
    policy(&mut kind, "argv-relative", "the program is /PATH", &|v| v["launch"]["argv"] = json!(["bin/router"]));
    policy(&mut kind, "argv-not-there", "of a file of root/", &|v| v["launch"]["argv"] = json!(["/bin/sh"]));
    policy(&mut kind, "argv-not-executable", "with mode 0755", &|v| v["launch"]["argv"] = json!(["/etc/router.toml"]));
    policy(&mut kind, "argv-empty", "there is a program", &|v| v["launch"]["argv"] = json!([]));
    kind.malformed("argv-nul", "arguments hold no NUL", |v| v["launch"]["argv"] = json!(["/bin/router", "a\0b"]));
    let argv = |n: usize| {
        move |v: &mut Value| {
            v["launch"]["argv"] = std::iter::once(json!("/bin/router")).chain((1..n).map(|n| json!(n.to_string()))).collect()
        }
    };
    kind.good("argv-256", "256 arguments", argv(256));
    kind.bad("argv-257", "and no more", 90, "limit", argv(257));
    for name in ["LD_PRELOAD", "LD_X", "GLIBC_TUNABLES", "path", "1A", "A-B", ""] {
        let shown = if name.is_empty() { "empty".to_owned() } else { name.to_lowercase().replace('_', "-") };
        policy(&mut kind, &format!("env-{shown}"), "a variable of the loader, or no variable", &|v| {
            v["launch"]["env"] = json!({ name: "x" })
        });
    }
    policy(&mut kind, "env-of-the-supervisor", "a variable is not both", &|v| {
        (v["launch"]["env"], v["launch"]["supervisor"]) = (json!({ "NOTIFY_SOCKET": "x" }), json!(["NOTIFY_SOCKET"]))
    });
    kind.good("env-of-no-supervisor", "but one or the other", |v| v["launch"]["env"] = json!({ "NOTIFY_SOCKET": "x" }));
    kind.malformed("env-line-end", "a value holds no line end", |v| v["launch"]["env"] = json!({ "A": "x\ny" }));
    policy(&mut kind, "root", "root only where it says so", &|v| v["launch"]["user"] = json!("root"));
    kind.good("dangerous-root", "and says how dangerous that is", |v| {
        (v["launch"]["user"], v["launch"]["dangerous_root"]) = (json!("root"), json!(true))
    });
    kind.good("capabilities", "capabilities of the closed list", |v| {
        v["launch"]["capabilities"] = json!(["CAP_IPC_LOCK", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SYS_NICE"])
    });
    kind.malformed("capability-of-no-list", "and no others", |v| v["launch"]["capabilities"] = json!(["CAP_SYS_ADMIN"]));
    kind.malformed("capabilities-unsorted", "sorted", |v| v["launch"]["capabilities"] = json!(["CAP_SYS_NICE", "CAP_IPC_LOCK"]));
    for (name, path) in [("proc", "/proc/x"), ("dev", "/dev"), ("run", "/run/x")] {
        policy(&mut kind, &format!("state-in-{name}"), "a state directory of its own", &|v| v["launch"]["state"] = json!(path));
        policy(&mut kind, &format!("host-file-in-{name}"), "a file of the host's own", &|v| {
            v["launch"]["host_files"] = json!([{ "path": path, "sha256": "unverified" }])
        });
    }
    kind.good("state", "a state directory", |v| v["launch"]["state"] = json!("/state"));
    kind.malformed("state-relative", "it is absolute", |v| v["launch"]["state"] = json!("state"));
    kind.malformed("state-dots", "and goes nowhere else", |v| v["launch"]["state"] = json!("/a/../b"));
    for (name, path) in [("below", "/state/x"), ("at", "/state"), ("above", "/a")] {
        policy(&mut kind, &format!("host-file-{name}-state"), "files of the host are outside the state directory", &|v| {
            v["launch"]["state"] = json!(if name == "above" { "/a/state" } else { "/state" });
            v["launch"]["host_files"] = json!([{ "path": path, "sha256": "unverified" }]);
        });
    }
    kind.good("host-files", "with its digest, or unverified", |v| {
        v["launch"]["host_files"] =
            json!([{ "path": "/etc/hosts", "sha256": "a".repeat(64) }, { "path": "/etc/resolv.conf", "sha256": "unverified" }])
    });
    policy(&mut kind, "host-file-below-another", "none below another", &|v| {
        v["launch"]["host_files"] = json!([{ "path": "/a", "sha256": "unverified" }, { "path": "/a/b", "sha256": "unverified" }])
    });
    kind.malformed("host-file-unchecked", "and no other word", |v| {
        v["launch"]["host_files"] = json!([{ "path": "/etc/hosts", "sha256": "any" }])
    });
    kind.malformed("supervisor-unknown", "variables of the closed list", |v| v["launch"]["supervisor"] = json!(["LISTEN_FDS"]));
    kind.malformed("supervisor-unsorted", "sorted", |v| v["launch"]["supervisor"] = json!(["WATCHDOG_USEC", "NOTIFY_SOCKET"]));
    kind.malformed("credentials-unsorted", "sorted", |v| v["launch"]["credentials"] = json!(["b", "a"]));
    let credentials = |n: usize| move |v: &mut Value| v["launch"]["credentials"] = (0..n).map(|n| json!(format!("c{n:02}"))).collect();
    kind.good("credentials-64", "64 credentials", credentials(64));
    kind.bad("credentials-65", "and no more", 90, "limit", credentials(65));
    let flags =
        |n: u64| move |v: &mut Value| v["flags"] = (0..n).map(|n| json!({ "id": n, "name": "x", "meaning": "a".repeat(64) })).collect();
    kind.good("flags-1024", "1024 flags", flags(1024));
    kind.bad("flags-1025", "and no more", 90, "limit", flags(1025));
    kind.malformed("flags-unsorted", "sorted by id", |v| {
        v["flags"] = json!([{ "id": 2, "name": "x", "meaning": "a".repeat(64) }, { "id": 1, "name": "y", "meaning": "a".repeat(64) }])
    });
    kind.good("source-time-last", "the last time that a tar header holds", |v| v["source"]["time"] = json!("2242-03-16T12:56:31Z"));
    kind.bad("source-time-too-late", "and none after it", 90, "limit", |v| v["source"]["time"] = json!("2242-03-16T12:56:32Z"));
    for (name, spelling, is_good) in [
        ("plain", "a \\\" \\\\ \\/ \\u00e9 \u{e9} \u{1f600}", true),
        ("pair", "\\ud83d\\ude00", true),
        ("nul", "\\u0000", false),
        ("escape", "\\u001b", false),
        ("delete", "\\u007f", false),
        ("c1-control", "\\u009b", false),
        ("raw-delete", "\u{7f}", false),
        ("raw-c1-control", "\u{9b}", false),
        ("raw-tab", "\t", false),
        ("tab", "\\t", false),
        ("lone-surrogate", "\\ud800", false),
        ("lone-low-surrogate", "\\udc00", false),
        ("pair-the-wrong-way", "\\udc00\\ud800", false),
        ("unknown-escape", "\\x41", false),
        ("half-an-escape", "\\u00e", false),
    ] {
        let text = argument(&kind, spelling.as_bytes());
        let (code, word) = if is_good { (0, "done") } else { (90, "malformed") };
        kind.case(&format!("argument-{name}"), "the same where any text may stand", text, 0, code, word);
    }
    for (name, bytes) in [
        ("overlong-utf-8", &b"\xc1\xa1"[..]),
        ("surrogate-in-utf-8", b"\xed\xa0\x80"),
        ("beyond-unicode", b"\xf4\x90\x80\x80"),
        ("cut-utf-8", b"\xc3"),
    ] {
        let text = argument(&kind, bytes);
        kind.case(&format!("argument-{name}"), "UTF-8, in its shortest form", text, 0, 90, "malformed");
    }
    for (length, code, word) in [(4096, 0, "done"), (4097, 90, "malformed")] {
        // Bytes, not characters.
        let text = argument(&kind, [vec![b'x'; length - 2], "\u{e9}".as_bytes().to_vec()].concat().as_slice());
        kind.case(&format!("argument-of-{length}-bytes"), "a string has at most 4096 bytes", text, 0, code, word);
    }
    for limit in ["open_files", "processes", "core_bytes", "memory_bytes"] {
        kind.good(&format!("limits-without-{limit}"), "each may be null", |v| v["launch"]["limits"][limit] = Value::Null);
    }
    kind.malformed("limits-text", "a limit is an integer or null", |v| v["launch"]["limits"]["open_files"] = json!("64"));
    kind
}

/// The good manifest with a second argument of these bytes.
fn argument(kind: &Kind, bytes: &[u8]) -> Vec<u8> {
    let mut value = kind.good.clone();
    value["launch"]["argv"] = json!(["/bin/router", "PLACE"]);
    let text = super::super::print(&value);
    let at = text.windows(5).position(|window| window == b"PLACE").unwrap();
    [&text[..at], bytes, &text[at + 5..]].concat()
}
