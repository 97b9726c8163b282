//! The payload's root: a tmpfs of its own that holds a copy of every file the manifest lists for this host, and nothing else.
//!
//! The order is the point: copy, seal, then hash. After [`Tmpfs::seal`] nobody can change the copy, so what was hashed is what
//! runs. It never executes, links or mounts a file of the store, and never hashes anything that can still be written.

use crate::failure;
use crate::grants::Grants;
use crate::mounts::Tmpfs;
use crate::store::Entry;
use proofmark_core::manifest::{File as Member, FileMode, Manifest};
use proofmark_core::name::Name;
use proofmark_core::{Digest, Reason, Refusal, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a page, and so of the smallest piece of a tmpfs. A kernel with larger pages gets more room than needed.
const PAGE: u64 = 64 << 10;

/// Copies, seals and hashes. The root is attached to `on`.
pub fn stage(entry: &Entry, manifest: &Manifest, host: &Name, grants: &Grants, on: BorrowedFd) -> Result<Tmpfs> {
    let files: Vec<(&str, &Member)> = manifest.files_for(Some(host.as_str())).into_iter().collect();
    let mut directories = BTreeSet::new();
    let points = grants.points();
    for path in files.iter().map(|(path, _)| *path).chain(points.iter().map(|point| point.path.as_str())) {
        directories.extend(parents(path));
    }
    directories.extend(points.iter().filter(|point| point.content.is_none()).map(|point| point.path.as_str()));

    let size = |size: u64| size.div_ceil(PAGE).saturating_mul(PAGE);
    let sizes = files.iter().map(|(_, member)| member.size).chain(points.iter().filter_map(|p| p.content.as_ref().map(|c| c.len() as u64)));
    let bytes = sizes.fold(PAGE, |sum, n| sum.saturating_add(size(n)));
    let inodes = 2 * (files.len() + points.len() + directories.len() + 8);
    let root = Tmpfs::new(bytes, inodes as u64, 0o755, on)?;

    // Sorted, so that a directory comes before what is in it.
    for directory in directories {
        match rustix::fs::mkdirat(root.root(), directory, Mode::from_raw_mode(0o755)) {
            Ok(()) => {}
            Err(Errno::EXIST | Errno::NOTDIR) => return Err(collision(directory)),
            Err(e) => return Err(room(directory)(e)),
        }
    }
    in_parallel(&files, |(path, member)| copy(entry, member, root.root(), path))?;
    for point in &points {
        if let Some(content) = &point.content {
            let mut file = create(root.root(), &point.path, FileMode::Data)?;
            file.write_all(content).map_err(room(&point.path))?;
        }
    }
    root.seal()?;
    in_parallel(&files, |(path, member)| check(root.root(), path, member))?;
    grants.check_copies(&root)?;
    Ok(root)
}

fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end])
}

fn collision(path: &str) -> Refusal {
    Refusal::new(
        Reason::Policy,
        format_args!("/{path}"),
        "each path of the payload's root used once",
        "a file and a mount point, or two mount points",
    )
}

fn room<E: std::fmt::Display>(path: &str) -> impl FnOnce(E) -> Refusal {
    failure::io(Path::new("/").join(path), "to be copied into the payload's root")
}

/// A new file of the root. The tree is this process's own: no link could be in the way.
fn create(root: BorrowedFd, path: &str, mode: FileMode) -> Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(mode.bits());
    let fd = match rustix::fs::openat(root, path, flags, mode) {
        Ok(fd) => fd,
        Err(Errno::EXIST | Errno::ISDIR | Errno::NOTDIR) => return Err(collision(path)),
        Err(e) => return Err(room(path)(e)),
    };
    // The umask had its say when the file was made.
    rustix::fs::fchmod(&fd, mode).map_err(room(path))?;
    Ok(fd.into())
}

fn copy(entry: &Entry, member: &Member, root: BorrowedFd, path: &str) -> Result<()> {
    let source = entry.file(member)?;
    let mut target = create(root, path, member.mode)?;
    // A file that has grown is cut here and found by its digest; one that has shrunk, by its size.
    io::copy(&mut source.take(member.size), &mut target).map(drop).map_err(room(path))
}

/// A file of the sealed copy is the manifest's (step 18).
fn check(root: BorrowedFd, path: &str, member: &Member) -> Result<()> {
    let (have, size) = digest(root, path)?;
    if size != member.size {
        return Err(Refusal::new(
            Reason::Size,
            format_args!("/{path}"),
            format_args!("{} bytes", member.size),
            format_args!("{size} bytes"),
        ));
    }
    member.sha256.check(have, format_args!("/{path}"))
}

/// Digest and length of a file of the sealed root.
pub fn digest(root: BorrowedFd, path: &str) -> Result<(Digest, u64)> {
    let open = rustix::fs::openat(root, path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    let mut file = File::from(open.map_err(room(path))?);
    Digest::of_reader(&mut file).map_err(room(path))
}

/// Below this many bytes, threads cost more than they save.
const WORTH_A_THREAD: u64 = 1 << 20;

/// Works on all files, on two threads if there is enough to do. All threads are gone afterwards: what follows changes the
/// credentials of this thread, which must then be the only one.
fn in_parallel(files: &[(&str, &Member)], work: impl Fn(&(&str, &Member)) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(file)?;
        }
        Ok(())
    };
    if files.len() < 2 || files.iter().map(|(_, member)| member.size).sum::<u64>() < WORTH_A_THREAD {
        return worker();
    }
    std::thread::scope(|scope| {
        let helper = scope.spawn(worker);
        let own = worker();
        let others = helper.join().unwrap_or_else(|_| Err(Refusal::new(Reason::Internal, "a thread", "an end", "a panic")));
        own.and(others)
    })
}

/// A thing that the root must have before it is sealed: a directory or file to mount on, or a file with content.
pub struct Point {
    /// Where, without the leading `/`.
    pub path: String,
    /// `None`: a directory. An empty content is a file to mount on.
    pub content: Option<Vec<u8>>,
}
