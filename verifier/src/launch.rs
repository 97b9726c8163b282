//! The last steps: give up what the payload must not have, and the one exec call.
//!
//! The payload gets its own user, exactly the manifest's capabilities, limits and environment, descriptors 0 to 2, umask 022,
//! and `/` as its directory. Nothing that is asked for is left out silently: what cannot be done is refused.

use crate::config::User;
use crate::failure;
use crate::mounts::Authority;
use crate::os;
use proofmark_core::manifest::{Capability, Launch, Limits};
use proofmark_core::{Reason, Refusal, Result};
use rustix::fs::{FileType, Mode};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid};
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What can be judged before anything is mounted: whether this authority can do what the manifest asks.
pub fn check(launch: &Launch, authority_is_root: bool) -> Result<()> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    for (number, fd) in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()].into_iter().enumerate() {
        // A directory would be a door out of the root.
        if rustix::fs::fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory) {
            return Err(failure::lacks(format_args!("descriptor {number}"), "anything but a directory", "a directory"));
        }
    }
    if !authority_is_root && !launch.capabilities.is_empty() {
        let asked: Vec<String> = launch.capabilities.iter().map(|c| format!("{c:?}")).collect();
        return Err(failure::lacks("capabilities", "root, to grant capabilities", asked.join(", ")));
    }
    Ok(())
}

/// Gives up everything and becomes the payload. Returns only with a refusal. This process must have one thread.
pub fn exec(launch: &Launch, authority: Authority, user: User, variables: &[(&'static str, OsString)]) -> Refusal {
    match give_up(launch, authority, user) {
        Ok(()) => {}
        Err(refusal) => return refusal,
    }
    let Some((program, arguments)) = launch.argv.split_first() else {
        return Refusal::new(Reason::Internal, "argv", "a program", "none");
    };
    // The name has a slash: PATH is not asked. std resets SIGPIPE and the signal mask, which Rust's own start changed.
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&launch.env).envs(variables.iter().map(|(name, value)| (name, value)));
    let error = command.exec();
    let want = "a program of this architecture whose loader, if it has one, is in the bundle";
    Refusal::new(Reason::Policy, program, want, format_args!("execve: {error}"))
}

fn give_up(launch: &Launch, authority: Authority, user: User) -> Result<()> {
    limit(&launch.limits)?;
    let keep = launch.capabilities.iter().fold(CapabilitySet::empty(), |set, c| set | capability(*c));
    // Capabilities(7): the bounding set needs CAP_SETPCAP, so it goes first.
    drop_bounding(keep)?;
    if authority == Authority::Root {
        let denied = |call: &'static str| failure::platform("the payload's user", "CAP_SETUID and CAP_SETGID", call);
        rustix::thread::set_keep_capabilities(true).map_err(denied("prctl(PR_SET_KEEPCAPS)"))?;
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        rustix::thread::set_thread_groups(&[]).map_err(denied("setgroups"))?;
        rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(denied("setresgid"))?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(denied("setresuid"))?;
        rustix::thread::set_keep_capabilities(false).map_err(denied("prctl(PR_SET_KEEPCAPS)"))?;
    }
    let denied = |call: &'static str| failure::platform("capabilities", "to hold what the manifest grants", call);
    let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: keep };
    rustix::thread::set_capabilities(None, sets).map_err(denied("capset"))?;
    rustix::thread::clear_ambient_capability_set().map_err(denied("prctl(PR_CAP_AMBIENT)"))?;
    for one in keep.iter() {
        rustix::thread::configure_capability_in_ambient_set(one, true).map_err(denied("prctl(PR_CAP_AMBIENT_RAISE)"))?;
    }
    rustix::thread::set_no_new_privs(true).map_err(failure::platform(
        "no_new_privs",
        "Linux 3.5 or newer",
        "prctl(PR_SET_NO_NEW_PRIVS)",
    ))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    os::close_on_exec_above_stderr().map_err(failure::platform("descriptors", "/proc/self/fd", "fcntl(FD_CLOEXEC)"))
}

fn capability(capability: Capability) -> CapabilitySet {
    match capability {
        Capability::CapIpcLock => CapabilitySet::IPC_LOCK,
        Capability::CapNetAdmin => CapabilitySet::NET_ADMIN,
        Capability::CapNetBindService => CapabilitySet::NET_BIND_SERVICE,
        Capability::CapNetRaw => CapabilitySet::NET_RAW,
        Capability::CapSysNice => CapabilitySet::SYS_NICE,
    }
}

/// Everything but `keep` leaves the bounding set, also what this program has no name for: the kernel ends the list with EINVAL.
fn drop_bounding(keep: CapabilitySet) -> Result<()> {
    for bit in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        if keep.contains(one) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            Err(Errno::INVAL) => break,
            Err(e) => return Err(failure::platform("capabilities", "CAP_SETPCAP", "prctl(PR_CAPBSET_DROP)")(e)),
        }
    }
    Ok(())
}

/// Both the soft and the hard limit, where the manifest names one.
fn limit(limits: &Limits) -> Result<()> {
    let wanted = [
        ("open_files", Resource::Nofile, limits.open_files),
        ("processes", Resource::Nproc, limits.processes),
        ("core_bytes", Resource::Core, limits.core_bytes),
        ("memory_bytes", Resource::As, limits.memory_bytes),
    ];
    for (name, resource, value) in wanted {
        let Some(value) = value else { continue };
        let both = Rlimit { current: Some(value), maximum: Some(value) };
        rustix::process::setrlimit(resource, both).map_err(failure::platform(
            &format!("limit {name} = {value}"),
            "a hard limit at least as high, or root",
            "setrlimit",
        ))?;
    }
    Ok(())
}
