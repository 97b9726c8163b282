//! The only unsafe code of Proofmark: two system calls that rustix marks unsafe. Both are safe here for the reason given.

#![allow(unsafe_code, reason = "the two calls below, each with its reason")]

use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::thread::UnshareFlags;
use std::io;
use std::os::fd::BorrowedFd;

/// unshare(2) of the mount namespace, and of the user namespace if asked.
pub fn unshare_mounts(user_namespace: bool) -> io::Result<()> {
    let mut flags = UnshareFlags::NEWNS;
    if user_namespace {
        flags |= UnshareFlags::NEWUSER;
    }
    // SAFETY: the call is unsafe because of CLONE_FILES, which is not among the flags.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Marks every descriptor above 2 close-on-exec, so that exec hands on 0, 1 and 2 alone. Needs /proc.
#[allow(clippy::disallowed_methods, reason = "every entry is treated alike, in any order")]
pub(crate) fn close_on_exec_above_stderr() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let Some(number) = number.filter(|&n| n > 2) else { continue };
        // SAFETY: the number was open when /proc listed it, nothing else runs in this process that could close it, and it is
        // only used for these two calls. Were it closed nevertheless, they would say EBADF.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        match fcntl_getfd(fd).and_then(|flags| fcntl_setfd(fd, flags | FdFlags::CLOEXEC)) {
            Ok(()) | Err(Errno::BADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
