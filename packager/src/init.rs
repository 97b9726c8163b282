//! `proofmark init`: a `proofmark.toml` to start from, for any Cargo workspace, that builds as it is.
//!
//! It must never overwrite a file, and never write one that [`config::parse`] would refuse.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::config::{self, ConfigError};
use crate::exit::{Exit, IoContext, IoError, Refusal, Refuse};
use crate::names::{Name, Release};
use crate::toolchain::{self, ToolchainError};
use crate::workspace::{self, WorkspaceError};

/// No file was written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the transparent variants are documented where they are declared")]
pub enum InitError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is one already.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
}

impl Refuse for InitError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Toolchain(error) => error.refusal(),
            Self::Workspace(error) => error.refusal(),
            Self::Config(error) => error.refusal(),
            Self::Exists(path) => {
                Refusal::new(Exit::Usage, "exists", "init never overwrites", path.display()).next("edit it, or move it away first")
            }
        }
    }
}

/// Writes `proofmark.toml` into `workspace` for `wanted` binaries, or for all there are. Returns its path.
pub fn init(workspace: &Path, wanted: &[String]) -> Result<PathBuf, InitError> {
    let path = workspace.join(config::FILE);
    if path.symlink_metadata().is_ok() {
        return Err(InitError::Exists(path));
    }
    let cargo = toolchain::find(workspace, None)?.directory.join("bin/cargo");
    let metadata = workspace::metadata(&cargo, &workspace.canonicalize().at("open", workspace)?)?;
    let root = metadata.workspace_root.as_std_path();
    if root != workspace.canonicalize().at("open", workspace)? {
        return Err(WorkspaceError::NotTheRoot { root: root.into() }.into());
    }
    let all = workspace::binaries(&metadata);
    let mut chosen = Vec::new();
    for name in wanted {
        match all.iter().find(|(_, binary)| binary == name) {
            Some(found) => chosen.push(found.clone()),
            None => return Err(no_binary("*", name, &all)),
        }
    }
    if chosen.is_empty() {
        chosen = all.clone();
    }
    let lead = metadata.root_package().map(|package| package.name.to_string());
    // The program to start: the root package's, else the one named like its package, else the first.
    chosen.sort_by_key(|(package, name)| (Some(package) != lead.as_ref(), package != name));
    let Some((package, program)) = chosen.first().cloned() else { return Err(no_binary("*", "*", &all)) };
    let version = metadata
        .workspace_packages()
        .iter()
        .find(|found| *found.name == package)
        .map_or_else(|| "0.1.0".into(), |found| found.version.to_string());
    let text =
        render(&Start { product: sanitise(lead.as_deref().unwrap_or(&package)), release: release(&version), program, binaries: chosen });
    config::parse(&text, Path::new(config::FILE))?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).at("create", &path)?;
    file.write_all(text.as_bytes()).at("write", &path)?;
    Ok(path)
}

fn no_binary(package: &str, name: &str, all: &[(String, String)]) -> InitError {
    let available = all.iter().map(|(package, name)| format!("{name} (package {package})")).collect();
    WorkspaceError::NoBinary { package: package.into(), name: name.into(), available }.into()
}

/// What the text is made of.
struct Start {
    product: String,
    release: String,
    program: String,
    binaries: Vec<(String, String)>,
}

/// A package's name as a *name*: lower case, `-` for what is not allowed.
fn sanitise(text: &str) -> String {
    let mapped: String = text
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c) { c } else { '-' })
        .take(60)
        .collect();
    let mapped = mapped.trim_start_matches(['.', '_', '-']).to_owned();
    if mapped.parse::<Name>().is_ok() { mapped } else { "product".into() }
}

fn release(version: &str) -> String {
    if version.parse::<Release>().is_ok() { version.into() } else { "0.1.0".into() }
}

fn render(start: &Start) -> String {
    let Start { product, release, program, binaries } = start;
    let mut list = String::new();
    for (package, name) in binaries {
        // Writing to a String cannot fail.
        let _ =
            write!(list, "[[binary]]\npackage = {package:?}\nname = {name:?}\n# path = \"bin/{name}\"   # where it goes in the bundle\n\n");
    }
    format!(
        r#"# What this workspace releases, and how hosts start it. Committed: a release is made from a commit and from nothing else.
# Every key that is not here is refused, so a typing error cannot pass unseen.

product = {product:?}
release = {release:?}                # raise it with each release
# target = "x86_64-unknown-linux-gnu"   # default: the triple of the compiler
linking = "static"                   # "dynamic" if a crate needs a shared library of the system; the bundle must then hold it
# profile = "release"                # cargo profile
# features = []
# default_features = true
wire_epoch = 1                       # raise it when old and new may not talk to each other; one group never runs two
# ledger = "ledger.toml"             # the register of feature flags and wire fields, if there is one

{list}# One bundle for each environment. The programs are the same bytes in all of them; only these files and flags differ.
[[environment]]
name = "prod"
# flags = [9]                        # ids from the ledger
#   [[environment.file]]
#   source = "config/prod.toml"      # in this workspace
#   path = "etc/{product}.toml"      # in the bundle; the program sees /etc/{product}.toml
#   host = "{product}-1"             # optional: for that host only

# How a host starts it. The process sees the bundle as its root, these arguments and these variables, and nothing of the host.
[launch]
argv = ["/bin/{program}"]
user = {product:?}                   # a user of its own on the host; never root
# state = "/state"                   # a directory that survives releases
# credentials = ["api-token"]        # secrets by name; the host has their content: /run/credentials/api-token
# supervisor = ["NOTIFY_SOCKET"]     # for systemd's Type=notify
# capabilities = ["CAP_NET_BIND_SERVICE"]
# host_files = [{{ path = "/etc/resolv.conf", sha256 = "unverified" }}]

[launch.env]
RUST_BACKTRACE = "1"

# [launch.limits]
# open_files = 1024

# The exact hosts of a group, by the names that `proofmark-verifier init --host NAME` gave them. All of them run a release, or none.
[[group]]
name = "prod/{product}"
hosts = ["{product}-1"]

# What a build sees of an operating system is the closure of these Debian packages, locked in proofmark.lock (docs/environment.md).
# [build]
# env = {{ NAME = "value" }}           # variables that build scripts may see
# packages = ["coreutils", "dash", "gcc", "libc-bin", "libc6-dev"]   # the default; add what build scripts call: "make", "perl", "g++", ...
# writable_source = false            # true: build scripts may write into the source tree, of which each build then has a copy
# auditable = true                   # programs list the crates they are made of, for cargo audit and other scanners
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_init_writes_is_what_the_parser_takes() {
        let start = Start {
            product: sanitise("My_Tool"),
            release: release("1.0.0-rc.1+x"),
            program: "tool".into(),
            binaries: vec![("a".into(), "tool".into()), ("b".into(), "two".into())],
        };
        let text = render(&start);
        let config = config::parse(&text, Path::new(config::FILE)).unwrap();
        assert_eq!((config.product.as_str(), config.release.as_str(), config.binaries.len()), ("my_tool", "1.0.0-rc.1+x", 2));
        // The commented lines must be right, too: take the comment marks away.
        let all: Vec<&str> = text
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ") && !rest.starts_with("One")).unwrap_or(line))
            .collect();
        config::parse(
            &all.join("\n").replace("# [launch.limits]", "[launch.limits]").replace("# [build]", "[build]").replace("#   [[env", "[[env"),
            Path::new(config::FILE),
        )
        .unwrap();
    }

    #[test]
    fn an_existing_file_is_never_touched() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(config::FILE), "mine").unwrap();
        assert_eq!(init(dir.path(), &[]).unwrap_err().refusal().reason, "exists");
        assert_eq!(std::fs::read_to_string(dir.path().join(config::FILE)).unwrap(), "mine");
    }

    #[test]
    fn odd_package_names_become_names() {
        for (from, to) in [("_X", "x"), ("Ünï", "n-"), ("", "product")] {
            assert_eq!(sanitise(from), to);
        }
    }
}
