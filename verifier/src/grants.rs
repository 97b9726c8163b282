//! What the payload sees besides its own files: /proc, five devices, its state directory, its credentials, named host files.
//! Each is named by the manifest or always the same; there is nothing else.
//!
//! [`Grants::collect`] looks at the host before anything is mounted; [`Grants::mount`] mounts on the sealed root. Content of
//! credentials is never printed, hashed or kept.

use crate::failure;
use crate::files::{Directory, within_limit};
use crate::host::Host;
use crate::mounts::{self, Authority, Extent, Tmpfs, bind, give, point};
use crate::stage::{self, Point};
use proofmark_core::manifest::{CREDENTIALS, Expected, HostFile, Launch, SupervisorVariable};
use proofmark_core::name::{AbsolutePath, GroupName, Name};
use proofmark_core::{Digest, Refusal, Result};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::mount::MountFlags;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Largest credential, bytes (FORMAT.md section 8).
const CREDENTIAL: usize = 1 << 20;
/// Largest host file with a digest, bytes: it is copied into memory.
const HOST_FILE: usize = 16 << 20;
/// Devices, with the numbers that make them what they are (Linux's devices.txt).
const DEVICES: [(&str, u32, u32); 5] = [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9)];

/// Everything the payload is granted.
pub struct Grants<'a> {
    host: &'a Host<'a>,
    group: &'a GroupName,
    launch: &'a Launch,
    /// Who the payload will be.
    uid: u32,
    gid: u32,
    credentials: Vec<(&'a Name, Vec<u8>)>,
    /// Host files with a digest: copies, part of the sealed root.
    copies: Vec<(&'a AbsolutePath, Digest, Vec<u8>)>,
    /// NOTIFY_SOCKET, where it is a path.
    socket: Option<AbsolutePath>,
    variables: Vec<(&'static str, OsString)>,
}

impl<'a> Grants<'a> {
    /// Reads what has to be read from the host, and refuses what is not there.
    pub fn collect(host: &'a Host<'a>, group: &'a GroupName, launch: &'a Launch, uid: u32, gid: u32) -> Result<Self> {
        let mut grants =
            Grants { host, group, launch, uid, gid, credentials: Vec::new(), copies: Vec::new(), socket: None, variables: Vec::new() };
        for name in &launch.credentials {
            grants.credentials.push((name, credential(host, name)?));
        }
        for HostFile { path, sha256 } in &launch.host_files {
            if let Expected::Digest(digest) = sha256 {
                let bytes = root_directory(host)?.read(path.relative(), HOST_FILE)?.ok_or_else(|| no_host_file(path))?;
                digest.check(Digest::of(&bytes), format_args!("host file {path}"))?;
                grants.copies.push((path, *digest, bytes));
            }
        }
        for variable in &launch.supervisor {
            #[allow(clippy::disallowed_methods, reason = "the closed list of supervisor variables, where the manifest asks for them")]
            let Some(value) = std::env::var_os(variable.name()) else { continue };
            if *variable == SupervisorVariable::NotifySocket {
                grants.socket = socket_path(&value)?;
            }
            grants.variables.push((variable.name(), value));
        }
        Ok(grants)
    }

    /// The service manager's variables that are passed on.
    pub fn variables(&self) -> &[(&'static str, OsString)] {
        &self.variables
    }

    /// What the root must have before it is sealed.
    pub fn points(&self) -> Vec<Point> {
        let directory = |path: &str| Point { path: path.to_owned(), content: None };
        let file = |path: &str| Point { path: path.to_owned(), content: Some(Vec::new()) };
        let mut points = vec![directory("proc"), directory("dev")];
        points.extend(DEVICES.iter().map(|(name, ..)| file(&format!("dev/{name}"))));
        points.extend(self.launch.state.iter().map(|path| directory(path.relative())));
        if !self.credentials.is_empty() {
            points.push(directory(CREDENTIALS));
        }
        points.extend(self.unverified().map(|path| file(path.relative())));
        points.extend(self.copies.iter().map(|(path, _, bytes)| Point { path: path.relative().to_owned(), content: Some(bytes.clone()) }));
        points.extend(self.socket.iter().map(|path| file(path.relative())));
        points
    }

    fn unverified(&self) -> impl Iterator<Item = &AbsolutePath> {
        self.launch.host_files.iter().filter(|file| matches!(file.sha256, Expected::Untrusted(_))).map(|file| &file.path)
    }

    /// The copied host files, hashed again now that nobody can write to them.
    pub fn check_copies(&self, root: &Tmpfs) -> Result<()> {
        for (path, digest, _) in &self.copies {
            digest.check(stage::digest(root.root(), path.relative())?.0, format_args!("host file {path}"))?;
        }
        Ok(())
    }

    /// Mounts everything on the sealed root.
    pub fn mount(&self, root: &Tmpfs, authority: Authority) -> Result<()> {
        let at = |path: &str| point(root.root(), path);
        let plain = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        // Root needs no capability to write kernel settings below /proc/sys, and with them becomes the host's root again.
        let of_proc = if self.uid == 0 { plain | MountFlags::RDONLY } else { plain };
        bind(proc()?.as_fd(), Extent::WithSubmounts, at("proc")?.as_fd(), of_proc)?;
        for (name, major, minor) in DEVICES {
            let device = device(name, major, minor)?;
            bind(device.as_fd(), Extent::Single, at(&format!("dev/{name}"))?.as_fd(), MountFlags::NOSUID | MountFlags::NOEXEC)?;
        }
        if let Some(path) = &self.launch.state {
            let directory = self.state_directory(authority)?;
            bind(directory.as_fd(), Extent::Single, at(path.relative())?.as_fd(), plain)?;
        }
        for path in self.unverified() {
            let file = root_directory(self.host)?.handle(path.relative())?.ok_or_else(|| no_host_file(path))?;
            bind(file.as_fd(), Extent::Single, at(path.relative())?.as_fd(), plain | MountFlags::RDONLY)?;
        }
        if let Some(path) = &self.socket {
            bind(socket(path)?.as_fd(), Extent::Single, at(path.relative())?.as_fd(), plain)?;
        }
        if !self.credentials.is_empty() {
            self.mount_credentials(at(CREDENTIALS)?)?;
        }
        Ok(())
    }

    /// A file system of its own, so that it can belong to the payload's user alone.
    fn mount_credentials(&self, on: OwnedFd) -> Result<()> {
        let wrong = |name: &str| failure::io(Path::new("/").join(CREDENTIALS).join(name), "to be made");
        let pages: u64 = self.credentials.iter().map(|(_, content)| (content.len() as u64).div_ceil(64 << 10) + 1).sum();
        let tmpfs = Tmpfs::new(pages * (64 << 10), self.credentials.len() as u64 + 8, 0o500, on.as_fd())?;
        for (name, content) in &self.credentials {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let write = || {
                let file = rustix::fs::openat(tmpfs.root(), name.as_str(), flags, Mode::from_raw_mode(0o400))?;
                File::from(file).write_all(content)?;
                give(tmpfs.root(), name.as_str(), self.uid, self.gid)
            };
            write().map_err(wrong(name.as_str()))?;
        }
        give(tmpfs.root(), "", self.uid, self.gid).map_err(wrong(""))?;
        tmpfs.seal()
    }

    /// `/var/lib/proofmark/payload/ENV+ROLE`, made for the payload's user if it is not there.
    fn state_directory(&self, authority: Authority) -> Result<OwnedFd> {
        let path = self.host.layout.payload(self.group);
        let writable = || failure::io(&path, "a directory for the payload's state");
        if let Some(parent) = path.parent() {
            self.host.disk.directories(parent).map_err(failure::io(parent, "a directory"))?;
        }
        self.host.disk.private_directory(&path).map_err(writable())?;
        let directory = mounts::directory(&path)?;
        let owner = || rustix::fs::fstat(&directory).map(|stat| stat.st_uid).map_err(failure::io(&path, "a directory"));
        // Root's and empty: made just now, or by a start that was cut short before it could give it away.
        #[allow(clippy::disallowed_methods, reason = "only asks whether it is empty")]
        let is_empty = || std::fs::read_dir(&path).map(|mut entries| entries.next().is_none()).map_err(writable());
        if authority == Authority::Root && owner()? == 0 && is_empty()? {
            give(directory.as_fd(), "", self.uid, self.gid).map_err(writable())?;
        }
        let owner = owner()?;
        if owner != self.uid {
            let want = format!("to belong to uid {}, the payload's user", self.uid);
            return Err(failure::lacks(path.display(), want, format_args!("it belongs to uid {owner}")));
        }
        Ok(directory)
    }
}

/// The host's `/`, shifted by `--root` like every file of the host that is read by name.
fn root_directory(host: &Host) -> Result<Directory> {
    let path = host.layout.root();
    Directory::open(path)?.ok_or_else(|| failure::lacks(path.display(), "a directory", "none"))
}

fn no_host_file(path: &AbsolutePath) -> Refusal {
    failure::lacks(format_args!("host file {path}"), "a regular file of this host", "none")
}

/// A credential of the host: for its owner's eyes only.
fn credential(host: &Host, name: &Name) -> Result<Vec<u8>> {
    let path = host.layout.credentials();
    let subject = format!("credential {name}");
    let missing = || failure::lacks(&subject, format_args!("a file {name} in {}", path.display()), "none");
    let directory = Directory::open(&path)?.ok_or_else(missing)?;
    let file = directory.file(name.as_str())?.ok_or_else(missing)?;
    let meta = file.metadata().map_err(failure::io(path.join(name.as_str()), "a file that can be read"))?;
    let caller = rustix::process::geteuid().as_raw();
    if meta.mode() & 0o077 != 0 || (meta.uid() != 0 && meta.uid() != caller) {
        let have = format!("mode {:04o}, uid {}", meta.mode() & 0o7777, meta.uid());
        return Err(failure::lacks(&subject, "a file with mode 0600 or stricter that belongs to root or the caller", have));
    }
    // The file that was judged: by its name it could be another one by now.
    let mut bytes = Vec::new();
    let copied = file.take(CREDENTIAL as u64 + 1).read_to_end(&mut bytes);
    copied.map_err(failure::io(path.join(name.as_str()), "a file that can be read"))?;
    within_limit(&bytes, CREDENTIAL, &subject)?;
    Ok(bytes)
}

/// The host's own /proc: another instance would need a process namespace.
fn proc() -> Result<OwnedFd> {
    /// PROC_SUPER_MAGIC of statfs(2).
    const MAGIC: i64 = 0x9fa0;
    let directory = mounts::directory(Path::new("/proc"))?;
    let kind = rustix::fs::fstatfs(&directory).map_err(failure::io("/proc", "a file system"))?.f_type;
    #[allow(clippy::unnecessary_cast, reason = "its type differs between architectures")]
    if kind as i64 != MAGIC {
        return Err(failure::lacks("/proc", "the proc file system", "another one"));
    }
    Ok(directory)
}

fn device(name: &str, major: u32, minor: u32) -> Result<OwnedFd> {
    let path = Path::new("/dev").join(name);
    let wrong = |have: &dyn std::fmt::Display| failure::lacks(path.display(), format_args!("the character device {major}:{minor}"), have);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(&path, flags, Mode::empty()).map_err(|e| wrong(&e))?;
    let stat = rustix::fs::fstat(&fd).map_err(|e| wrong(&e))?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if !is_device || stat.st_rdev != rustix::fs::makedev(major, minor) {
        return Err(wrong(&"something else"));
    }
    Ok(fd)
}

/// The socket's path, where it has one: an abstract address works without the file system (sd_notify(3)).
fn socket_path(value: &OsString) -> Result<Option<AbsolutePath>> {
    let wrong = || failure::lacks("NOTIFY_SOCKET", "an absolute path of plain names, or an abstract address", "another value");
    let text = value.to_str().ok_or_else(wrong)?;
    if text.starts_with('@') {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| wrong())
}

fn socket(path: &AbsolutePath) -> Result<OwnedFd> {
    let wrong = |have: &dyn std::fmt::Display| failure::lacks(format_args!("NOTIFY_SOCKET {path}"), "a socket", have);
    let fd = rustix::fs::open(path.as_str(), OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).map_err(|e| wrong(&e))?;
    let stat = rustix::fs::fstat(&fd).map_err(|e| wrong(&e))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(wrong(&"something else"));
    }
    Ok(fd)
}
