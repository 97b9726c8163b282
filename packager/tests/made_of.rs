//! What a release knows about itself, through a real build: the graph, the section in the programs, the SBOM; and what the tools of
//! others make of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use auditable_serde::{DependencyKind, VersionInfo};
use object::{Object, ObjectSection};
use proofmark::auditable;
use proofmark::build::{self, Error, Options};
use proofmark::buildinfo::read::read;
use proofmark::graph::Kind;
use proofmark::progress::Silent;
use proofmark::sandbox::SandboxError;
use proofmark::sbom::sbom;

/// Two programs, a procedural macro with a dependency, a build script with one, and a dependency of tests.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", "[workspace]\nmembers = [\"app\", \"macros\", \"tool\"]\nresolver = \"3\"\n"),
    (
        "app/Cargo.toml",
        "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\nlicense = \"MIT/Apache-2.0\"\n\
         [dependencies]\nsemver = \"1\"\nmacros = { path = \"../macros\" }\n[build-dependencies]\ncfg-if = \"1\"\n[dev-dependencies]\nitoa = \"1\"\n",
    ),
    ("app/build.rs", "cfg_if::cfg_if! { if #[cfg(unix)] { fn main() {} } else { compile_error!(\"unix\"); } }"),
    ("app/src/main.rs", "fn main() { println!(\"{} {}\", semver::Version::new(1, 2, 3), macros::seven!()); }"),
    (
        "macros/Cargo.toml",
        "[package]\nname = \"macros\"\nversion = \"0.2.0\"\nedition = \"2024\"\n[lib]\nproc-macro = true\n[dependencies]\nunicode-ident = \"1\"\n",
    ),
    (
        "macros/src/lib.rs",
        "#[proc_macro]\npub fn seven(_: proc_macro::TokenStream) -> proc_macro::TokenStream { assert!(unicode_ident::is_xid_start('a')); \"7\".parse().unwrap() }",
    ),
    ("tool/Cargo.toml", "[package]\nname = \"tool\"\nversion = \"0.3.0\"\nedition = \"2024\"\n[dependencies]\ncfg-if = \"1\"\n"),
    ("tool/src/main.rs", "fn main() { println!(\"tool\"); }"),
    (
        "proofmark.toml",
        "product = \"fixture\"\nrelease = \"1.0\"\nwire_epoch = 1\n[[binary]]\npackage = \"app\"\nname = \"app\"\n\
         [[binary]]\npackage = \"tool\"\nname = \"tool\"\n[[environment]]\nname = \"prod\"\n[launch]\nargv = [\"/bin/app\"]\nuser = \"fixture\"\n\
         [build]\nenvironment = \"host\"\n",
    ),
];

/// Crates without dependencies, of our own Cargo.lock: they are in cargo's cache, since this test was compiled.
const CRATES: &[&str] = &["cfg-if", "itoa", "semver", "unicode-ident"];

fn lock() -> String {
    let ours: toml::Table = include_str!("../../Cargo.lock").parse().unwrap();
    let mut packages = vec![
        "name = \"app\"\nversion = \"0.1.0\"\ndependencies = [\"cfg-if\", \"itoa\", \"macros\", \"semver\"]\n".to_owned(),
        "name = \"macros\"\nversion = \"0.2.0\"\ndependencies = [\"unicode-ident\"]\n".to_owned(),
        "name = \"tool\"\nversion = \"0.3.0\"\ndependencies = [\"cfg-if\"]\n".to_owned(),
    ];
    for name in CRATES {
        let package = ours["package"].as_array().unwrap().iter().find(|package| package["name"].as_str() == Some(name)).unwrap();
        let mut package = package.as_table().unwrap().clone();
        package.remove("dependencies");
        packages.push(package.to_string());
    }
    packages.sort();
    format!("version = 4\n\n[[package]]\n{}", packages.join("\n[[package]]\n"))
}

/// The fixture at a commit, with more lines for its proofmark.toml.
fn project(more: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in FILES {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let more = if *name == "proofmark.toml" { more } else { "" };
        fs::write(path, format!("{text}{more}")).unwrap();
    }
    fs::write(dir.path().join("Cargo.lock"), lock()).unwrap();
    for arguments in [
        vec!["init", "-q"],
        vec!["add", "-A"],
        vec!["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false", "commit", "-qm", "x"],
    ] {
        let git = Command::new("git").args(arguments).current_dir(dir.path()).env("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z").status();
        assert!(git.unwrap().success());
    }
    dir
}

/// One finished build, for all tests of this file.
struct Finished {
    programs: BTreeMap<String, Vec<u8>>,
    buildinfo: Vec<u8>,
}

fn build(more: &str) -> Option<Finished> {
    let dir = project(more);
    let worker = PathBuf::from(env!("CARGO_BIN_EXE_proofmark"));
    let options = Options {
        workspace: dir.path().into(),
        lock: None,
        toolchain: None,
        layers: None,
        scratch: None,
        supply: build::Supply::Checkout,
        worker,
        effort: build::Effort::default(),
    };
    let built = match build::double_build(&options, &Silent) {
        Err(Error::Sandbox(SandboxError::Unavailable { missing, .. })) => {
            eprintln!("skipped: this machine lacks {missing}");
            return None;
        }
        Err(Error::Cargo { says, .. }) => panic!("{says}"),
        other => other.unwrap(),
    };
    let programs = built.outputs.iter().map(|output| (output.path.clone(), fs::read(built.staged.join(&output.path)).unwrap()));
    Some(Finished { programs: programs.collect(), buildinfo: built.buildinfo.clone() })
}

/// None where this machine has no sandbox.
fn finished() -> Option<&'static Finished> {
    static BUILD: OnceLock<Option<Finished>> = OnceLock::new();
    BUILD.get_or_init(|| build("")).as_ref()
}

fn section(program: &[u8]) -> Option<Vec<u8>> {
    let file = object::File::parse(program).unwrap();
    file.section_by_name(auditable::SECTION).map(|section| section.data().unwrap().to_vec())
}

fn list(program: &[u8]) -> VersionInfo {
    let json = miniz_oxide::inflate::decompress_to_vec_zlib(&section(program).unwrap()).unwrap();
    serde_json::from_slice(&json).unwrap()
}

#[test]
fn the_graph_holds_what_was_compiled_and_nothing_of_the_tests() {
    let Some(finished) = finished() else { return };
    let info = read(&finished.buildinfo, "buildinfo.json").unwrap();
    let kinds: BTreeMap<&str, Kind> = info.graph.packages.iter().map(|package| (package.name.as_str(), package.kind)).collect();
    let want = [
        ("app", Kind::Runtime),
        ("cfg-if", Kind::Runtime),
        ("macros", Kind::Build),
        ("semver", Kind::Runtime),
        ("tool", Kind::Runtime),
        ("unicode-ident", Kind::Build),
    ];
    assert_eq!(kinds, want.into(), "itoa is for tests alone");
    let app = info.graph.package("local:app@0.1.0").unwrap();
    assert!(app.dependencies.len() == 2 && app.build_dependencies.len() == 1, "{app:?}");
    assert!(info.graph.packages.iter().all(|package| package.source.is_none() || info.crate_sha256(package).is_some()));
}

#[test]
fn each_program_runs_and_names_its_own_packages() {
    let Some(finished) = finished() else { return };
    let dir = tempfile::tempdir().unwrap();
    // Installed by a process of its own: a descriptor that another thread's child still holds would make the file "busy".
    let (data, path) = (dir.path().join("data"), dir.path().join("app"));
    fs::write(&data, &finished.programs["root/bin/app"]).unwrap();
    assert!(Command::new("install").arg(&data).arg(&path).status().unwrap().success());
    assert_eq!(Command::new(&path).output().unwrap().stdout, b"1.2.3 7\n");

    let list = |path: &str| list(&finished.programs[path]).packages;
    let kinds = |path: &str| list(path).into_iter().map(|package| (package.name, package.kind)).collect::<BTreeMap<_, _>>();
    let app = kinds("root/bin/app");
    assert_eq!(app["semver"], DependencyKind::Runtime);
    // Compiled for the target too, but for the other program.
    assert_eq!(app["cfg-if"], DependencyKind::Build);
    assert_eq!(app["unicode-ident"], DependencyKind::Build);
    assert!(!app.contains_key("tool") && !app.contains_key("itoa"));
    assert_eq!(
        kinds("root/bin/tool"),
        [("cfg-if".to_owned(), DependencyKind::Runtime), ("tool".to_owned(), DependencyKind::Runtime)].into()
    );
    assert_eq!(
        list("root/bin/tool").iter().filter(|package| package.root).map(|package| package.name.as_str()).collect::<Vec<_>>(),
        ["tool"]
    );
}

#[test]
fn without_the_list_the_program_is_what_the_linker_wrote() {
    let (Some(with), Some(without)) = (finished(), build("auditable = false\n")) else { return };
    for (path, program) in &without.programs {
        assert_eq!(section(program), None);
        let (mut old, mut new) = (program[64..].to_vec(), with.programs[path][64..].to_vec());
        let loaded = object::File::parse(&**program).unwrap().section_by_name(".shstrtab").unwrap().file_range().unwrap().0 as usize - 64;
        old.truncate(loaded);
        new.truncate(loaded);
        assert!(old == new, "{path}: only what comes after the last section changes");
    }
}

#[test]
fn cargo_audit_finds_the_one_vulnerable_crate_in_the_program_that_has_it() {
    let Some(finished) = finished() else { return };
    if !Command::new("cargo-audit").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this machine lacks cargo-audit");
        return;
    }
    let database = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/advisories");
    let dir = tempfile::tempdir().unwrap();
    let audit = |path: &str| {
        let file = dir.path().join("program");
        fs::write(&file, &finished.programs[path]).unwrap();
        let mut command = Command::new("cargo-audit");
        command.args(["audit", "--no-fetch", "--stale", "--no-yanked", "--json", "--db"]).arg(&database);
        let output = command.arg("bin").arg(&file).env("CARGO_HOME", dir.path()).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {} {}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        });
        let found = report["vulnerabilities"]["list"].as_array().unwrap().iter();
        let found = found.map(|one| format!("{} {}", one["advisory"]["id"], one["package"]["name"])).collect::<Vec<_>>();
        (output.status.code(), found)
    };
    assert_eq!(audit("root/bin/app"), (Some(1), vec!["\"RUSTSEC-2026-9001\" \"semver\"".to_owned()]));
    assert_eq!(audit("root/bin/tool"), (Some(0), Vec::new()));
}

#[test]
fn the_strict_validator_of_cyclonedx_accepts_the_sbom_and_it_says_what_the_buildinfo_says() {
    let Some(finished) = finished() else { return };
    let bytes = sbom(&finished.buildinfo, "buildinfo.json").unwrap();
    assert_eq!(bytes, sbom(&finished.buildinfo, "other").unwrap());
    let bom: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(bom["metadata"]["timestamp"], "2026-01-02T03:04:05Z");
    let programs = bom["metadata"]["component"]["components"].as_array().unwrap();
    for program in programs {
        let path = program["name"].as_str().unwrap();
        assert_eq!(program["hashes"][0]["content"], proofmark::digest::sha256(&finished.programs[path]));
    }
    let component = |name: &str| bom["components"].as_array().unwrap().iter().find(|component| component["name"] == name).unwrap();
    assert_eq!((&component("semver")["scope"], &component("macros")["scope"]), (&"required".into(), &"excluded".into()));
    assert!(component("semver")["purl"].as_str().unwrap().starts_with("pkg:cargo/semver@1."));
    assert_eq!(component("app")["licenses"][0]["expression"], "MIT OR Apache-2.0");
    assert!(component("app").get("purl").is_none(), "nobody's package of that name is meant");
    assert_eq!(programs.len(), 2);

    const VALIDATE: &str = "import sys\n\
        from cyclonedx.schema import SchemaVersion\n\
        from cyclonedx.validation.json import JsonStrictValidator\n\
        error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())\n\
        sys.exit(f'not valid: {error}' if error else 0)\n";
    if !Command::new("python3")
        .args(["-c", "import cyclonedx.validation.json, jsonschema"])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        eprintln!("skipped: this machine lacks the Python package cyclonedx-python-lib[json-validation]");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let validate = |text: &str| {
        let file = dir.path().join("sbom.cdx.json");
        fs::write(&file, text).unwrap();
        let output = Command::new("python3").args(["-c", VALIDATE]).arg(&file).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let text = String::from_utf8(bytes).unwrap();
    let (valid, says) = validate(&text);
    assert!(valid, "{says}");
    // With packages of the operating system, which this machine's build may not have.
    let (valid, says) = validate(include_str!("../../tests/golden/sbom.cdx.json"));
    assert!(valid, "{says}");
    // The validator is strict indeed: it refuses one key too many.
    assert!(!validate(&text.replacen("\"version\": 1,", "\"version\": 1, \"other\": 1,", 1)).0);
}
