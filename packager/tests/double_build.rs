//! Stories of whole builds in the real sandbox, on projects without dependencies: one that is reproducible and keeps its own
//! rustflags, and leaky ones that must be refused with the place and the crate named.
//!
//! Where the machine allows no sandbox, the tests say so and pass: what they check is not there to be checked.

use std::fs;
use std::path::Path;
use std::process::Command;

use proofmark::build::{self, Built, Effort, Error, Factor, Options, Origin};
use proofmark::exit::Refuse;
use proofmark::progress::Silent;
use proofmark::sandbox::SandboxError;

/// A committed project named `fixture`, with the given files beside Cargo.toml, Cargo.lock and proofmark.toml.
fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("Cargo.toml", "[package]\nname = \"fixture\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"fixture\"\nversion = \"0.1.0\"\n");
    write(
        "proofmark.toml",
        "product = \"fixture\"\nrelease = \"1\"\nwire_epoch = 1\n[[binary]]\npackage = \"fixture\"\nname = \"fixture\"\n\
         [[environment]]\nname = \"prod\"\n[launch]\nargv = [\"/bin/fixture\"]\nuser = \"fixture\"\n\
         [build]\nenvironment = \"host\"\n",
    );
    for (name, text) in files {
        write(name, text);
    }
    for arguments in [
        vec!["init", "-q"],
        vec!["add", "-A"],
        vec!["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false", "commit", "-qm", "x"],
    ] {
        assert!(Command::new("git").args(arguments).current_dir(dir.path()).status().unwrap().success());
    }
    dir
}

/// None where this machine has no sandbox.
fn double_build(workspace: &Path) -> Option<Result<Built, Error>> {
    let worker = env!("CARGO_BIN_EXE_proofmark").into();
    let (effort, supply) = (Effort::default(), build::Supply::Checkout);
    let options = Options { workspace: workspace.into(), lock: None, toolchain: None, layers: None, scratch: None, supply, worker, effort };
    match build::double_build(&options, &Silent) {
        Err(Error::Sandbox(SandboxError::Unavailable { missing, .. })) => {
            eprintln!("skipped: this machine lacks {missing}");
            None
        }
        other => Some(other),
    }
}

#[test]
fn two_builds_agree_and_the_projects_own_rustflags_keep_their_effect() {
    const MAIN: &str = r#"fn main() { println!("{} {}", cfg!(foo), cfg!(target_feature = "crt-static")); }"#;
    for config in ["[build]\nrustflags = ['--cfg', 'foo']", "[target.'cfg(unix)']\nrustflags = ['--cfg', 'foo']"] {
        let dir = project(&[("src/main.rs", MAIN), (".cargo/config.toml", config)]);
        let Some(built) = double_build(dir.path()) else { return };
        let built = built.unwrap();
        let program = built.staged.join("root/bin/fixture");
        let says = Command::new(&program).output().unwrap().stdout;
        assert_eq!(String::from_utf8_lossy(&says).trim(), "true true", "{config}");
        let info = String::from_utf8(built.buildinfo.clone()).unwrap();
        for private in [dir.path().to_str().unwrap(), built.work_dir().to_str().unwrap(), "/root", "64101"] {
            assert!(!info.contains(private), "buildinfo holds {private}");
        }
        let out = dir.path().join("out/fixture");
        built.write_to(&out).unwrap();
        built.write_to(&out).unwrap();
        assert_eq!(fs::read(out.join("root/bin/fixture")).unwrap(), fs::read(program).unwrap());
        assert_eq!(proofmark::files::listed(&dir.path().join("out")).unwrap().len(), 1, "nothing half-made stays");
    }
}

/// A program whose build script puts `expression` into it as a string.
fn stamped(expression: &str) -> tempfile::TempDir {
    let script = format!(
        "fn main() {{ let stamp = {expression};\n\
         let out = std::env::var(\"OUT_DIR\").unwrap();\n\
         std::fs::write(out + \"/stamp.rs\", format!(\"const STAMP: &str = {{:?}};\", format!(\"stamp {{stamp}}\"))).unwrap(); }}"
    );
    let main = "include!(concat!(env!(\"OUT_DIR\"), \"/stamp.rs\"));\nfn main() { println!(\"{STAMP}\"); }";
    project(&[("src/main.rs", main), ("build.rs", &script)])
}

/// A clock that no library stands before.
#[cfg(target_arch = "x86_64")]
const CYCLES: &str = "unsafe { core::arch::x86_64::_rdtsc() }";
#[cfg(target_arch = "aarch64")]
const CYCLES: &str = "unsafe { let ticks: u64; core::arch::asm!(\"mrs {}, cntvct_el0\", out(reg) ticks); ticks }";

#[test]
fn attack_54_a_build_script_that_asks_the_processor_itself_is_refused_with_file_section_and_crate() {
    let script = format!(
        "fn main() {{ let stamp = {CYCLES}; let out = std::env::var(\"OUT_DIR\").unwrap();\n\
         std::fs::write(out + \"/stamp.rs\", format!(\"pub const STAMP: &str = \\\"stamp {{stamp}}\\\";\")).unwrap(); }}"
    );
    // The program has it from a crate that has it from another.
    let dir = project(&[
        (
            "Cargo.toml",
            "[package]\nname = \"fixture\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nmiddle = { path = \"middle\" }\n[workspace]\n",
        ),
        (
            "Cargo.lock",
            "version = 4\n\n[[package]]\nname = \"fixture\"\nversion = \"0.1.0\"\ndependencies = [\n \"middle\",\n]\n\n[[package]]\nname = \"middle\"\nversion = \"0.1.0\"\ndependencies = [\n \"ticks\",\n]\n\n[[package]]\nname = \"ticks\"\nversion = \"0.1.0\"\n",
        ),
        ("src/main.rs", "fn main() { println!(\"{}\", middle::STAMP); }"),
        (
            "middle/Cargo.toml",
            "[package]\nname = \"middle\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nticks = { path = \"../ticks\" }\n",
        ),
        ("middle/src/lib.rs", "pub const STAMP: &str = ticks::STAMP;"),
        ("ticks/Cargo.toml", "[package]\nname = \"ticks\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
        ("ticks/src/lib.rs", "include!(concat!(env!(\"OUT_DIR\"), \"/stamp.rs\"));"),
        ("ticks/build.rs", &script),
    ]);
    let Some(built) = double_build(dir.path()) else { return };
    let Err(Error::Differ(differ)) = built else { panic!("not refused: {built:?}") };
    let explanation = differ.explanation.as_ref().unwrap();
    assert_eq!(explanation.members[0].path, "root/bin/fixture");
    assert_eq!(explanation.members[0].sections[0].name, ".rodata");
    assert!(explanation.members.iter().any(|member| member.path.ends_with("/out/stamp.rs")), "{explanation:?}");
    assert_eq!(explanation.causes[0].krate.as_deref(), Some("ticks"), "{:?}", explanation.causes);
    assert_eq!(differ.blamed.crates.iter().collect::<Vec<_>>(), ["ticks"], "where it begins, not where it arrives");
    assert_eq!(differ.blamed.origin, Origin::EachTime);
    let refusal = differ.refusal();
    assert_eq!((refusal.code as u8, refusal.reason), (81, "differ"));
    let have = refusal.have.unwrap();
    assert!(have.contains("begins in crate ticks") && have.contains("differs each time"), "{have}");

    // Both trees are kept, and the command that the refusal names explains them again.
    let command = refusal.next.unwrap();
    let trees = differ.trees.each_ref().map(|tree| tree.to_str().unwrap());
    assert!(command.ends_with(&format!("proofmark explain --verbose {} {}", trees[0], trees[1])), "{command}");
    let again = Command::new(env!("CARGO_BIN_EXE_proofmark")).args(["explain", trees[0], trees[1]]).output().unwrap();
    assert_eq!(again.status.code(), Some(81));
    let says = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(says.contains("section .rodata") && says.contains("used by fixture::main"), "{says}");
    fs::remove_dir_all(differ.trees[0].parent().unwrap()).unwrap();
}

#[test]
fn a_difference_that_one_factor_lets_in_is_blamed_on_that_factor() {
    // A device number is the file system's, and the machine leaves it alone.
    let dir = stamped(r#"{ use std::os::unix::fs::MetadataExt; std::fs::metadata("/src/build.rs").unwrap().dev() }"#);
    let Some(built) = double_build(dir.path()) else { return };
    let Err(Error::Differ(differ)) = built else { panic!("not refused: {built:?}") };
    assert_eq!(differ.blamed.origin, Origin::Factor(Factor::Place));
    fs::remove_dir_all(differ.trees[0].parent().unwrap()).unwrap();
}

#[test]
fn jemalloc_that_would_ask_the_building_machines_processor_is_refused_where_it_is_compiled_and_only_there() {
    let lock = "version = 4\n\n[[package]]\nname = \"fixture\"\nversion = \"0.1.0\"\ndependencies = [\n \"tikv-jemalloc-sys\",\n]\n\n\
        [[package]]\nname = \"tikv-jemalloc-sys\"\nversion = \"0.6.0\"\n";
    let package = "[package]\nname = \"fixture\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    let manifest = |table: &str| format!("{package}[{table}]\ntikv-jemalloc-sys = {{ path = \"jemalloc\" }}\n");
    let build = |table: &str| {
        double_build(
            project(&[
                ("Cargo.toml", &manifest(table)),
                ("Cargo.lock", lock),
                ("src/main.rs", "fn main() {}"),
                ("jemalloc/Cargo.toml", &package.replace("fixture", "tikv-jemalloc-sys").replace("0.1.0", "0.6.0")),
                ("jemalloc/src/lib.rs", ""),
            ])
            .path(),
        )
    };
    let Some(built) = build("dependencies") else { return };
    let refusal = built.unwrap_err().refusal();
    assert_eq!((refusal.reason, refusal.subject.as_str()), ("jemalloc", "tikv-jemalloc-sys"));
    assert!(refusal.next.unwrap().contains("JEMALLOC_SYS_WITH_LG_VADDR"));
    // As in many a program: locked for a platform that is not built for.
    build("target.'cfg(target_env = \"musl\")'.dependencies").unwrap().unwrap();
}

#[test]
fn attack_51_a_build_script_that_asks_for_the_internet_is_named_with_the_address() {
    for (expression, what) in [
        (r#"std::net::UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"x", "192.0.2.7:53").is_ok()"#, "192.0.2.7 port 53"),
        (r#"std::net::TcpStream::connect("example.org:80").is_ok()"#, "example.org"),
    ] {
        let dir = stamped(expression);
        let Some(built) = double_build(dir.path()) else { return };
        let Err(error) = built else { panic!("not refused: {built:?}") };
        let refusal = error.refusal();
        assert_eq!((refusal.code as u8, refusal.reason, refusal.subject.as_str()), (2, "internet", "fixture 0.1.0"));
        let have = refusal.have.unwrap();
        assert!(have.contains(what) && have.contains("build-script-build"), "{have}");
    }
}

#[test]
fn the_inside_sees_no_network_no_home_and_no_trace_of_the_outside() {
    // A build script that fails if it can tell anything; so the build succeeds only where all is closed.
    const SCRIPT: &str = r#"
        use std::{env, fs, process::Command};
        fn text(path: &str) -> String { fs::read_to_string(path).unwrap_or_default() }
        fn main() {
            let names: Vec<String> = fs::read_dir("/").unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            let mut names = names;
            names.retain(|name| !["bin", "sbin", "lib", "lib32", "lib64", "libx32"].contains(&name.as_str()));
            names.sort();
            assert_eq!(names, ["dev", "etc", "home", "proc", "proofmark", "src", "target", "tmp", "toolchain", "usr", "vendor"]);
            assert_eq!(fs::read_dir("/home").unwrap().count(), 1);
            assert_eq!(text("/proc/sys/kernel/hostname").trim(), "proofmark");
            assert!(text("/proc/net/route").lines().count() <= 1, "a route out");
            assert_eq!(text("/proc/self/status").lines().find(|l| l.starts_with("Umask")).unwrap().split_whitespace().last(), Some("0022"));
            assert_eq!(text("/proc/self/status").lines().find(|l| l.starts_with("Uid")).unwrap().split_whitespace().nth(1), Some("1000"));
            assert!(fs::write("/src/x", "x").is_err() && fs::write("/vendor/x", "x").is_err() && fs::write("/toolchain/x", "x").is_err() && fs::write("/usr/x", "x").is_err());
            assert_eq!((env::var("TZ").unwrap(), env::var("HOME").unwrap()), ("UTC".into(), "/home/builder".into()));
            assert!(env::var("LC_ALL").is_err() && env::var("SUDO_USER").is_err());
            assert_eq!((env::var("NUM_JOBS").unwrap(), env::var("CARGO_NET_OFFLINE").unwrap()), ("4".into(), "true".into()));
            assert!(std::net::TcpStream::connect("127.0.0.1:1").is_err());
            assert!(std::os::unix::net::UnixStream::connect("/run/agent.sock").is_err() && fs::read("/home/other/.netrc").is_err());
            assert!(Command::new("/usr/bin/id").output().unwrap().stdout.starts_with(b"uid=1000(builder)"));
        }"#;
    let dir = project(&[("src/main.rs", "fn main() {}"), ("build.rs", SCRIPT)]);
    let Some(built) = double_build(dir.path()) else { return };
    match built {
        Ok(built) => {
            let machine = String::from_utf8(built.machine).unwrap();
            assert!(machine.contains("/run/agent.sock") && machine.contains("/home/other/.netrc"), "notes: {machine}");
        }
        Err(Error::Cargo { says, .. }) => panic!("{says}"),
        Err(other) => panic!("{other}"),
    }
}

/// Writes a file beside the sources, and changes one of them, as some published programs do.
const WRITES: &str = r#"fn main() {
    std::fs::create_dir_all("completions").unwrap();
    std::fs::write("completions/made", "made").expect("write completions/made");
    std::fs::write("stamp", "new").unwrap();
}"#;

#[test]
fn a_build_script_that_writes_into_its_sources_is_refused_until_the_project_says_so_and_then_each_build_has_its_own() {
    let main = r#"fn main() { println!("{} {}", include_str!("../completions/made"), include_str!("../stamp")); }"#;
    let files = [("src/main.rs", main), ("build.rs", WRITES), ("stamp", "old")];
    let dir = project(&files);
    let Some(built) = double_build(dir.path()) else { return };
    let refusal = built.unwrap_err().refusal();
    assert_eq!((refusal.code as u8, refusal.reason), (2, "read-only"));
    assert!(refusal.next.unwrap().contains("writable_source = true"));

    let config = fs::read_to_string(dir.path().join("proofmark.toml")).unwrap() + "writable_source = true\n";
    let dir = project(&[&files[..], &[("proofmark.toml", &config)]].concat());
    let built = double_build(dir.path()).unwrap().unwrap();
    let program = built.staged.join("root/bin/fixture");
    assert_eq!(Command::new(program).output().unwrap().stdout, b"made new\n");
    let closure = String::from_utf8(built.closure).unwrap();
    assert!(closure.contains("locked  /src/stamp\n") && !closure.contains("completions"), "what the build made is no input: {closure}");
    let untouched = |root: &Path| fs::read(root.join("stamp")).unwrap() == b"old" && !root.join("completions").exists();
    assert!(untouched(dir.path()) && untouched(&built.source_dir), "the inputs stay as they are");
}

#[test]
fn a_program_that_is_reached_through_a_link_is_not_read() {
    // Cargo follows the link, and finds and writes all as before; so would whoever reads the program afterwards.
    let script = r#"fn main() {
        let target = format!("/target/{}", std::env::var("TARGET").unwrap());
        std::fs::rename(format!("{target}/release"), format!("{target}/elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", format!("{target}/release")).unwrap();
    }"#;
    let dir = project(&[("src/main.rs", "fn main() {}"), ("build.rs", script)]);
    let Some(built) = double_build(dir.path()) else { return };
    let refusal = built.unwrap_err().refusal();
    assert_eq!((refusal.code as u8, refusal.reason), (2, "output"));
    assert!(refusal.subject.ends_with("/release/fixture") && refusal.have.unwrap().contains("link"), "{}", refusal.subject);
}
