//! Mounts, as primitives: a private mount namespace, a tmpfs that can be sealed, a piece of the host mounted elsewhere, a new root.
//!
//! Everything is done on descriptors, so that no path is looked up twice. What the kernel does not offer is refused and named
//! (91); nothing weaker takes its place. What goes into the payload's root is decided in `stage` and `grants`.

use crate::failure;
use crate::os;
use proofmark_core::{Refusal, Result};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, StatVfsMountFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Under whose authority the mounts are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Root's: the payload gets a user of its own.
    Root,
    /// A user namespace's, which the kernel gives to anybody: the payload runs as the caller.
    Caller {
        /// The caller.
        uid: u32,
        /// The caller's group.
        gid: u32,
    },
}

/// Leaves the host's mount namespace for a private one. This process must have one thread.
pub fn enter() -> Result<Authority> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let authority = if uid.is_root() {
        let needs = "unshare(CLONE_NEWNS): run as root with CAP_SYS_ADMIN, or as another user";
        os::unshare_mounts(false).map_err(failure::platform("mount namespaces", needs, "unshare(CLONE_NEWNS)"))?;
        Authority::Root
    } else {
        enter_user_namespace(uid, gid)?;
        Authority::Caller { uid: uid.as_raw(), gid: gid.as_raw() }
    };
    let needs = "a root directory that is a mount point: not inside a plain chroot";
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|e| forbidden("mount namespaces", needs, "mount(MS_PRIVATE)", e))?;
    Ok(authority)
}

const USER_NAMESPACES: &str =
    "unshare(CLONE_NEWUSER): set user.max_user_namespaces above 0 and kernel.apparmor_restrict_unprivileged_userns to 0, or run as root";

fn enter_user_namespace(uid: Uid, gid: Gid) -> Result<()> {
    os::unshare_mounts(true).map_err(failure::platform("user namespaces", USER_NAMESPACES, "unshare(CLONE_NEWUSER)"))?;
    // user_namespaces(7): the caller may map itself alone, and only after it has given up setgroups(2).
    let (uid, gid) = (uid.as_raw(), gid.as_raw());
    for (file, text) in [("setgroups", "deny".to_owned()), ("uid_map", format!("{uid} {uid} 1")), ("gid_map", format!("{gid} {gid} 1"))] {
        let path = format!("/proc/self/{file}");
        let written = File::options().write(true).open(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(failure::platform("user namespaces", USER_NAMESPACES, &path))?;
    }
    Ok(())
}

/// A mount-related call that failed. EPERM in a user namespace has causes of its own.
fn forbidden(feature: &str, needs: &str, call: &str, error: Errno) -> Refusal {
    let needs = if error == Errno::PERM && !rustix::process::geteuid().is_root() { USER_NAMESPACES } else { needs };
    failure::platform(feature, needs, call)(error)
}

const MOUNT_API: &str = "fsopen, fsconfig, fsmount, fspick, open_tree, move_mount: Linux 5.2 or newer";

fn api(call: &'static str) -> impl FnOnce(Errno) -> Refusal {
    move |error| forbidden("mount API", MOUNT_API, call, error)
}

/// A tmpfs of this process's own.
pub struct Tmpfs {
    mount: OwnedFd,
}

impl Tmpfs {
    /// Makes one for `bytes` of content in `inodes` files and directories, and mounts it on a directory. nosuid, nodev.
    pub fn new(bytes: u64, inodes: u64, mode: u32, on: BorrowedFd) -> Result<Self> {
        let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(api("fsopen(tmpfs)"))?;
        // Zero would mean "no limit" for both.
        let options = [("size", bytes.max(1).to_string()), ("nr_inodes", inodes.max(1).to_string()), ("mode", format!("{mode:o}"))];
        for (key, value) in options {
            rustix::mount::fsconfig_set_string(&context, key, value).map_err(api("fsconfig"))?;
        }
        rustix::mount::fsconfig_create(&context).map_err(api("fsconfig(create)"))?;
        let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).map_err(api("fsmount"))?;
        attach(mount.as_fd(), on)?;
        Ok(Tmpfs { mount })
    }

    /// Its root directory.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }

    /// Makes it read-only, file system and mount both. Fails while a file of it is open for writing: from here on nobody,
    /// whoever had it open, can write to it.
    pub fn seal(&self) -> Result<()> {
        let context = rustix::mount::fspick(&self.mount, "", FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC);
        let context = context.map_err(api("fspick"))?;
        rustix::mount::fsconfig_set_flag(&context, "ro").map_err(api("fsconfig(ro)"))?;
        rustix::mount::fsconfig_reconfigure(&context).map_err(api("fsconfig(reconfigure)"))?;
        restrict(self.root(), MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV)
    }
}

fn attach(mount: BorrowedFd, on: BorrowedFd) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", on, "", flags).map_err(api("move_mount"))
}

/// Adds restrictions to a mount, and keeps those it has: in a user namespace they are locked.
fn restrict(mount: BorrowedFd, more: MountFlags) -> Result<()> {
    let have = rustix::fs::fstatvfs(mount).map_err(api("fstatvfs"))?.f_flag;
    let mut flags = more | MountFlags::BIND;
    for (is, keep) in [
        (StatVfsMountFlags::RDONLY, MountFlags::RDONLY),
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ] {
        if have.contains(is) {
            flags |= keep;
        }
    }
    // There is no remount by descriptor before mount_setattr(2) of Linux 5.12; this link names the mount itself.
    let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
    rustix::mount::mount_remount(path, flags, "").map_err(api("mount(MS_REMOUNT|MS_BIND)"))
}

/// What of a piece of the host is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The file or directory alone.
    Single,
    /// And what is mounted below it.
    WithSubmounts,
}

/// Mounts a piece of the host, named by a descriptor that was opened after [`enter`], on a file or directory of the root.
pub fn bind(source: BorrowedFd, extent: Extent, on: BorrowedFd, restrictions: MountFlags) -> Result<()> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if extent == Extent::WithSubmounts {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = rustix::mount::open_tree(source, "", flags).map_err(api("open_tree"))?;
    attach(tree.as_fd(), on)?;
    restrict(tree.as_fd(), restrictions)
}

/// Makes the tmpfs this process's root directory, and lets go of the old one.
pub fn pivot(root: &Tmpfs) -> Result<()> {
    let needs = "a root file system that can be left: not the initial ramdisk, not inside a plain chroot";
    let wrong = |call: &'static str| move |e: Errno| forbidden("a new root", needs, call, e);
    rustix::process::fchdir(root.root()).map_err(wrong("fchdir"))?;
    // pivot_root(2), NOTES: the old root ends up on top of the new one, and is unmounted from there.
    rustix::process::pivot_root(".", ".").map_err(wrong("pivot_root"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(wrong("umount2"))?;
    rustix::process::chdir("/").map_err(wrong("chdir"))
}

/// A descriptor that names a directory of the host, for [`bind`]. The last component is not followed.
pub fn directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(failure::io(path, "a directory"))
}

/// A descriptor that names a file or directory below `root`, for mounting on it.
pub fn point(root: BorrowedFd, path: &str) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(root, path, flags, Mode::empty())
        .map_err(failure::io(Path::new("/").join(path), "a mount point of the payload's root"))
}

/// Gives a file or directory to a user.
pub fn give(root: BorrowedFd, path: &str, uid: u32, gid: u32) -> std::io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    Ok(rustix::fs::chownat(root, path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), flags)?)
}
