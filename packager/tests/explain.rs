//! `proofmark explain` through the real program: exit codes, the three outputs, and input that lies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use proofmark::pack::{self, Content, Member};
use proofmark_core::manifest::{FileMode, Manifest};
use serde_json::{Value, json};

fn explain(arguments: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_proofmark")).arg("explain").args(arguments).output().unwrap()
}

fn json_of(arguments: &[&Path]) -> Value {
    let mut all = vec![Path::new("--json")];
    all.extend(arguments);
    serde_json::from_slice(&explain(&all).stdout).unwrap()
}

/// A bundle with one program and one file of settings.
fn bundle(directory: &Path, name: &str, commit: char, program: &[u8], settings: &str) -> PathBuf {
    let manifest: Manifest = serde_json::from_value(json!({
        "format": 1, "kind": "manifest", "contract": 1,
        "product": "router", "release": "1.2", "environment": "prod", "target": "x86_64-unknown-linux-gnu", "wire_epoch": 2,
        "source": { "commit": commit.to_string().repeat(40), "tree": "b".repeat(40), "time": "2026-11-01T12:00:00Z" },
        "buildinfo": "c".repeat(64),
        "flags": [{ "id": 9, "name": "rlp", "meaning": "d".repeat(64) }],
        "files": [],
        "launch": {
            "argv": ["/bin/router"], "env": {}, "user": "router", "dangerous_root": false,
            "limits": { "open_files": null, "processes": null, "core_bytes": 0, "memory_bytes": null },
            "capabilities": [], "state": null, "credentials": [], "supervisor": [], "host_files": []
        }
    }))
    .unwrap();
    let member = |path: &str, mode, bytes: &[u8]| Member { path: path.parse().unwrap(), mode, content: Content::Bytes(bytes.to_vec()) };
    let members =
        vec![member("root/bin/router", FileMode::Program, program), member("root/etc/router.toml", FileMode::Data, settings.as_bytes())];
    let path = directory.join(format!("{name}.tar.zst"));
    pack::pack(manifest, members, &mut fs::File::create(&path).unwrap()).unwrap();
    path
}

#[test]
fn two_bundles_name_commit_program_and_settings_and_say_that_nothing_was_verified() {
    let dir = tempfile::tempdir().unwrap();
    let a = bundle(dir.path(), "a", '1', b"\0\0built at 12:00:01\0", "port = 1\n");
    let b = bundle(dir.path(), "b", '2', b"\0\0built at 12:00:03\0", "port = 2\n");
    let output = explain(&[&a, &b]);
    assert_eq!(output.status.code(), Some(81));
    let says = String::from_utf8(output.stdout).unwrap();
    for part in
        ["unverified", "root/bin/router: differs", "built at 12:00:03", "port = 2", "key /source/commit", "another source", "the clock"]
    {
        assert!(says.contains(part), "{part} in:\n{says}");
    }
    assert!(says.lines().count() <= 50, "fits a screen:\n{says}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("[81 different]"));
    assert!(explain(&[&a, &a]).status.success());
}

#[test]
fn a_bundle_that_does_not_agree_with_itself_is_malformed() {
    let dir = tempfile::tempdir().unwrap();
    let good = bundle(dir.path(), "good", '1', b"program", "port = 1\n");
    let bad = dir.path().join("bad.tar.zst");
    let stream = zstd::decode_all(fs::File::open(&good).unwrap()).unwrap();
    let pack = |stream: &[u8], window: u32, size: bool| {
        let mut out = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        out.window_log(window).unwrap();
        out.include_checksum(true).unwrap();
        out.include_contentsize(size).unwrap();
        out.set_pledged_src_size(size.then_some(stream.len() as u64)).unwrap();
        std::io::Write::write_all(&mut out, stream).unwrap();
        out.finish().unwrap()
    };
    let changed = |at: usize| {
        let mut stream = stream.clone();
        stream[at] ^= 1;
        stream
    };
    let end = stream.len();
    let program = stream.windows(7).rposition(|window| window == b"program").unwrap();
    let more = [pack(&stream, 23, true), vec![0]].concat();
    for (what, bytes) in [
        ("content that is not the manifest's", pack(&changed(program), 23, true)),
        ("a link", pack(&changed(program - 512 + 156), 23, true)),
        ("a manifest that is no JSON", pack(&changed(512), 23, true)),
        ("a manifest larger than allowed", pack(&changed(125), 23, true)),
        ("zeros that are none", pack(&changed(end - 1), 23, true)),
        ("half a stream", pack(&stream[..end / 2], 23, true)),
        ("an empty stream", pack(&[], 23, true)),
        ("no content size", pack(&stream, 23, false)),
        ("bytes after the frame", more),
        ("half a frame", fs::read(&good).unwrap()[..200].to_vec()),
        ("four bytes", vec![0x28, 0xb5, 0x2f, 0xfd]),
    ] {
        fs::write(&bad, bytes).unwrap();
        let output = explain(&[&good, &bad]);
        assert_eq!(output.status.code(), Some(90), "{what}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("refused:"), "{what}");
        assert!(output.stdout.is_empty(), "{what}");
    }
}

#[test]
fn the_shape_of_the_json_is_the_documented_one() {
    let dir = tempfile::tempdir().unwrap();
    for (side, stamp) in [("x", "01"), ("y", "03")] {
        let out = dir.path().join(side).join("target/release/build/leaky-0123456789abcdef/out");
        fs::create_dir_all(&out).unwrap();
        fs::write(out.join("stamp.rs"), format!("// made\nconst AT: &str = \"2026-11-24 23:00:{stamp}\";\n")).unwrap();
        fs::write(dir.path().join(side).join("same"), "same").unwrap();
    }
    let (x, y) = (dir.path().join("x"), dir.path().join("y"));
    let path = "target/release/build/leaky-0123456789abcdef/out/stamp.rs";
    let (first, second) = ("const AT: &str = \"2026-11-24 23:00:01\";", "const AT: &str = \"2026-11-24 23:00:03\";");
    let remedy = "take the time from SOURCE_DATE_EPOCH, which is the commit's, or leave it out";
    let want = json!({
        "ok": false,
        "refused": {
            "what": "not identical", "subject": path, "code": 81, "reason": "different", "want": null, "have": null, "next": remedy
        },
        "explanation": {
            "format": 1, "kind": "explanation", "identical": false, "verified": false,
            "sides": [
                { "path": x.to_str(), "kind": "tree", "size": 52, "sha256": null },
                { "path": y.to_str(), "kind": "tree", "size": 52, "sha256": null }
            ],
            "same": 1,
            "members": [{
                "path": path, "role": "build_script", "change": "bytes", "content": "text", "sizes": [48, 48], "modes": null, "offset": 44,
                "hex": {
                    "offsets": [40, 40],
                    "bytes": ["30 30 3a 30 31 22 3b 0a", "30 30 3a 30 33 22 3b 0a"]
                },
                "sections": [], "symbols": [], "moved": 0, "strings": [], "fields": [],
                "lines": [{ "numbers": [2, 2], "text": [first, second] }]
            }],
            "causes": [{
                "cause": "time", "member": path, "place": "line 2", "evidence": [first, second], "krate": "leaky", "remedy": remedy
            }],
            "notes": []
        }
    });
    let have = json_of(&[&x, &y]);
    assert_eq!(have, want, "{have:#}");
    let same = json_of(&[&x, &x]);
    assert_eq!((&same["ok"], &same["explanation"]["identical"], &same["explanation"]["same"]), (&json!(true), &json!(true), &json!(2)));
}

#[test]
fn nothing_of_a_hostile_file_reaches_the_terminal_or_the_page_unescaped() {
    let dir = tempfile::tempdir().unwrap();
    for (side, text) in [("x", "a <script>alert(1)</script>\x1b[31m"), ("y", "b <script>alert(1)</script>\x1b[31m")] {
        let directory = dir.path().join(side);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("<img src=x>\x1b]0;"), text).unwrap();
    }
    let (x, y, page) = (dir.path().join("x"), dir.path().join("y"), dir.path().join("page.html"));
    let output = explain(&[Path::new("--verbose"), Path::new("--html"), &page, &x, &y]);
    assert_eq!(output.status.code(), Some(81));
    let html = fs::read_to_string(&page).unwrap();
    for out in [&output.stdout, &output.stderr, &html.clone().into_bytes()] {
        assert!(!out.contains(&0x1b), "{}", String::from_utf8_lossy(out));
    }
    assert!(!html.contains("<script") && !html.contains("<img") && html.contains("&lt;script&gt;"), "{html}");
}

#[test]
fn other_kinds_and_missing_files_have_their_own_codes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    fs::write(&file, "f").unwrap();
    let code = |a: &Path, b: &Path| explain(&[a, b]).status.code();
    assert_eq!(code(&file, dir.path()), Some(2));
    assert_eq!(code(&file, &dir.path().join("none")), Some(95));
    assert_eq!(code(&file, &file), Some(0));
    assert_eq!(explain(&[&file]).status.code(), Some(2));
    let unwritable = dir.path().join("none/page.html");
    assert_eq!(explain(&[Path::new("--html"), &unwritable, &file, &file]).status.code(), Some(95));
}

#[test]
fn diffoscope_is_called_where_it_is_installed_and_its_absence_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
    fs::write(&a, "one\n").unwrap();
    fs::write(&b, "two\n").unwrap();
    let output = explain(&[Path::new("--diffoscope"), &a, &b]);
    let says = String::from_utf8_lossy(&output.stdout).into_owned();
    if proofmark::compare::is_installed().is_some() {
        assert_eq!(output.status.code(), Some(81), "{output:?}");
        assert!(says.contains("diffoscope says:") && says.contains("-one") && says.contains("+two"), "{says}");
        assert!(String::from_utf8_lossy(&explain(&[&a, &b]).stdout).contains("diffoscope is installed"));
    } else {
        eprintln!("skipped: diffoscope is not installed; only its absence is tested");
        assert_eq!(output.status.code(), Some(91), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("[91 no-diffoscope]"));
    }
}
