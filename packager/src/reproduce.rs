//! A published release, built again from the repository alone, and compared with itself: bundle by bundle, byte by byte.
//!
//! Who only compares needs nothing but the repository. Who vouches ([`Vouch`]) also asks their own sources, first, and then signs the very
//! bytes they have built. This file must never sign a bundle that was not packed here, nor run anything of a release whose signatures and
//! inputs were not checked before.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use proofmark_core::Digest;
use proofmark_core::name::Name;
use proofmark_core::signature::Kind;
use proofmark_core::trust::Trust;
use serde::Serialize;

use crate::build::{self, Archive, Effort, Options, Supply};
use crate::compare;
use crate::exit::IoContext;
use crate::files;
use crate::inputs::Kind as InputKind;
use crate::keys::SecretKey;
use crate::progress::Progress;
use crate::release::{self, Product, Ready};
use crate::repository::Repository;
use crate::repository::signatures::{self, Slot};
use crate::signing::Signer;
use crate::store::Stored;

mod confirm;
mod error;
mod gather;
mod published;

pub use confirm::Doubt;
pub use error::ReproduceError;
pub use published::{Published, Which, find};

/// Where and with what to build again.
#[derive(Debug, Clone)]
pub struct Request {
    /// What to build again.
    pub which: Which,
    /// Toolchain directory, for a release that used the host's own compilers.
    pub toolchain: Option<PathBuf>,
    /// Where temporary directories go, and both bundles where they differ.
    pub scratch: Option<PathBuf>,
    /// The `proofmark` program.
    pub worker: PathBuf,
}

/// What a builder brings who vouches.
pub struct Vouch<'a> {
    /// The builder's key, of role `bundle`.
    pub key: &'a SecretKey,
    /// The trust document that gives it the role: the newest, or a rotation that is proposed.
    pub trust: &'a Trust,
    /// The builder's own clone: directory of `proofmark.toml` in it.
    pub clone: &'a Path,
    /// Where the signature goes; beside the bundle in the repository where absent.
    pub out: Option<&'a Path>,
}

/// A release that was built again, to the same bytes.
#[derive(Debug, Serialize)]
pub struct Reproduced {
    /// The bundle.
    pub bundle: Digest,
    /// Its path in the repository.
    pub path: String,
    /// Keys that had signed it before.
    pub signers: Vec<Name>,
    /// Version of the trust document under which they count.
    pub trust: u64,
    /// How many inputs it was made of.
    pub inputs: usize,
    /// The key that signed now, and where its signature is.
    pub signed: Option<(Name, String)>,
}

/// Builds a release again and compares; with `vouch`, confirms its inputs first and signs it afterwards.
pub fn reproduce(
    repository: &Repository,
    request: &Request,
    vouch: Option<&Vouch<'_>>,
    progress: &dyn Progress,
) -> Result<Reproduced, ReproduceError> {
    // A key that may not sign is found out before hours of building.
    let signer = vouch.map(|vouch| Signer::new(vouch.trust, Kind::Bundle, vouch.key)).transpose()?;
    progress.step("checking the release");
    let published = find(repository, &request.which)?;
    let scratch = request.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let work = tempfile::Builder::new().prefix("proofmark-reproduce-").tempdir_in(&scratch).at("create a directory in", &scratch)?;
    let base = work.path().canonicalize().at("open", work.path())?;
    if let Some(vouch) = vouch {
        progress.step("asking your own sources");
        let doubts = confirm::confirm(&published, vouch.clone, &base, progress)?;
        if !doubts.is_empty() {
            return Err(ReproduceError::Unconfirmed(doubts));
        }
    }
    let inputs = base.join("inputs");
    files::create(&inputs)?;
    gather::gather(repository, &published.info.inputs, &inputs, progress)?;
    let built = build::double_build(&options(request, &published, &inputs, &base, &scratch)?, progress)?;
    let ready = release::pack_again(&Product::from(&built), &published.manifest.environment)?;
    if published.digest.check(ready.packed.digest, &published.file).is_err() {
        return Err(differs(repository, &published, &ready, &built, &scratch)?);
    }
    let signed = match (vouch, &signer) {
        (Some(vouch), Some(signer)) => Some(sign(repository, &published, &ready, signer, vouch)?),
        _ => None,
    };
    let (bundle, path, inputs) = (published.digest, published.path(), published.info.inputs.len());
    Ok(Reproduced { bundle, path, signers: published.signers, trust: published.trust, inputs, signed })
}

/// The build of the release, with its inputs in the place of a checkout and caches.
fn options(request: &Request, published: &Published, inputs: &Path, base: &Path, scratch: &Path) -> Result<Options, ReproduceError> {
    let of = |kind| Ok::<_, ReproduceError>(gather::file(inputs, published.info.only(kind)?));
    let archive = Archive { directory: inputs.into(), source: published.source(), source_stream: of(InputKind::Source)? };
    Ok(Options {
        workspace: base.into(),
        lock: Some(of(InputKind::Lock)?),
        layers: Some(inputs.into()),
        toolchain: request.toolchain.clone(),
        scratch: Some(scratch.into()),
        supply: Supply::Archive(archive),
        worker: request.worker.clone(),
        effort: Effort::default(),
    })
}

/// Keeps both bundles with their buildinfos and says what differs.
fn differs(
    repository: &Repository,
    published: &Published,
    ready: &Ready,
    built: &build::Built,
    scratch: &Path,
) -> Result<ReproduceError, ReproduceError> {
    let kept = tempfile::Builder::new().prefix("proofmark-differs-").tempdir_in(scratch).at("create a directory in", scratch)?.keep();
    let name = published.file.strip_suffix(".tar.zst").unwrap_or(&published.file);
    let mut bundles = Vec::new();
    for (side, mut bundle, buildinfo) in [
        ("published", published.open(repository)?, &published.buildinfo),
        ("rebuilt", Box::new(File::open(&ready.path).at("open", &ready.path)?) as Box<dyn Stored>, &built.buildinfo),
    ] {
        let directory = kept.join(side);
        files::create(&directory)?;
        let path = directory.join(&published.file);
        let mut file = File::create_new(&path).at("create", &path)?;
        std::io::copy(&mut bundle, &mut file).at("write", &path)?;
        let info = directory.join(format!("{name}.buildinfo.json"));
        File::create_new(&info).and_then(|mut file| file.write_all(buildinfo)).at("write", &info)?;
        bundles.push(path);
    }
    let bundles: [PathBuf; 2] = [bundles.remove(0), bundles.remove(0)];
    let explanation = compare::explain(&bundles[0], &bundles[1]);
    Ok(ReproduceError::Differs {
        want: published.digest,
        have: ready.packed.digest,
        explanation: Box::new(explanation),
        bundles: Box::new(bundles),
        kept,
    })
}

/// Signs the bundle that was packed here, and puts the signature beside the published one, or into a file to be mailed.
fn sign(
    repository: &Repository,
    published: &Published,
    ready: &Ready,
    signer: &Signer<'_>,
    vouch: &Vouch<'_>,
) -> Result<(Name, String), ReproduceError> {
    let mut own = File::open(&ready.path).at("open", &ready.path)?;
    let signature = signer.sign(Kind::Bundle, None, &published.file, &mut own)?;
    let place = format!("{}.{}.minisig", published.path(), signer.name());
    let Some(out) = vouch.out else {
        let _lock = repository.lock()?;
        let (trust, path) = (vouch.trust, published.path());
        let slot = Slot { trust, role: &trust.roles.bundle, kind: Kind::Bundle, version: None, path: &path };
        signatures::place(repository.store(), &slot, signer.name(), &signature, true, &mut || ready.open())?;
        return Ok((signer.name().clone(), place));
    };
    let out = out.join(format!("{}.{}.minisig", published.file, signer.name()));
    File::create_new(&out).and_then(|mut file| file.write_all(&signature)).at("create", &out)?;
    Ok((signer.name().clone(), out.display().to_string()))
}
