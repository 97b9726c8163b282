//! Tests of the strict parser: each takes a good file, breaks one thing, and wants that thing named.

use super::*;

const GOOD: &str = r#"
product = "router"
release = "1.2"
wire_epoch = 2
ledger = "ledger.toml"
[[binary]]
package = "router"
name = "router"
[[environment]]
name = "prod"
flags = [9]
[[environment.file]]
source = "config/prod/router.toml"
path = "etc/router.toml"
[[environment.file]]
source = "config/prod/rtr-8.toml"
path = "etc/router.toml"
host = "rtr-8"
[launch]
argv = ["/bin/router", "--config", "/etc/router.toml"]
user = "router"
state = "/state"
credentials = ["venue-token"]
supervisor = ["NOTIFY_SOCKET"]
capabilities = ["CAP_NET_BIND_SERVICE"]
host_files = [{ path = "/etc/resolv.conf", sha256 = "unverified" }]
[launch.env]
RUST_BACKTRACE = "1"
[launch.limits]
open_files = 1024
[[group]]
name = "prod/router"
hosts = ["rtr-1", "rtr-8"]
[build]
env = { FOO = "bar" }
packages = ["gcc", "libc6-dev"]
"#;

#[test]
fn the_documented_file_is_read_with_its_defaults() {
    let config = parse(GOOD, Path::new(FILE)).unwrap();
    assert_eq!(config.linking, Linking::Static);
    assert_eq!(config.profile.as_str(), "release");
    assert!(config.default_features && config.target.is_none());
    assert_eq!(config.binaries[0].bundle_path(), "bin/router");
    assert_eq!(config.launch.limits.open_files, Some(1024));
    assert_eq!(config.build.packages(), ["gcc", "libc6-dev"]);
    let config = parse(&GOOD.replace("packages = [\"gcc\", \"libc6-dev\"]", ""), Path::new(FILE)).unwrap();
    assert_eq!(config.build.packages(), PACKAGES);
}

#[test]
fn each_fault_is_refused_with_its_line() {
    for (from, to, line, says) in [
        ("release = \"1.2\"", "relaese = \"1.2\"", 3, "relaese"),
        ("\"router\"\nrelease", "\"Router\"\nrelease", 2, "not a name"),
        ("wire_epoch = 2", "wire_epoch = -2", 4, "-2"),
        ("path = \"etc/router.toml\"\n[[env", "path = \"../router.toml\"\n[[env", 15, "inside the bundle"),
        ("path = \"etc/router.toml\"\n[[env", "path = \"bin/router\"\n[[env", 15, "path of a binary"),
        ("path = \"etc/router.toml\"\n[[env", "path = \"bin\"\n[[env", 15, "directory of bin/router"),
        ("path = \"etc/router.toml\"\n[[env", "path = \"run\"\n[[env", 15, "in the way of /run/credentials"),
        ("\"config/prod/router.toml\"", "\"/etc/passwd\"", 14, "inside the workspace"),
        ("\"rtr-8\"\n[launch]", "\"rtr-9\"\n[launch]", 19, "no [[group]]"),
        ("[\"/bin/router\"", "[\"/bin/rooter\"", 21, "/bin/router"),
        ("user = \"router\"", "user = \"root\"", 22, "dangerous_root"),
        ("NOTIFY_SOCKET", "LISTEN_FDS", 25, "LISTEN_FDS"),
        ("CAP_NET_BIND_SERVICE", "CAP_SYS_ADMIN", 26, "CAP_SYS_ADMIN"),
        ("/etc/resolv.conf", "/proc/cpuinfo", 27, "/proc"),
        ("RUST_BACKTRACE", "LD_PRELOAD", 29, "LD_PRELOAD"),
        ("\"prod/router\"", "\"uat/router\"", 33, "no [[environment]]"),
        ("[\"rtr-1\", ", "[\"rtr-8\", ", 18, "twice"),
        ("FOO", "RUSTFLAGS", 36, "RUSTFLAGS"),
        ("\"gcc\"", "\"-o\"", 37, "package"),
        ("\"gcc\"", "\"libc6-dev\"", 37, "twice"),
        ("\"gcc\", \"libc6-dev\"", "", 37, "at least"),
        ("packages =", "environment = \"host\"\npackages =", 37, "takes no packages"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        match parse(&GOOD.replacen(from, to, 1), Path::new(FILE)) {
            Err(ConfigError::Invalid { line: at, message, .. }) => {
                assert!(message.contains(says), "{to}: {message}");
                // A cross-check finds the first place that names the value: close, and never past it.
                assert!(at <= line && at > 1, "{to}: line {at}, want {line}: {message}");
            }
            other => panic!("{to}: {other:?}"),
        }
    }
}

#[test]
fn the_names_of_a_bundle_fit_into_a_file_name() {
    let with = |length: usize| {
        let text = GOOD.replace("product = \"router\"", &format!("product = \"{}\"", "p".repeat(64)));
        parse(&text.replace("release = \"1.2\"", &format!("release = \"{}\"", "1".repeat(length - 64 - "prod".len()))), Path::new(FILE))
    };
    assert!(with(107).is_ok());
    let Err(ConfigError::Invalid { message, .. }) = with(108) else { panic!("not refused") };
    assert!(message.contains("at most 107"), "{message}");
}

#[test]
fn a_missing_file_points_to_init() {
    let dir = tempfile::tempdir().unwrap();
    let refusal = load(dir.path()).unwrap_err().refusal();
    assert_eq!((refusal.code, refusal.reason), (Exit::Usage, "no-config"));
    assert!(refusal.next.unwrap().contains("proofmark init"));
}
