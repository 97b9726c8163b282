//! Section 6, the manifest: its own rules, and whether it is the one that the group file describes.

use crate::world::*;
use proofmark_core::group::{FlagState, Group, LedgerEntry};
use proofmark_core::json;
use proofmark_core::manifest::*;
use proofmark_core::{Digest, Reason, limits};

pub(crate) fn file(path: &str, mode: FileMode, content: &[u8]) -> File {
    File { path: t(path), size: content.len() as u64, mode, sha256: Digest::of(content) }
}

pub(crate) fn manifest() -> Manifest {
    let group = group("x");
    Manifest {
        format: 1,
        kind: "manifest".into(),
        contract: 1,
        product: group.bundle.product,
        release: group.bundle.release,
        environment: group.environment,
        target: group.bundle.target,
        wire_epoch: group.bundle.wire_epoch,
        source: Source { commit: group.bundle.source_commit, tree: t(&"d".repeat(40)), time: at(0) },
        buildinfo: Digest::of(b"buildinfo"),
        flags: vec![],
        files: vec![file("root/bin/router", FileMode::Program, b"program"), file("root/etc/router.toml", FileMode::Data, b"config")],
        launch: Launch {
            argv: vec!["/bin/router".into()],
            env: [("MODE".into(), "x".into())].into(),
            user: t("router"),
            dangerous_root: false,
            limits: Limits::default(),
            capabilities: vec![],
            state: None,
            credentials: vec![],
            supervisor: vec![],
            host_files: vec![],
        },
    }
}

#[track_caller]
fn load(expected: Result<(), Reason>, edit: impl FnOnce(&mut Manifest)) {
    let mut manifest = manifest();
    edit(&mut manifest);
    let parsed = json::parse::<Manifest>(&json::print(&manifest), "manifest.json");
    assert_eq!(parsed.as_ref().map(drop).map_err(|e| e.reason()), expected, "{parsed:?}");
}

fn with(path: &str) -> impl FnOnce(&mut Manifest) + '_ {
    move |manifest| {
        manifest.files.push(file(path, FileMode::Data, b"x"));
        manifest.files.sort_by(|a, b| a.path.cmp(&b.path));
    }
}

#[test]
fn a_manifests_own_rules() {
    load(Ok(()), |_| {});
    load(Err(Reason::UnknownFormat), |manifest| manifest.contract = 2);
    load(Err(Reason::Malformed), |manifest| manifest.files.reverse());
    load(Err(Reason::Malformed), |manifest| manifest.files[1] = manifest.files[0].clone());
    let flag = |id| Flag { id, name: t("f"), meaning: Digest::of(b"m") };
    load(Ok(()), |manifest| manifest.flags = vec![flag(1), flag(2)]);
    load(Err(Reason::Malformed), |manifest| manifest.flags = vec![flag(2), flag(1)]);
    load(Ok(()), |manifest| manifest.flags = (0..1024).map(flag).collect());
    load(Err(Reason::Limit), |manifest| manifest.flags = (0..1025).map(flag).collect());
    load(Ok(()), |manifest| manifest.source.time = proofmark_core::Time::from_unix(limits::TAR_TIME).unwrap());
    load(Err(Reason::Limit), |manifest| manifest.source.time = proofmark_core::Time::from_unix(limits::TAR_TIME + 1).unwrap());
    let overlays = |count: usize| {
        move |manifest: &mut Manifest| {
            manifest.files.extend((0..count).map(|n| file(&format!("hosts/h{n}/x"), FileMode::Data, b"x")));
            manifest.files.sort_by(|a, b| a.path.cmp(&b.path));
        }
    };
    load(Ok(()), overlays(limits::HOSTS));
    load(Err(Reason::Limit), overlays(limits::HOSTS + 1));
}

#[test]
fn attack_26_paths_that_collide_or_cover_mounts_are_refused() {
    for good in
        ["root/etc/other", "hosts/rtr-1/etc/router.toml", "hosts/rtr-1/etc/ROUTER.TOML.x", "root/procedures", "root/device", "root/run/x"]
    {
        load(Ok(()), with(good));
    }
    for bad in [
        "root/etc/ROUTER.toml",
        "hosts/rtr-1/etc/ROUTER.toml",
        "root/bin/router/x",
        "hosts/rtr-1/bin/router/x",
        "root/BIN/ROUTER/x",
        "root/proc",
        "root/proc/x",
        "root/dev/x",
        "root/run/credentials/x",
        "hosts/rtr-1/proc/x",
    ] {
        load(Err(Reason::Policy), with(bad));
    }
    load(Err(Reason::Policy), |manifest| {
        manifest.launch.state = Some(t("/srv"));
        with("root/srv/x")(manifest);
    });
    // What the verifier mounts needs directories above it.
    load(Err(Reason::Policy), with("root/run"));
    load(Err(Reason::Policy), |manifest| {
        manifest.launch.state = Some(t("/srv/x"));
        with("root/srv")(manifest);
    });
    load(Err(Reason::Policy), |manifest| {
        manifest.launch.host_files = vec![HostFile { path: t("/etc/hosts"), sha256: Expected::Untrusted(Unverified::Unverified) }];
        with("root/etc/hosts")(manifest);
    });
}

#[test]
fn an_overlay_wins_on_its_host_and_nowhere_else() {
    let mut manifest = manifest();
    with("hosts/rtr-1/etc/router.toml")(&mut manifest);
    let path = |host: Option<&str>| manifest.files_for(host)["etc/router.toml"].path.to_string();
    assert_eq!(path(None), "root/etc/router.toml");
    assert_eq!(path(Some("rtr-1")), "hosts/rtr-1/etc/router.toml");
    assert_eq!(path(Some("rtr-2")), "root/etc/router.toml");
    assert_eq!(manifest.files_for(Some("rtr-1")).len(), 2);
    assert_eq!(manifest.content_size(), 7 + 6 + 1);
}

#[test]
fn a_program_is_an_executable_file_of_the_root() {
    let argv = |first: &str| {
        let first = first.to_owned();
        move |manifest: &mut Manifest| manifest.launch.argv = vec![first]
    };
    for bad in ["bin/router", "/bin/other", "/etc/router.toml", "", "/"] {
        load(Err(Reason::Policy), argv(bad));
    }
    load(Err(Reason::Policy), |manifest| manifest.launch.argv.clear());
    load(Err(Reason::Policy), |manifest| {
        manifest.files.insert(0, file("hosts/rtr-1/bin/x", FileMode::Program, b"x"));
        manifest.launch.argv = vec!["/bin/x".into()];
    });
    load(Ok(()), |manifest| manifest.launch.argv.resize(256, "x".into()));
    load(Err(Reason::Limit), |manifest| manifest.launch.argv.resize(257, "x".into()));
}

#[test]
fn an_environment_has_plain_names_and_nothing_of_the_loader() {
    let env = |name: &str| {
        let name = name.to_owned();
        move |manifest: &mut Manifest| manifest.launch.env = [(name, "x".to_owned())].into()
    };
    for good in ["A", "_", "A1", "LDX", "NOTIFY_SOCKET", &"A".repeat(64)] {
        load(Ok(()), env(good));
    }
    for bad in ["", "1A", "a", "A-B", "A=B", "LD_PRELOAD", "LD_", "GLIBC_TUNABLES", &"A".repeat(65)] {
        load(Err(Reason::Policy), env(bad));
    }
    load(Err(Reason::Policy), |manifest| {
        manifest.launch.supervisor = vec![SupervisorVariable::NotifySocket];
        manifest.launch.env = [("NOTIFY_SOCKET".to_owned(), "x".to_owned())].into();
    });
    load(Ok(()), |manifest| manifest.launch.env = (0..256).map(|n| (format!("V{n}"), "x".into())).collect());
    load(Err(Reason::Limit), |manifest| manifest.launch.env = (0..257).map(|n| (format!("V{n}"), "x".into())).collect());
}

#[test]
fn privileges_and_paths_are_from_closed_lists() {
    load(Err(Reason::Policy), |manifest| manifest.launch.user = t("root"));
    load(Ok(()), |manifest| (manifest.launch.user, manifest.launch.dangerous_root) = (t("root"), true));
    load(Ok(()), |manifest| manifest.launch.capabilities = vec![Capability::CapIpcLock, Capability::CapSysNice]);
    load(Err(Reason::Malformed), |manifest| manifest.launch.capabilities = vec![Capability::CapSysNice, Capability::CapIpcLock]);
    let all = "[\"CAP_IPC_LOCK\",\"CAP_NET_ADMIN\",\"CAP_NET_BIND_SERVICE\",\"CAP_NET_RAW\",\"CAP_SYS_NICE\"]";
    assert!(reparsed(&manifest(), |text| text.replacen("\"capabilities\": []", &format!("\"capabilities\": {all}"), 1)).is_ok());
    refused(
        reparsed(&manifest(), |text| text.replacen("\"capabilities\": []", "\"capabilities\": [\"CAP_SYS_ADMIN\"]", 1)),
        Reason::Malformed,
    );
    use SupervisorVariable::{NotifySocket, WatchdogPid, WatchdogUsec};
    load(Ok(()), |manifest| manifest.launch.supervisor = vec![NotifySocket, WatchdogPid, WatchdogUsec]);
    load(Err(Reason::Malformed), |manifest| manifest.launch.supervisor = vec![WatchdogPid, NotifySocket]);
    assert_eq!([NotifySocket, WatchdogPid, WatchdogUsec].map(SupervisorVariable::name), ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"]);
    assert_eq!([FileMode::Data.bits(), FileMode::Program.bits()], [0o644, 0o755]);
    load(Ok(()), |manifest| manifest.launch.credentials = vec![t("a"), t("b")]);
    load(Err(Reason::Malformed), |manifest| manifest.launch.credentials = vec![t("b"), t("a")]);
    let many = |count: usize| (0..count).map(|n| t(&format!("c{n:02}"))).collect();
    load(Ok(()), |manifest| manifest.launch.credentials = many(64));
    load(Err(Reason::Limit), |manifest| manifest.launch.credentials = many(65));
    for bad in ["/proc", "/proc/x", "/dev/x", "/run/x"] {
        load(Err(Reason::Policy), |manifest| manifest.launch.state = Some(t(bad)));
    }
    for good in ["/state", "/procedures", "/runs"] {
        load(Ok(()), |manifest| manifest.launch.state = Some(t(good)));
    }
    let host_file = |path: &str| HostFile { path: t(path), sha256: Expected::Digest(Digest::of(b"x")) };
    load(Ok(()), |manifest| manifest.launch.host_files = vec![host_file("/etc/hosts"), host_file("/etc/resolv.conf")]);
    load(Err(Reason::Malformed), |manifest| manifest.launch.host_files = vec![host_file("/etc/resolv.conf"), host_file("/etc/hosts")]);
    load(Err(Reason::Policy), |manifest| manifest.launch.host_files = vec![host_file("/run/x")]);
    load(Err(Reason::Policy), |manifest| manifest.launch.host_files = vec![host_file("/a"), host_file("/a/b")]);
    load(Ok(()), |manifest| manifest.launch.host_files = vec![host_file("/a"), host_file("/ab")]);
    for bad in ["/state", "/state/x", "/srv"] {
        load(Err(Reason::Policy), |manifest| {
            manifest.launch.state = Some(t(if bad == "/srv" { "/srv/state" } else { "/state" }));
            manifest.launch.host_files = vec![host_file(bad)];
        });
    }
    load(Ok(()), |manifest| (manifest.launch.state, manifest.launch.host_files) = (Some(t("/state")), vec![host_file("/states")]));
}

#[test]
fn attack_21_a_manifest_is_the_one_that_the_group_file_describes() {
    let check = |edit: &dyn Fn(&mut Group)| {
        let mut group = group("x");
        edit(&mut group);
        manifest().check_group(&group)
    };
    assert!(check(&|_| {}).is_ok());
    refused(check(&|group| group.environment = t("uat")), Reason::Environment);
    refused(check(&|group| group.bundle.target = t("aarch64-unknown-linux-gnu")), Reason::Target);
    refused(check(&|group| group.bundle.product = t("quoter")), Reason::Product);
    refused(check(&|group| group.bundle.release = t("1.3")), Reason::Product);
    refused(check(&|group| group.bundle.wire_epoch = 3), Reason::Product);
    refused(check(&|group| group.bundle.source_commit = t(&"e".repeat(40))), Reason::Product);
}

#[test]
fn a_flag_is_in_the_ledger_with_its_name_and_meaning_and_active() {
    let mut manifest = manifest();
    manifest.flags = vec![Flag { id: 9, name: t("rlp"), meaning: Digest::of(b"rlp") }];
    let entry = |id, name: &str, meaning: &[u8], state| LedgerEntry { id, name: t(name), meaning: Digest::of(meaning), state };
    let check = |ledger: Vec<LedgerEntry>| {
        let mut group = group("x");
        group.ledger = ledger;
        manifest.check_group(&group)
    };
    use FlagState::{Active, Retired};
    assert!(check(vec![entry(7, "power_peg", b"x", Retired), entry(9, "rlp", b"rlp", Active)]).is_ok());
    for ledger in [
        vec![],
        vec![entry(7, "rlp", b"rlp", Active)],
        vec![entry(9, "power_peg", b"rlp", Active)],
        vec![entry(9, "rlp", b"other", Active)],
        vec![entry(9, "rlp", b"rlp", Retired)],
    ] {
        refused(check(ledger), Reason::FlagLedger);
    }
}
