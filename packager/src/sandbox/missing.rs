//! Why this machine refuses a sandbox, in words, with the setting to change. Only called when it has refused.

use std::fs;

use super::SandboxError;

/// Finds the likeliest cause of `says`, the message of a sandbox that did not start.
pub(super) fn explain(says: &str) -> SandboxError {
    let (missing, next) = cause(says, |path| fs::read_to_string(path).ok().map(|text| text.trim().to_owned()));
    SandboxError::Unavailable { missing: missing.into(), says: says.into(), next: next.into() }
}

/// `setting` reads a file of /proc; handed in for the tests.
fn cause(says: &str, setting: impl Fn(&str) -> Option<String>) -> (&'static str, &'static str) {
    let denied = ["EPERM", "EACCES", "not permitted", "Permission denied"].iter().any(|word| says.contains(word));
    let is = |path: &str, value: &str| setting(path).as_deref() == Some(value);
    if says.contains("noexec") {
        ("a file system that may hold programs", "proofmark build --scratch DIR, with DIR on a file system that is not mounted noexec")
    } else if is("/proc/sys/user/max_user_namespaces", "0") {
        ("user namespaces: user.max_user_namespaces is 0", "sysctl user.max_user_namespaces=10000   (as root; /etc/sysctl.d/ keeps it)")
    } else if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        (
            "user namespaces for users: kernel.unprivileged_userns_clone is 0",
            "sysctl kernel.unprivileged_userns_clone=1   (as root), or build as root",
        )
    } else if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        (
            "user namespaces for users: kernel.apparmor_restrict_unprivileged_userns is 1",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0   (as root), or an AppArmor profile with `userns` for proofmark, or build as root",
        )
    } else if says.contains("ENOSPC") {
        (
            "another user namespace: a limit of user.max_*_namespaces is reached",
            "sysctl -a | grep max_.*_namespaces, and raise the lowest (as root)",
        )
    } else if says.contains("ENOSYS") || (says.contains("EINVAL") && says.contains("unshare")) {
        ("namespaces in this kernel", "a kernel with CONFIG_USER_NS, CONFIG_PID_NS, CONFIG_NET_NS, CONFIG_IPC_NS and CONFIG_UTS_NS")
    } else if says.contains("\"proc\"") || (says.contains("mount(") && says.contains("/proc") && denied) {
        (
            "a fresh /proc: a container hides parts of its own",
            "run the container with an unmasked /proc (podman: --security-opt unmask=ALL; docker: --security-opt systempaths=unconfined), or build outside of it",
        )
    } else if denied && setting("/proc/self/status").is_some_and(|status| status.contains("Seccomp:\t2")) {
        (
            "namespaces: a container's seccomp filter forbids them",
            "run the container with --security-opt seccomp=unconfined (docker, podman) or --cap-add SYS_ADMIN, or build outside of it",
        )
    } else if denied {
        (
            "the right to make namespaces, or to read an input",
            "build as root or as a user who may read toolchain and workspace; look at SELinux or AppArmor denials in dmesg",
        )
    } else {
        ("something the sandbox needs", "the message above names it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_known_setting_is_named_with_the_command_that_changes_it() {
        for (path, value, word) in [
            ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces"),
            ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone"),
            ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns"),
            ("/proc/self/status", "Seccomp:\t2", "seccomp"),
        ] {
            let (missing, next) = cause("unshare(..) => EPERM", |asked| (asked == path).then(|| value.to_owned()));
            assert!(missing.contains(word) && next.contains(word), "{missing}: {next}");
        }
    }
}
