//! The cross-checks of `proofmark.toml`: what no value alone can tell. FORMAT.md section 6 says the same of a manifest, and the
//! core checks it again there; here it is refused before anything is built, with the line.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Binary, Config, Environment};
use crate::names::Name;

/// Two parts of the file that do not fit, and the value by which the place is found again.
pub(super) struct Contradiction {
    pub(super) about: String,
    pub(super) message: String,
}

fn contradiction(about: impl ToString, message: impl Into<String>) -> Result<(), Contradiction> {
    Err(Contradiction { about: about.to_string(), message: message.into() })
}

/// Everything that one value alone cannot tell.
pub(super) fn check(config: &Config) -> Result<(), Contradiction> {
    const MOST: u64 = (1 << 53) - 1;
    if config.wire_epoch > MOST {
        return contradiction("wire_epoch", "wire_epoch: want at most 2^53-1");
    }
    if config.binaries.is_empty() || config.environments.is_empty() {
        return contradiction("product", "want at least one [[binary]] and one [[environment]]");
    }
    for name in config.build.env.keys() {
        // What the sandbox fixes, and what would replace the project's own rustflags.
        const OURS: &[&str] =
            &["PATH", "HOME", "LANG", "TZ", "SOURCE_DATE_EPOCH", "RUSTFLAGS", "RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"];
        if OURS.contains(&name.as_str()) || name.as_str().starts_with("CARGO") || name.as_str().starts_with("LD_") {
            return contradiction(
                name,
                format!("build.env.{name}: this variable is fixed by the build; rustflags belong into .cargo/config.toml"),
            );
        }
    }
    if let Some(packages) = &config.build.packages {
        unique("package", packages)?;
        if packages.is_empty() {
            return contradiction("packages", "build.packages: want at least a linker: gcc, libc6-dev; or take it out for the default");
        }
        if config.build.is_host() {
            return contradiction("environment = \"host\"", "build.environment = \"host\" takes no packages: they would not be used");
        }
    }
    unique("environment", config.environments.iter().map(|environment| &environment.name))?;
    unique("binary path", config.binaries.iter().map(Binary::bundle_path))?;
    unique("group", config.groups.iter().map(|group| &group.name))?;
    unique("host (a host is in one group)", config.groups.iter().flat_map(|group| &group.hosts))?;
    for group in &config.groups {
        if !config.environments.iter().any(|environment| environment.name.as_str() == group.name.environment()) {
            return contradiction(
                &group.name,
                format!("group {}: no [[environment]] is called {:?}", group.name, group.name.environment()),
            );
        }
        if group.hosts.is_empty() {
            return contradiction(&group.name, format!("group {}: want at least one host", group.name));
        }
    }
    for environment in &config.environments {
        check_environment(config, environment)?;
    }
    check_launch(config)
}

fn check_environment(config: &Config, environment: &Environment) -> Result<(), Contradiction> {
    let name = &environment.name;
    unique("flag", &environment.flags)?;
    unique(
        "file (host and path)",
        environment.files.iter().map(|f| format!("{}{}", f.host.as_ref().map_or(String::new(), |h| format!("{h}:")), f.path)),
    )?;
    // `FILE.KEY.minisig`, with the longest names of a target and a key, is the name of a file (FORMAT.md section 6).
    let longest = 255 - "--+.tar.zst..minisig".len() - 64 - 64;
    let length = [config.product.as_str(), config.release.as_str(), name.as_str()].map(str::len).iter().sum::<usize>();
    if length > longest {
        return contradiction(
            name,
            format!("product, release and environment {name} have {length} bytes: want at most {longest} together"),
        );
    }
    let hosts: BTreeSet<&Name> =
        config.groups.iter().filter(|group| group.name.environment() == name.as_str()).flat_map(|group| &group.hosts).collect();
    let mut paths: BTreeSet<String> = config.binaries.iter().map(Binary::bundle_path).collect();
    for file in &environment.files {
        if let Some(host) = &file.host {
            if !hosts.contains(host) {
                return contradiction(host, format!("environment {name}: host {host} is in no [[group]] of this environment"));
            }
            let member = format!("hosts/{host}/{}", file.path);
            if member.len() > 100 {
                return contradiction(&file.path, format!("{member} is {} bytes long: want at most 100", member.len()));
            }
        } else if config.binaries.iter().any(|binary| binary.bundle_path() == file.path.as_str()) {
            return contradiction(&file.path, format!("environment {name}: {} is the path of a binary", file.path));
        }
        paths.insert(file.path.to_string());
    }
    for path in &paths {
        if let Some(other) = paths.iter().find(|other| other.starts_with(&format!("{path}/"))) {
            return contradiction(path, format!("environment {name}: {path} is a file, and a directory of {other}"));
        }
        if let Some(other) = paths.iter().find(|other| *other != path && other.eq_ignore_ascii_case(path)) {
            return contradiction(path, format!("environment {name}: {path} and {other} differ only in case"));
        }
        for reserved in ["proc", "dev", "run/credentials"] {
            // By components.
            if Path::new(path).starts_with(reserved) || Path::new(reserved).starts_with(path) {
                return contradiction(path, format!("environment {name}: {path} is in the way of /{reserved}, which the host provides"));
            }
        }
    }
    Ok(())
}

fn check_launch(config: &Config) -> Result<(), Contradiction> {
    let launch = &config.launch;
    let Some(program) = launch.argv.first() else {
        return contradiction("argv", "launch.argv: want at least the program");
    };
    let in_bundle = |path: &str| {
        config.binaries.iter().any(|binary| binary.bundle_path() == path)
            || config.environments.iter().all(|e| e.files.iter().any(|f| f.path.as_str() == path && f.executable && f.host.is_none()))
    };
    if !program.as_str().strip_prefix('/').is_some_and(in_bundle) {
        let have: Vec<String> = config.binaries.iter().map(|binary| format!("/{}", binary.bundle_path())).collect();
        return contradiction(
            program,
            format!("launch.argv starts with {program}, which is no program of the bundle: want one of {}", have.join(", ")),
        );
    }
    if launch.user.as_str() == "root" && !launch.dangerous_root {
        return contradiction("root", "launch.user is root: use an own user, or say dangerous_root = true");
    }
    for name in launch.env.keys() {
        if name.as_str().starts_with("LD_") || ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"].contains(&name.as_str()) {
            return contradiction(name, format!("launch.env.{name}: the loader's and the supervisor's variables cannot be set here"));
        }
    }
    unique("credential", &launch.credentials)?;
    unique("capability", launch.capabilities.iter().map(|c| format!("{c:?}")))?;
    unique("supervisor variable", launch.supervisor.iter().map(|s| format!("{s:?}")))?;
    unique("host file", launch.host_files.iter().map(|file| &file.path))?;
    for path in launch.host_files.iter().map(|file| &file.path).chain(&launch.state) {
        if ["/proc", "/dev", "/run"].iter().any(|top| path.as_str() == *top || path.as_str().starts_with(&format!("{top}/"))) {
            return contradiction(path, format!("{path}: nothing below /proc, /dev and /run can be asked for"));
        }
    }
    Ok(())
}

fn unique<T: ToString>(what: &str, values: impl IntoIterator<Item = T>) -> Result<(), Contradiction> {
    let mut seen = BTreeSet::new();
    for value in values {
        let value = value.to_string();
        if !seen.insert(value.clone()) {
            return contradiction(&value, format!("{what} {value} is there twice"));
        }
    }
    Ok(())
}
