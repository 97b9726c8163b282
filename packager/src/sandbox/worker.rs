//! The worker: one process that becomes the outside of one sandbox, starts it, and ends with it.
//!
//! It is single-threaded until the sandbox runs, which `fork` inside hakoniwa and the per-thread identity calls below rely on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hakoniwa::{Container, MountOptions, Namespace};
use nix::sched::{CloneFlags, unshare};
use nix::sys::personality::{self, Persona};
use rustix::fs::{Gid, Mode, Uid};
use rustix::mount::{MountPropagationFlags, mount_bind_recursive, mount_change};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, getrlimit, set_dumpable_behavior, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::{BUILDER, Machine, Request, Root, SETUP_FAILED, Spec};
use crate::exit::{IoContext, IoError};

/// Runs the request in the file `request` and returns the exit code of its program, or 125 with a line on standard error.
pub fn main(request: &Path) -> u8 {
    match work(request) {
        Ok(code) => u8::try_from(code).unwrap_or(SETUP_FAILED as u8),
        Err(says) => {
            eprintln!("sandbox: {says}");
            SETUP_FAILED as u8
        }
    }
}

fn work(request: &Path) -> Result<i32, String> {
    let json = fs::read(request).at("read", request).map_err(|error| error.to_string())?;
    let Request { mut spec, outside, stage, argv } = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
    rustix::process::umask(Mode::from_raw_mode(outside.umask));
    leave_processors(outside.spare_processors);
    soft_limit(Resource::Nofile, outside.open_files);
    if let Some(name) = &outside.hostname {
        unshare(CloneFlags::CLONE_NEWUTS).and_then(|()| nix::unistd::sethostname(name)).map_err(|error| format!("host name: {error}"))?;
    }
    if let Some((uid, gid)) = outside.ids {
        stage_mounts(&mut spec, &stage).map_err(|error| error.to_string())?;
        become_user(uid, gid).map_err(|error| format!("become user {uid}: {error}"))?;
    }
    // After the change of user, which clears it. If the caller dies, even by SIGKILL, so does this, and with it the namespace.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    // From here on it is the sandbox's: the inside always sees 022.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    soft_limit(Resource::Nofile, 1024);
    if spec.machine == Machine::On {
        // The place of everything in memory begins where the stack ends, so its limit is fixed too.
        soft_limit(Resource::Stack, 8 << 20);
        personality::set(Persona::ADDR_NO_RANDOMIZE).map_err(|error| format!("personality(ADDR_NO_RANDOMIZE): {error}"))?;
    }
    let container = container(&spec, &stage)?;
    let (program, arguments) = argv.split_first().ok_or("no program")?;
    let mut command = container.command(program);
    // hakoniwa hands the environment on in random order; that reaches cargo alone, which sorts what it gives to others.
    let status = command.args(arguments).envs(&spec.env).current_dir("/src").status().map_err(|error| error.to_string())?;
    if status.exit_code.is_none() {
        return Err(status.reason);
    }
    Ok(status.code)
}

fn container(spec: &Spec, stage: &Path) -> Result<Container, String> {
    let mut container = Container::new();
    for namespace in [Namespace::Network, Namespace::Ipc, Namespace::Uts, Namespace::Cgroup] {
        container.unshare(namespace);
    }
    container.uidmap(BUILDER);
    container.gidmap(BUILDER);
    container.hostname("proofmark");
    container.rootdir(stage.join("root"));
    // /usr and the names of old that lead into it, as that system has them: a link stays a link.
    let system = spec.root.directory();
    for name in ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt"] {
        let (path, inside) = (system.join(name), format!("/{name}"));
        match fs::symlink_metadata(&path) {
            // What a host has in /opt, no package put there.
            Ok(_) if name == "opt" && spec.root == Root::Host => {}
            Ok(meta) if meta.is_symlink() => {
                let target = fs::read_link(&path).at("read", &path).map_err(|error| error.to_string())?;
                container.symlink(&target.to_string_lossy(), &inside);
            }
            Ok(meta) if meta.is_dir() => bind(&mut container, &path, &inside, true)?,
            _ => {}
        }
    }
    for (from, to) in &spec.read_only {
        bind(&mut container, from, to, true)?;
    }
    for (from, to) in &spec.writable {
        bind(&mut container, from, to, false)?;
    }
    for place in spec.hidden.iter().map(String::as_str).chain(["/tmp", "/home/builder"]) {
        container.tmpfsmount(place);
    }
    container.devfsmount("/dev");
    if spec.machine == Machine::On {
        // /proc is a directory of constants; only what is about the asking process leads here.
        container.procfsmount("/proofmark/proc");
    }
    Ok(container)
}

/// No device files anywhere but in /dev; nodev and nosuid also spare us hakoniwa's fallback for mounts that have them, which
/// would silently make a read-only mount writable.
fn bind(container: &mut Container, from: &Path, to: &str, read_only: bool) -> Result<(), String> {
    let from = from.to_str().ok_or_else(|| format!("{}: not UTF-8", from.display()))?;
    let mut options = MountOptions::BIND | MountOptions::REC | MountOptions::NOSUID | MountOptions::NODEV;
    if read_only {
        options |= MountOptions::RDONLY;
    }
    // A flag that the source's mount has cannot be dropped in a user namespace.
    let flags = rustix::fs::statvfs(from).map_err(|error| format!("{from}: {error}"))?.f_flag;
    if flags.contains(rustix::fs::StatVfsMountFlags::NOEXEC) {
        if !read_only {
            return Err(format!("{from} is on a file system mounted noexec: build scripts cannot run there; use --scratch DIR"));
        }
        options |= MountOptions::NOEXEC;
    }
    container.mount(from, to, "", options, None);
    Ok(())
}

/// Root only: binds everything to where the outer user can walk, in a mount namespace of our own.
/// A toolchain in /root/.rustup is readable for all but for the closed door of /root.
fn stage_mounts(spec: &mut Spec, stage: &Path) -> Result<(), IoError> {
    proofmark_verifier::os::unshare_mounts(false).at("unshare the mounts of", stage)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).map_err(io::Error::from).at("make private", "/")?;
    // The worker's umask is one of the things that must not matter.
    let umask = rustix::process::umask(Mode::from_raw_mode(0o022));
    let layers = match &mut spec.root {
        Root::Layers(tree) => Some(tree),
        Root::Host => None,
    };
    let listed = spec.read_only.iter_mut().chain(&mut spec.writable).map(|(from, _)| from);
    for (number, from) in layers.into_iter().chain(listed).enumerate() {
        let to: PathBuf = stage.join("m").join(number.to_string());
        if from.is_dir() { fs::create_dir(&to) } else { fs::write(&to, "") }.at("create", &to)?;
        mount_bind_recursive(&*from, &to).map_err(io::Error::from).at("bind", &*from)?;
        *from = to;
    }
    rustix::process::umask(umask);
    Ok(())
}

/// Gives up root for good: real, effective and saved ids, no supplementary groups.
fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    // The change of user made /proc/self/uid_map root's (proc_pid_uid_map(5), PR_SET_DUMPABLE): it is to be written next.
    set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    Ok(())
}

/// Best effort: a machine that pins processes has varied enough by itself.
fn leave_processors(spare: usize) {
    let Ok(now) = sched_getaffinity(None) else { return };
    let mut keep = (now.count() as usize).saturating_sub(spare).max(1);
    let mut wanted = CpuSet::new();
    for processor in (0..CpuSet::MAX_CPU).filter(|&processor| now.is_set(processor)) {
        if keep > 0 {
            wanted.set(processor);
            keep -= 1;
        }
    }
    let _ = sched_setaffinity(None, &wanted);
}

/// Best effort, as for processors: a hard limit may be lower.
fn soft_limit(resource: Resource, limit: u64) {
    let Rlimit { maximum, .. } = getrlimit(resource);
    let _ = setrlimit(resource, Rlimit { current: Some(maximum.map_or(limit, |maximum| maximum.min(limit))), maximum });
}
