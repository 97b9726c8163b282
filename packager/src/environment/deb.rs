//! A Debian package as a layer: what deb(5) says, read strictly, without dpkg and without running anything of it.
//!
//! Maintainer scripts are not looked at. This file must never give an entry a path, an owner, a mode or a kind beyond the few that
//! a file of an operating system's /usr needs.

use std::io::Read;

use flate2::read::GzDecoder;
use lzma_rust2::XzReader;
use tar::EntryType;

use super::error::EnvironmentError;
use super::lock::Layer;
use super::tree::Tree;
use crate::exit::IoContext;

/// Most bytes that one package unpacks to, and most entries.
const MOST_BYTES: u64 = 8 << 30;
const MOST_ENTRIES: usize = 500_000;
/// Most memory of a decoder, KiB: twice the largest dictionary that xz -9 uses, and what zstd --ultra may ask for.
const MOST_MEMORY: u32 = 128 << 10;
/// The same for zstd, as the exponent of its window.
const WINDOW_LOG: u32 = 27;
/// Largest control file.
const LARGEST_CONTROL: u64 = 1 << 20;

/// Unpacks the package in `bytes`, whose digest is the layer's, into `tree`.
pub(super) fn unpack(bytes: &[u8], layer: &Layer, architecture: &str, tree: &mut Tree) -> Result<(), EnvironmentError> {
    let title = layer.title();
    let refuse = |entry: &str, why: &str| EnvironmentError::Content { layer: title.clone(), entry: entry.into(), why: why.into() };
    let mut members = ar::Archive::new(bytes);
    let mut number = 0;
    while let Some(member) = members.next_entry() {
        let mut member = member.at("read", &title)?;
        let name = String::from_utf8_lossy(member.header().identifier()).into_owned();
        match (number, name.split_once(".tar")) {
            (0, None) if name == "debian-binary" => {
                let mut version = String::new();
                (&mut member).take(16).read_to_string(&mut version).at("read", &title)?;
                if version != "2.0\n" {
                    return Err(refuse(&name, "not version 2.0 of the format"));
                }
            }
            (1, Some(("control", suffix))) => {
                let stream = decoder(suffix, &mut member).ok_or_else(|| refuse(&name, "an unknown compression"))?;
                identify(stream, layer, architecture)?;
            }
            (2, Some(("data", suffix))) => {
                let stream = decoder(suffix, &mut member).ok_or_else(|| refuse(&name, "an unknown compression"))?;
                data(stream, &title, tree)?;
            }
            _ => return Err(refuse(&name, "not a member that a package has here")),
        }
        number += 1;
    }
    if number == 3 { Ok(()) } else { Err(refuse("the archive", "debian-binary, control and data are not all there")) }
}

fn decoder<'a>(suffix: &str, from: &'a mut dyn Read) -> Option<Box<dyn Read + 'a>> {
    Some(match suffix {
        "" => Box::new(from),
        ".gz" => Box::new(GzDecoder::new(from)),
        ".xz" => Box::new(XzReader::new_mem_limit(from, false, MOST_MEMORY)),
        ".zst" => {
            let mut decoder = zstd::stream::read::Decoder::new(from).ok()?;
            decoder.window_log_max(WINDOW_LOG).ok()?;
            Box::new(decoder)
        }
        _ => return None,
    })
}

/// Compares what the package says of itself with its layer, and refuses one for other machines.
fn identify(stream: Box<dyn Read + '_>, layer: &Layer, architecture: &str) -> Result<(), EnvironmentError> {
    let title = layer.title();
    let mut archive = tar::Archive::new(stream.take(MOST_BYTES));
    let mut control = String::new();
    for entry in archive.entries().at("read", &title)? {
        let entry = entry.at("read", &title)?;
        if matches!(&*entry.path_bytes(), b"./control" | b"control") {
            entry.take(LARGEST_CONTROL).read_to_string(&mut control).at("read", &title)?;
            break;
        }
    }
    let field = |name: &str| control.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map_or("", str::trim);
    let (name, version, its) = (field("Package"), field("Version"), field("Architecture"));
    let same = name == layer.name && version == layer.version;
    if same && [architecture, "all"].contains(&its) {
        return Ok(());
    }
    Err(EnvironmentError::OtherPackage {
        layer: title,
        want: format!("{} {} for {architecture}", layer.name, layer.version),
        have: format!("{name} {version} for {its}"),
        architecture: same,
    })
}

fn data(stream: Box<dyn Read + '_>, title: &str, tree: &mut Tree) -> Result<(), EnvironmentError> {
    let mut archive = tar::Archive::new(stream.take(MOST_BYTES));
    for (number, entry) in archive.entries().at("unpack", title)?.enumerate() {
        let mut entry = entry.at("unpack", title)?;
        let raw = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let refuse = |why: &str| EnvironmentError::Content { layer: title.into(), entry: raw.clone(), why: why.into() };
        if number == MOST_ENTRIES {
            return Err(refuse("too many entries"));
        }
        let kind = entry.header().entry_type();
        let mode = entry.header().mode().at("unpack", title)?;
        let path = raw.strip_prefix("./").unwrap_or(&raw).trim_end_matches('/');
        if kind.is_dir() && matches!(path, "" | ".") {
            continue;
        }
        if !super::is_plain_path(path) {
            return Err(refuse("a path that leaves the layer"));
        }
        // Before it is left out: a package with such an entry is not one that we want anything of.
        if !matches!(kind, EntryType::Regular | EntryType::Directory | EntryType::Symlink | EntryType::Link) {
            return Err(refuse("neither file, directory nor link"));
        }
        if kind == EntryType::Regular && mode & 0o7000 != 0 {
            return Err(refuse("setuid, setgid or sticky"));
        }
        let Some(path) = place(path) else { continue };
        match kind {
            EntryType::Directory => tree.directory(&path, title)?,
            EntryType::Symlink | EntryType::Link => {
                let target = entry.link_name_bytes().and_then(|target| String::from_utf8(target.into_owned()).ok());
                let target = target.filter(|target| !target.is_empty() && !target.contains(|c: char| c.is_control()));
                let target = target.ok_or_else(|| refuse("a link to no name"))?;
                if kind == EntryType::Symlink {
                    tree.link(&path, &target, title)?;
                } else {
                    let other =
                        place(target.strip_prefix("./").unwrap_or(&target)).ok_or_else(|| refuse("a hard link to what is left out"))?;
                    tree.hard_link(&path, &other, title)?;
                }
            }
            _ => {
                let size = entry.size();
                tree.file(&path, mode & 0o111 != 0, size, &mut entry, title)?;
            }
        }
    }
    // To the end, where the compressed formats have their own check.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).at("unpack", title)?;
    Ok(())
}

/// Directories of /usr that no build needs and that are half of the entries: documentation in all its forms.
const LEFT_OUT: &[&str] = &["usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian"];

/// Where a path of a package goes in the layers' tree; None for what is left out. /bin, /sbin and /lib* are below /usr, as they are on
/// every system that Debian installs, and there is nothing but /usr, /etc and /opt.
fn place(path: &str) -> Option<String> {
    let path = match path.split('/').next()? {
        "usr" | "etc" | "opt" => path.to_owned(),
        top if super::root::MERGED.contains(&top) => format!("usr/{path}"),
        _ => return None,
    };
    let below = |top: &&str| path.strip_prefix(*top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    (!LEFT_OUT.iter().any(below)).then_some(path)
}

#[cfg(test)]
pub(crate) mod tests;
