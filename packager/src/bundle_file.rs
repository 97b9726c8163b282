//! A bundle as a file of its own, without the repository and the group file that vouch for it: made sure to be whole, never authentic.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use proofmark_core::bundle::{self, Discard};
use proofmark_core::manifest::Manifest;
use proofmark_core::{Digest, Reason, Refusal, limits};

use crate::buildinfo::read::LARGEST;
use crate::claim::Claim;
use crate::exit::{Exit, IoContext, IoError, Refuse};

/// A whole bundle, and the buildinfo that it names.
#[derive(Debug)]
pub struct BundleFile {
    /// Its file name, as FORMAT.md section 6 gives it.
    pub file: String,
    /// SHA-256 of the file.
    pub digest: Digest,
    /// Its manifest; every file in it has been checked.
    pub manifest: Manifest,
    /// `FILE.buildinfo.json` beside it; its digest is the one in the manifest.
    pub buildinfo: Vec<u8>,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleFileError {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// It is not a bundle, or not whole.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Its name is not the one that its manifest gives.
    #[error("{have}: want {want}")]
    Name {
        /// By the manifest.
        want: String,
        /// As it is called.
        have: String,
    },
}

impl Refuse for BundleFileError {
    fn refusal(&self) -> crate::exit::Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Refused(refusal) => refusal.refusal(),
            Self::Name { want, have } => crate::exit::Refusal::new(Exit::Malformed, "bundle-name", "not the name of this bundle", have)
                .want(want)
                .have(have)
                .next("give the file as it lies in the repository, bundles/DIGEST/FILE.tar.zst, with FILE.buildinfo.json beside it"),
        }
    }
}

/// Reads the bundle at `path`, every byte of it, and the buildinfo beside it.
pub fn open(path: &Path) -> Result<BundleFile, BundleFileError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut reader = BufReader::new(File::open(path).at("open", path)?);
    let (digest, size) = Digest::of_reader(&mut (&mut reader).take(limits::BUNDLE + 1)).at("read", path)?;
    if size > limits::BUNDLE {
        return Err(Refusal::new(Reason::Limit, name, format_args!("at most {} bytes", limits::BUNDLE), "more").into());
    }
    reader.rewind().at("read", path)?;
    let claim = Claim::read(&mut reader)?;
    reader.rewind().at("read", path)?;
    let group = claim.group(digest, size)?;
    let file = group.bundle_file();
    if name != file {
        return Err(BundleFileError::Name { want: file, have: name });
    }
    let (manifest, _) = bundle::unpack(&group, &mut reader, &mut Discard)?;

    let beside = path.with_file_name(format!("{}.buildinfo.json", file.strip_suffix(".tar.zst").unwrap_or(&file)));
    let mut buildinfo = Vec::new();
    File::open(&beside).and_then(|file| file.take(LARGEST).read_to_end(&mut buildinfo)).at("read", &beside)?;
    manifest.buildinfo.check(Digest::of(&buildinfo), beside.display())?;
    Ok(BundleFile { file, digest, manifest, buildinfo })
}
