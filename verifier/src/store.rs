//! The store: unpacked bundles by their digest. A way to have the files at hand, not a place that is trusted.
//!
//! An entry appears whole, by one rename, after its signatures and every byte of it have passed the core. It is never changed
//! afterwards but for signatures that a new trust asks for. A start takes nothing from here on faith: it copies and hashes.

use crate::chain::signatures;
use crate::durable::{Disk, remove_leftovers};
use crate::failure;
use crate::files::Directory;
use crate::host::Host;
use crate::paths::{PARTIAL, signature};
use crate::source::Source;
use crate::state;
use proofmark_core::bundle::{self, Discard, MANIFEST, Sink};
use proofmark_core::group::Group;
use proofmark_core::json::{self, Document};
use proofmark_core::manifest::{File as Member, Manifest};
use proofmark_core::name::Name;
use proofmark_core::trust::Trust;
use proofmark_core::{Digest, Reason, Refusal, Result, limits};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const BUNDLE: &str = "bundle.tar.zst";
const SIGNATURES: &str = "sigs";
const FILES: &str = "files";

/// An entry that is complete and checked, but not visible yet.
pub struct Prepared {
    directory: TempDir,
    target: PathBuf,
}

impl Prepared {
    /// Makes the entry visible.
    pub fn commit(self, host: &Host) -> Result<()> {
        host.disk.commit_directory(self.directory.path(), &self.target).map_err(failure::io(&self.target, "to be put in place"))
    }
}

/// How closely an entry is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Exactly the files of the manifest, with their sizes and modes: what a start asks, before it copies and hashes.
    Listing,
    /// And their content.
    Content,
}

/// Downloads a bundle and prepares its entry: signatures, digest, every byte of the frame, every file (steps 13 and 14).
pub fn prepare(host: &Host, source: &dyn Source, trust: &Trust, group: &Group) -> Result<Prepared> {
    let digest = group.bundle.digest()?;
    let store = host.layout.store();
    let writable = || failure::io(&store, "room for a bundle");
    host.disk.directories(&store).map_err(writable())?;
    let directory = host.disk.temporary_directory(&store).map_err(writable())?;
    let path = bundle_path(group)?;
    let mut file = download(host, source, group, &path, &directory.path().join(BUNDLE))?;

    let found = signatures(trust.roles.bundle.keys(), |key| source.read(&signature(&path, key), limits::SIGNATURE))?;
    file.rewind().map_err(writable())?;
    bundle::verify(trust, group, &found, &mut file)?;
    file.rewind().map_err(writable())?;
    let mut unpacked = Unpacked { disk: &host.disk, files: directory.path().join(FILES) };
    let (_, manifest) = bundle::unpack(group, &mut BufReader::with_capacity(128 << 10, file), &mut unpacked)?;

    let keep = || {
        host.disk.folder(&directory.path().join(SIGNATURES))?;
        for (key, bytes) in &found {
            host.disk.part(&directory.path().join(signature_path(key)), 0o644)?.write_all(bytes)?;
        }
        host.disk.part(&directory.path().join(MANIFEST), 0o644)?.write_all(&manifest)
    };
    keep().map_err(writable())?;
    Ok(Prepared { directory, target: host.layout.bundle(digest) })
}

/// The bundle's bytes, at `target`. What an earlier attempt or another source has left is gone on with; the digest of the whole decides, and
/// a wrong one is thrown away: if not all of it came from this source, this source is asked once more for all.
fn download(host: &Host, source: &dyn Source, group: &Group, path: &str, target: &Path) -> Result<File> {
    let digest = group.bundle.digest()?;
    let partial = host.layout.partial(digest);
    let usable = || failure::io(&partial, "a place for the download");
    loop {
        let mut file = host.disk.partial(&partial).map_err(usable())?;
        let before = file.metadata().map_err(usable())?.len();
        source.download(path, group.bundle.size, &mut file)?;
        file.rewind().map_err(usable())?;
        let (have, _) = Digest::of_reader(&mut file).map_err(usable())?;
        if have == digest {
            host.disk.take_partial(&partial, target, 0o644).map_err(usable())?;
            file.rewind().map_err(usable())?;
            return Ok(file);
        }
        file.set_len(0).map_err(usable())?;
        if before == 0 {
            digest.check(have, path)?;
        }
    }
}

/// An entry of the store.
pub struct Entry<'a> {
    directory: Directory,
    group: &'a Group,
}

impl<'a> Entry<'a> {
    /// The entry of the group's bundle. `None`: there is none.
    pub fn open(host: &Host, group: &'a Group) -> Result<Option<Self>> {
        let directory = Directory::open(&host.layout.bundle(group.bundle.digest()?))?;
        Ok(directory.map(|directory| Entry { directory, group }))
    }

    /// As [`Entry::open`]; an absent one is refused.
    pub fn require(host: &Host, group: &'a Group) -> Result<Self> {
        let path = host.layout.bundle(group.bundle.digest()?);
        Self::open(host, group)?.ok_or_else(|| {
            Refusal::new(
                Reason::State,
                path.display(),
                "the bundle that was staged; proofmark-verifier update gets it again",
                "no such directory",
            )
        })
    }

    /// The manifest, as the group file pins it (step 14).
    pub fn manifest(&self) -> Result<Manifest> {
        let bytes = self.directory.read(MANIFEST, Manifest::LIMIT)?.ok_or_else(|| self.missing(MANIFEST))?;
        let subject = format!("{}/{MANIFEST}", self.directory.path().display());
        self.group.bundle.manifest_sha256.check(Digest::of(&bytes), &subject)?;
        let manifest: Manifest = json::parse(&bytes, MANIFEST)?;
        manifest.check_group(self.group)?;
        Ok(manifest)
    }

    /// Exactly the manifest's files are there (ATTACKS 34).
    pub fn check(&self, manifest: &Manifest, depth: Depth) -> Result<()> {
        for member in &manifest.files {
            let path = format!("{FILES}/{}", member.path);
            let mut file = self.file(member)?;
            let meta = file.metadata().map_err(failure::io(self.directory.path().join(&path), "to be read"))?;
            if meta.len() != member.size {
                return Err(self.wrong(Reason::Size, &path, format!("{} bytes", member.size), format!("{} bytes", meta.len())));
            }
            if meta.mode() & 0o7777 != member.mode.bits() {
                let octal = |mode: u32| format!("mode {mode:04o}");
                return Err(self.wrong(Reason::Digest, &path, octal(member.mode.bits()), octal(meta.mode() & 0o7777)));
            }
            if depth == Depth::Content {
                let (have, _) = Digest::of_reader(&mut file).map_err(failure::io(self.directory.path().join(&path), "to be read"))?;
                member.sha256.check(have, self.directory.path().join(&path).display())?;
            }
        }
        let known: BTreeSet<PathBuf> = manifest.files.iter().map(|member| PathBuf::from(member.path.as_str())).collect();
        self.check_nothing_else(&known, Path::new(""))
    }

    /// The bundle's file: signatures of role `bundle` over all of it, and with `unpack` every byte inside (step 13).
    pub fn check_bundle(&self, trust: &Trust, signatures: &[(Name, Vec<u8>)], unpack: bool) -> Result<()> {
        let mut file = self.directory.file(BUNDLE)?.ok_or_else(|| self.missing(BUNDLE))?;
        bundle::verify(trust, self.group, signatures, &mut file)?;
        if unpack {
            file.rewind().map_err(failure::io(self.directory.path().join(BUNDLE), "to be read"))?;
            bundle::unpack(self.group, &mut BufReader::with_capacity(128 << 10, file), &mut Discard)?;
        }
        Ok(())
    }

    /// The signatures that were kept, of the keys of role `bundle`.
    pub fn signatures(&self, trust: &Trust) -> Result<Vec<(Name, Vec<u8>)>> {
        signatures(trust.roles.bundle.keys(), |key| self.directory.read(&signature_path(key), limits::SIGNATURE))
    }

    /// Keeps the signatures that a new trust asks for.
    pub fn keep_signatures(&self, host: &Host, signatures: &[(Name, Vec<u8>)]) -> Result<()> {
        for (key, bytes) in signatures {
            let path = self.directory.path().join(signature_path(key));
            host.disk.replace(&path, bytes, 0o644).map_err(failure::io(&path, "to be written"))?;
        }
        Ok(())
    }

    /// A file of the manifest, opened for reading.
    pub fn file(&self, member: &Member) -> Result<File> {
        let path = format!("{FILES}/{}", member.path);
        self.directory.file(&path)?.ok_or_else(|| self.missing(&path))
    }

    #[allow(clippy::disallowed_methods, reason = "every entry is judged by itself, in any order")]
    fn check_nothing_else(&self, known: &BTreeSet<PathBuf>, below: &Path) -> Result<()> {
        let directory = self.directory.path().join(FILES).join(below);
        let readable = || failure::io(&directory, "a directory that can be read");
        for entry in fs::read_dir(&directory).map_err(readable())? {
            let entry = entry.map_err(readable())?;
            let path = below.join(entry.file_name());
            let is_directory = entry.file_type().map_err(readable())?.is_dir();
            if is_directory && known.range(path.clone()..).next().is_some_and(|file| file.starts_with(&path)) {
                self.check_nothing_else(known, &path)?;
            } else if is_directory || !known.contains(&path) {
                let subject = format!("{FILES}/{}", path.display());
                return Err(self.wrong(Reason::Digest, &subject, "the manifest's files and no other".into(), "one more".into()));
            }
        }
        Ok(())
    }

    fn missing(&self, path: &str) -> Refusal {
        self.wrong(Reason::Digest, path, "the file that was staged; proofmark-verifier update gets it again".into(), "no such file".into())
    }

    fn wrong(&self, reason: Reason, path: &str, want: String, have: String) -> Refusal {
        Refusal::new(reason, self.directory.path().join(path).display(), want, have)
    }
}

/// Removes what a crash left behind. Call with the updates' lock held.
pub fn clean(host: &Host) -> Result<()> {
    for directory in [host.layout.store(), host.layout.documents()] {
        remove_leftovers(&directory).map_err(failure::io(&directory, "to be cleaned"))?;
    }
    // A start that notes itself in the state has its temporary file there, under this lock.
    let _lock = state::lock(&host.layout, &host.disk, true)?;
    let lib = host.layout.lib();
    remove_leftovers(&lib).map_err(failure::io(&lib, "to be cleaned"))
}

/// Removes the bundles that nobody may need again. A failure only costs room.
#[allow(clippy::disallowed_methods, reason = "every entry is judged by itself, in any order")]
pub fn prune(host: &Host, keep: &BTreeSet<Digest>) {
    let Ok(entries) = fs::read_dir(host.layout.store()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        if name.ends_with(PARTIAL) {
            let _ = fs::remove_file(entry.path());
        }
        if name.parse().is_ok_and(|digest: Digest| !keep.contains(&digest)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// `bundles/DIGEST/FILE.tar.zst`
pub fn bundle_path(group: &Group) -> Result<String> {
    Ok(format!("bundles/{}/{}", group.bundle.digest()?, group.bundle_file()))
}

fn signature_path(key: &Name) -> String {
    format!("{SIGNATURES}/{key}.minisig")
}

/// Where the core's unpacker puts the files. It has checked every path.
struct Unpacked<'a> {
    disk: &'a Disk<'a>,
    files: PathBuf,
}

impl Sink for Unpacked<'_> {
    fn file(&mut self, file: &Member, content: &mut dyn Read) -> io::Result<()> {
        let path = self.files.join(file.path.as_str());
        if let Some(parent) = path.parent() {
            self.disk.folder(parent)?;
        }
        io::copy(content, &mut self.disk.part(&path, file.mode.bits())?).map(drop)
    }
}
