//! The engine over real files: programs that compilers made here, one pair of trees for each cause, and bytes that nobody should trust.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::report::{Change, Content, Explanation, SymbolKind};
use super::{Cause, explain};

/// Compiles a Rust program; `strip` is rustc's.
fn program(source: &str, strip: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("demo.rs"), source).unwrap();
    let status = Command::new("rustc")
        .args(["--edition", "2021", "-C", "opt-level=1", "-C", "codegen-units=1", "-C", &format!("strip={strip}"), "-o", "demo", "demo.rs"])
        .current_dir(dir.path())
        .status();
    assert!(status.unwrap().success());
    fs::read(dir.path().join("demo")).unwrap()
}

/// Compiles C to an object.
fn object(source: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("x.c"), source).unwrap();
    assert!(Command::new("cc").args(["-O1", "-c", "x.c"]).current_dir(dir.path()).status().unwrap().success());
    fs::read(dir.path().join("x.o")).unwrap()
}

fn files(a: &[u8], b: &[u8]) -> Explanation {
    let dir = tempfile::tempdir().unwrap();
    let (x, y) = (dir.path().join("x"), dir.path().join("y"));
    fs::write(&x, a).unwrap();
    fs::write(&y, b).unwrap();
    explain(&x, &y).unwrap()
}

/// Two trees with these files in them: path, first content, second content.
fn trees(list: &[(&str, &[u8], &[u8])]) -> Explanation {
    let dir = tempfile::tempdir().unwrap();
    for (path, a, b) in list {
        for (side, bytes) in [("x", a), ("y", b)] {
            let path = dir.path().join(side).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    explain(&dir.path().join("x"), &dir.path().join("y")).unwrap()
}

const DEMO: &str = r#"
    #[inline(never)] fn limit(live: usize) -> bool { live >= 256 }
    #[inline(never)] fn other(live: usize) -> String { format!("MESSAGE {live} {}", limit(live)) }
    #[inline(never)] fn third(word: &str) -> usize { word.len() + std::hint::black_box(word).bytes().filter(|b| *b > 9).count() }
    fn main() { let n = std::env::args().count(); println!("{} {}", other(n), third("a constant text of some length")); }
"#;

#[test]
fn the_function_with_one_changed_byte_of_source_is_named_and_no_other() {
    let report = files(&program(DEMO, "none"), &program(&DEMO.replace(">= 256", "<= 256"), "none"));
    let member = &report.members[0];
    let names: Vec<&str> = member.symbols.iter().map(|symbol| symbol.name.as_str()).collect();
    assert_eq!(names, ["demo::limit"], "{names:?}");
    assert_eq!(member.symbols[0].krate.as_deref(), Some("demo"));
    assert_eq!(member.sections[0].name, ".text");
    assert_eq!((report.causes[0].cause, report.causes[0].krate.as_deref()), (Cause::Source, Some("demo")));
}

#[test]
fn functions_that_only_moved_are_counted_and_not_told() {
    // A longer text moves everything behind it; only the function that holds its length changed.
    let report = files(&program(DEMO, "none"), &program(&DEMO.replace("MESSAGE", &"A LONGER MESSAGE ".repeat(40)), "none"));
    let member = &report.members[0];
    let names: Vec<&str> = member.symbols.iter().map(|symbol| symbol.name.as_str()).collect();
    assert!(names.iter().any(|name| name.starts_with("demo::other")), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("third") || name.contains("limit")), "{names:?}");
    assert!(names.len() < 6, "{names:?}");
    assert!(member.moved > 20, "{} moved", member.moved);
}

#[test]
fn without_symbols_the_function_is_told_by_its_address_and_what_it_points_to() {
    const PANICS: &str = r#"
        #[inline(never)] fn pick(list: &[u8], at: usize) -> u8 { if at >= 256 { panic!("no such place in the list") } list[at] }
        fn main() { println!("{}", pick(&[1, 2, 3], std::env::args().count())); }
    "#;
    let report = files(&program(PANICS, "symbols"), &program(&PANICS.replace(">= 256", ">= 255"), "symbols"));
    let symbols = &report.members[0].symbols;
    assert_eq!(symbols.len(), 1, "{symbols:?}");
    assert_eq!(symbols[0].kind, SymbolKind::Unnamed);
    if cfg!(target_arch = "x86_64") {
        assert!(symbols[0].location.as_deref().is_some_and(|location| location.starts_with("demo.rs:2")), "{symbols:?}");
    }
    assert!(report.notes.iter().any(|note| note.contains("stripped")), "{:?}", report.notes);
}

#[test]
fn a_text_is_told_with_its_section_and_the_function_that_points_to_it() {
    let report = files(&program(DEMO, "none"), &program(&DEMO.replace("a constant text of", "b constant text of"), "none"));
    let text = &report.members[0].strings[0];
    assert_eq!(text.section.as_deref(), Some(".rodata"));
    assert!(text.text[1].as_ref().unwrap().contains("b constant text of some length"), "{text:?}");
    if cfg!(target_arch = "x86_64") {
        assert!(text.used_by.as_deref().is_some_and(|user| user.starts_with("demo::")), "{text:?}");
    }
}

#[test]
fn a_c_object_names_its_function_and_its_date() {
    const C: &str = "const char *stamp(void) { return \"built Nov  1 2026\"; }\nint twice(int x) { return 2 * x; }";
    let report = files(&object(C), &object(&C.replace("Nov  1", "Dec 24").replace("2 * x", "3 * x")));
    let member = &report.members[0];
    assert_eq!(member.content, Content::Elf);
    assert!(member.symbols.iter().any(|symbol| symbol.name == "twice"), "{:?}", member.symbols);
    assert_eq!(report.causes[0].cause, Cause::Time);
}

#[test]
fn each_cause_of_the_catalogue_is_found_in_a_real_pair_of_files() {
    let code = program(DEMO, "none");
    let info = |text: &str| format!("{{\"source\":{{\"commit\":\"a\"}},{text}}}").into_bytes();
    let (x, y) = (info("\"outputs\":[1]"), info("\"outputs\":[2]"));
    // The same functions in another order, as code that is generated in the order of a hash map.
    let moved = program(
        r#"
        #[inline(never)] fn third(word: &str) -> usize { word.len() + std::hint::black_box(word).bytes().filter(|b| *b > 9).count() }
        #[inline(never)] fn limit(live: usize) -> bool { live >= 256 }
        #[inline(never)] fn other(live: usize) -> String { format!("MESSAGE {live} {}", limit(live)) }
        fn main() { let n = std::env::args().count(); println!("{} {}", other(n), third("a constant text of some length")); }
        "#,
        "none",
    );
    let mut identity = code.clone();
    let elf = super::image::Image::read(&code).unwrap();
    let id = elf.section(".note.gnu.build-id").expect("rustc's linker writes a build id");
    identity[usize::try_from(id.offset + id.size - 1).unwrap()] ^= 1;
    const SCRIPT: &str = "target/release/build/leaky-0123456789abcdef/out/gen.rs";
    let script = |a: &str, b: &str| trees(&[(SCRIPT, a.as_bytes(), b.as_bytes())]);
    for cause in Cause::ALL {
        let report = match cause {
            Cause::Source => {
                trees(&[("root/bin/x", b"a", b"b"), ("buildinfo.json", &info("\"x\":1"), &info("\"x\":1").replace_first(b'a', b'b'))])
            }
            Cause::Configuration => trees(&[("root/etc/router.toml", b"port = 1\n", b"port = 2\n")]),
            Cause::Toolchain => files(&code, &with_text(&code, "rustc version 1.", "rustc version 2.")),
            Cause::Flags => trees(&[
                ("deps/libx-0123456789abcdef.rlib", b"a", b"a\0"),
                ("buildinfo.json", &info("\"rustflags\":[]"), &info("\"rustflags\":[\"-g\"]")),
            ]),
            Cause::Environment => script("const MODE: &str = \"BUILD_MODE=fast\";", "const MODE: &str = \"BUILD_MODE=slow\";"),
            Cause::Time => script("built at 2026-11-24 23:00:01", "built at 2026-11-24 23:00:09"),
            Cause::Path => script("include!(\"/tmp/a/x.rs\");", "include!(\"/tmp/other/x.rs\");"),
            Cause::UserHost => script("built by alice on anvil", "built by bob on forge"),
            Cause::Locale => script("lang de_DE", "lang tr_TR"),
            Cause::Processors => script("const CPUS: usize = 8;", "const CPUS: usize = 7;"),
            Cause::Address => script("at 0x7ffc12345678", "at 0x7ffd87654321"),
            Cause::Order => script("alpha\nbeta\ngamma\n", "gamma\nalpha\nbeta\n"),
            Cause::Random => script("seed 9f86d081884c7d65", "seed 60303ae22b998861"),
            Cause::Unknown => trees(&[("root/bin/x", b"\x01\x02", b"\x01\x03"), ("buildinfo.json", &x, &y)]),
            Cause::Identity => files(&code, &identity),
        };
        assert_eq!(report.causes.first().map(|finding| finding.cause), Some(cause), "{cause:?}: {:?}", report.causes);
        if report.causes[0].member == SCRIPT {
            assert_eq!(report.causes[0].krate.as_deref(), Some("leaky"));
        }
    }
    let report = trees(&[("root/bin/demo", &code, &moved), ("buildinfo.json", &x, &y)]);
    assert!(matches!(report.causes[0].cause, Cause::Order | Cause::Unknown), "the same inputs are not another source: {:?}", report.causes);
}

trait ReplaceFirst {
    fn replace_first(self, from: u8, to: u8) -> Vec<u8>;
}

impl ReplaceFirst for Vec<u8> {
    /// The first `"from"` in quotes becomes `"to"`.
    fn replace_first(self, from: u8, to: u8) -> Vec<u8> {
        with_text(&self, &format!("\"{}\"", char::from(from)), &format!("\"{}\"", char::from(to)))
    }
}

/// The first occurrence of a text becomes another of the same length.
fn with_text(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    let mut bytes = bytes.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn what_a_build_script_wrote_is_the_cause_and_the_program_with_the_same_text_no_second_one() {
    const SCRIPT: &str = "target/release/build/leaky-0123456789abcdef/out/gen.rs";
    let program = |seed: &str| format!("\0\0seed {seed}/rustc/59807616e1fa2540/x.rs\0").into_bytes();
    let script = |seed: &str| format!("const SEED: &str = \"seed {seed}\";\n").into_bytes();
    let (a, b) = ("9f86d081884c7d65", "60303ae22b998861");
    let report = trees(&[("root/bin/x", &program(a), &program(b)), (SCRIPT, &script(a), &script(b))]);
    assert_eq!(report.causes.len(), 1, "{:?}", report.causes);
    assert_eq!((report.causes[0].cause, report.causes[0].krate.as_deref()), (Cause::Random, Some("leaky")));
    let other = trees(&[("root/bin/x", &program("0123456789abcdef"), &program(b)), (SCRIPT, &script(a), &script(b))]);
    assert_eq!(other.causes.len(), 2, "another text is another difference: {:?}", other.causes);
}

#[test]
fn two_commits_are_another_source_and_neither_a_variable_nor_a_clock() {
    let record = |commit: &str, time: u32| {
        format!("{{\"env\":{{\"SOURCE_DATE_EPOCH\":\"{time}\"}},\"source\":{{\"commit\":\"{commit}\"}}}}").into_bytes()
    };
    let program = |time: &str| format!("\0\0built at {time}\0").into_bytes();
    let (a, b) = (program("2026-11-24 23:00:01"), program("2026-11-24 23:17:01"));
    let report = trees(&[("root/bin/x", &a, &b), ("buildinfo.json", &record("aa", 1795598711), &record("bb", 1795599731))]);
    let causes: Vec<_> = report.causes.iter().map(|finding| (finding.cause, finding.place.as_deref())).collect();
    assert_eq!(causes, [(Cause::Source, Some("/source/commit"))]);

    let mode = |mode: &str| format!("{{\"env\":{{\"BUILD_MODE\":\"{mode}\"}}}}").into_bytes();
    let report = trees(&[("root/bin/x", &a, &b), ("buildinfo.json", &mode("fast"), &mode("slow"))]);
    let causes: Vec<_> = report.causes.iter().map(|finding| finding.cause).collect();
    assert_eq!(causes, [Cause::Environment, Cause::Time], "of one commit, both are what they look like");
}

#[test]
fn a_record_means_by_environment_what_its_kind_means() {
    let of = |name: &str| trees(&[(name, b"{\"environment\":{\"a\":1}}", b"{\"environment\":{\"a\":2}}")]).causes[0].cause;
    assert_eq!([of("buildinfo.json"), of("manifest.json")], [Cause::Toolchain, Cause::Configuration]);
}

#[test]
fn equal_bytes_are_identical_and_one_bit_a_name_a_link_or_a_permission_is_not() {
    assert!(files(b"same", b"same").identical);
    assert!(!files(b"same", b"sbme").identical);
    assert!(!files(b"same", b"same ").identical);
    let dir = tempfile::tempdir().unwrap();
    let [x, y] = ["x", "y"].map(|side| dir.path().join(side));
    for side in [&x, &y] {
        fs::create_dir(side).unwrap();
        fs::write(side.join("f"), "f").unwrap();
    }
    let changes = || explain(&x, &y).unwrap().members.iter().map(|member| member.change).collect::<Vec<_>>();
    assert_eq!(changes(), []);
    std::os::unix::fs::symlink("one", x.join("l")).unwrap();
    assert_eq!(changes(), [Change::OnlyFirst]);
    std::os::unix::fs::symlink("two", y.join("l")).unwrap();
    assert_eq!(changes(), [Change::Bytes]);
    fs::remove_file(y.join("l")).unwrap();
    std::os::unix::fs::symlink("one", y.join("l")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(y.join("f"), mode).unwrap();
    assert_eq!(changes(), [Change::Mode]);
}

#[test]
fn the_verdict_of_a_build_needs_every_output_on_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        (name.to_owned(), path)
    };
    let (a, b, c) = (file("a", "same"), ("a".to_owned(), file("b", "same").1), ("a".to_owned(), file("c", "sama").1));
    let same = |x: &[_], y: &[_]| super::is_same(x, y).unwrap();
    assert!(same(std::slice::from_ref(&a), std::slice::from_ref(&b)));
    assert!(!same(std::slice::from_ref(&a), &[c]));
    assert!(!same(&[a.clone(), file("b", "same")], std::slice::from_ref(&a)));
    assert!(!same(&[a], &[]));
}

#[test]
fn a_hash_in_a_name_finds_its_partner_and_says_so() {
    let report = {
        let dir = tempfile::tempdir().unwrap();
        for (side, hash, text) in [("x", "0123456789abcdef", "one"), ("y", "fedcba9876543210", "two")] {
            fs::create_dir_all(dir.path().join(side).join("deps")).unwrap();
            fs::write(dir.path().join(side).join(format!("deps/libx-{hash}.rlib")), text).unwrap();
        }
        explain(&dir.path().join("x"), &dir.path().join("y")).unwrap()
    };
    assert_eq!((report.members.len(), report.members[0].change, report.causes[0].cause), (1, Change::Bytes, Cause::Flags));
}

#[test]
fn cut_and_mutated_programs_never_panic() {
    const C: &str =
        "#include <stdio.h>\nint twice(int x) { return 2 * x; }\nint main(int n, char **v) { printf(\"%s %d\", v[0], twice(n)); }";
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("x.c"), C).unwrap();
    let compiled = |strip: &[&str]| {
        assert!(Command::new("cc").args(["-O1", "-g", "x.c", "-o", "x"]).args(strip).current_dir(dir.path()).status().unwrap().success());
        fs::read(dir.path().join("x")).unwrap()
    };
    // Named, stripped, and not linked: each goes another way. Small, so that there can be many rounds.
    let good = [compiled(&[]), compiled(&["-s"]), object(C)];
    // A small generator (Numerical Recipes' constants): the same mutations in every run.
    let mut state = 1u32;
    let mut next = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for round in 0..300 {
        let good = &good[round % 3];
        let mut bad = good.clone();
        for _ in 0..=next(24) {
            // Half of the damage where the headers are, half at the end, where sections are described.
            let at = if next(2) == 0 { next(1024) } else { bad.len() - 1 - next(bad.len() / 4) };
            bad[at] = [0, 0xff, 0x7f, 0x80, next(256) as u8][next(5)];
        }
        if round % 5 == 0 {
            bad.truncate(next(bad.len()));
        }
        let report = files(good, &bad);
        assert_eq!(report.identical, bad == *good);
        super::text(&report, true);
        super::page(&report);
    }
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_an_error_and_not_a_hang() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    assert!(matches!(explain(&pipe, &pipe), Err(super::CompareError::Io(_))));
    assert!(matches!(explain(Path::new("/dev/zero"), Path::new("/dev/zero")), Err(super::CompareError::Io(_))));
}
