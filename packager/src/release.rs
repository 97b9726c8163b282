//! From a double build to bundles and a proposal: the step that CI takes.
//!
//! One build serves every environment. Nothing is written to the repository before every bundle was packed, signed, and read back by the
//! core; this file must never sign what it has not packed itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use proofmark_core::Digest;
use proofmark_core::group::Entry;
use proofmark_core::manifest::Manifest;
use proofmark_core::name::{GroupName, Name};
use proofmark_core::signature::Kind;
use serde::Serialize;

use crate::build::Built;
use crate::builders;
use crate::buildinfo::Output;
use crate::config::Config;
use crate::contents;
use crate::exit::IoContext;
use crate::inputs::{self, Collected};
use crate::keys::SecretKey;
use crate::ledger::Ledger;
use crate::pack::{self, Packed};
use crate::progress::Progress;
use crate::proposal::{self, Desk, Draft, Subject};
use crate::repository::{Repository, RepositoryError, bundle_path};
use crate::signing::{Signer, SigningError};
use crate::source;
use crate::store::Stored;
use crate::verbs::{self, Plan};

mod bundle;
mod error;

use bundle::{core, inside, manifest, members};
pub use error::ReleaseError;

/// What was built: the parts of [`Built`] that a release needs.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "each is documented at Built")]
pub struct Product<'a> {
    pub config: &'a Config,
    pub source: &'a source::Source,
    pub target: &'a str,
    pub source_dir: &'a Path,
    pub staged: &'a Path,
    pub outputs: &'a [Output],
    pub buildinfo: &'a [u8],
    pub inputs: &'a [Collected],
    /// Where bundles are packed before they are published.
    pub scratch: &'a Path,
}

impl<'a> From<&'a Built> for Product<'a> {
    fn from(built: &'a Built) -> Self {
        let Built { config, source, target, source_dir, staged, outputs, buildinfo, inputs, .. } = built;
        Product { config, source, target, source_dir, staged, outputs, buildinfo, inputs, scratch: built.work_dir() }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Environments to make a bundle for.
    pub environments: Vec<Name>,
    /// Groups that get it; all of these environments where empty.
    pub groups: Vec<GroupName>,
    /// Who asked for it, a holder in trust; the holder of the signing key where absent.
    pub proposer: Option<Name>,
    /// Bundles that hosts may still hold, besides the one that their group has now.
    pub also_from: BTreeSet<Digest>,
}

/// A bundle that has been published.
#[derive(Clone, Debug, Serialize)]
pub struct Bundle {
    /// Its environment.
    pub environment: Name,
    /// A line for `sha256sum -c`.
    pub sha256sum: String,
    /// Bytes.
    pub size: u64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Released {
    /// The bundles.
    pub bundles: Vec<Bundle>,
    /// Version of the proposal; `None` when no group would change.
    pub proposal: Option<u64>,
    /// Its proposer.
    pub proposer: Name,
    /// What is worth a word.
    pub notes: Vec<String>,
}

/// What can be said before anything is built: whether the key may sign bundles and indexes, and who proposes.
pub fn check_key(repository: &Repository, key: &SecretKey, proposer: Option<&Name>) -> Result<Name, ReleaseError> {
    let trust = repository.trust();
    let signer = Signer::new(trust, Kind::Bundle, key)?;
    Signer::new(trust, Kind::Index, key)?;
    let own = trust.keys.get(signer.name()).map(|key| key.holder.clone());
    let proposer = proposer.cloned().or(own).ok_or_else(|| SigningError::Sign { path: key.path().into(), why: "no holder".into() })?;
    if trust.keys_of(&proposer).is_empty() {
        let known: BTreeSet<String> = trust.keys.values().map(|key| key.holder.to_string()).collect();
        return Err(ReleaseError::NoHolder { proposer, known: known.into_iter().collect() });
    }
    Ok(proposer)
}

/// Packs a bundle for each environment, signs, publishes them, and writes the proposal.
pub fn release(
    repository: &Repository,
    key: &SecretKey,
    product: &Product<'_>,
    request: &Request,
    progress: &dyn Progress,
) -> Result<Released, ReleaseError> {
    let proposer = check_key(repository, key, request.proposer.as_ref())?;
    let trust = repository.trust();
    let signer = Signer::new(trust, Kind::Bundle, key)?;
    let ledger = load_ledger(product)?;
    let programs: Vec<_> = product.outputs.iter().map(|output| (output.path.clone(), product.staged.join(&output.path))).collect();
    let mut notes = ledger.check_programs(&programs)?;

    let mut packed = BTreeMap::new();
    let mut plans = Vec::new();
    for name in &request.environments {
        progress.step(&format!("packing {name}"));
        let bundle = pack_environment(product, &ledger, name)?;
        plans.extend(plans_for(product.config, &ledger, request, name, &bundle.entry)?);
        packed.insert(name.clone(), bundle);
    }
    if let Some(unknown) = request.groups.iter().find(|group| !plans.iter().any(|plan| plan.group == **group)) {
        let known = product.config.groups.iter().map(|group| group.name.to_string()).collect();
        return Err(ReleaseError::NoGroup { name: unknown.to_string(), known });
    }

    let _lock = repository.lock()?;
    let desk = Desk::of(repository);
    let previous = repository.published()?;
    let published = previous.as_ref().map(|previous| &previous.groups);
    for group in published
        .into_iter()
        .flat_map(|groups| groups.values())
        .filter(|group| group.bundle.product.as_str() == product.config.product.as_str())
    {
        ledger.check_follows(group)?;
    }
    let assign = |plan: Plan| verbs::assign(trust, published.and_then(|groups| groups.get(&plan.group)).map(|group| &**group), plan);
    let changed = plans.into_iter().map(assign).collect::<Result<_, _>>()?;
    let mut draft = proposal::draft(trust, previous.as_ref(), &proposer, changed)?;
    progress.step("checking with the core");
    check_packed(&draft, &packed)?;
    if !draft.is_empty() {
        draft.others.insert(proposal::FLAGS.into(), crate::text::pretty(&ledger.told()));
        desk.check_free(Subject::Index(draft.next.index.version), &draft.bytes)?;
    }
    inputs::archive(repository, product.inputs, product.scratch, progress)?;
    let mut bundles = Vec::new();
    for (environment, bundle) in &packed {
        progress.step(&format!("publishing the bundle for {environment}"));
        let mut open = || bundle.open();
        let signature = signer.sign(Kind::Bundle, None, &bundle.file, &mut bundle.open()?)?;
        repository.write_bundle(bundle.packed.digest, &bundle.file, product.buildinfo, (signer.name(), &signature), &mut open)?;
        if let Some(missing) = builders::lacks(repository, trust, bundle.packed.digest, &bundle.file)? {
            let next = format!("proofmark reproduce {} --from {} --sign NAME.key --source CLONE", bundle.packed.digest, repository.place());
            notes.push(format!("{environment}: hosts want {}, have {}; each builder runs: {next}", missing.want(), missing.have()));
        }
        bundles.push(Bundle { environment: environment.clone(), sha256sum: bundle.entry.sha256sum.clone(), size: bundle.packed.size });
    }
    let proposal = if draft.is_empty() {
        None
    } else {
        proposal::write(&desk, &draft, &Signer::new(trust, Kind::Index, key)?)?;
        Some(draft.next.index.version)
    };
    Ok(Released { bundles, proposal, proposer, notes })
}

/// Packs one environment of a build as a release does: to compare with a bundle that is published.
pub(crate) fn pack_again(product: &Product<'_>, environment: &Name) -> Result<Ready, ReleaseError> {
    pack_environment(product, &load_ledger(product)?, environment)
}

fn load_ledger(product: &Product<'_>) -> Result<Ledger, ReleaseError> {
    Ok(match &product.config.ledger {
        Some(path) => Ledger::load(&inside(product.source_dir, path.as_str())?, Path::new(path.as_str()))?,
        None => Ledger::default(),
    })
}

/// A packed bundle, not published yet.
pub(crate) struct Ready {
    /// Where it lies.
    pub(crate) path: PathBuf,
    file: String,
    /// Its digest and manifest.
    pub(crate) packed: Packed,
    entry: Entry,
}

impl Ready {
    /// Its bytes.
    pub(crate) fn open(&self) -> Result<Box<dyn Stored>, RepositoryError> {
        let file = File::open(&self.path).at("open", &self.path).map_err(crate::store::StoreError::from)?;
        Ok(Box::new(file))
    }
}

/// Every byte of every bundle, read back by the core against the group files that will name it.
fn check_packed(draft: &Draft, packed: &BTreeMap<Name, Ready>) -> Result<(), ReleaseError> {
    for (environment, bundle) in packed {
        let group = draft.next.groups.values().find(|group| group.environment == *environment && group.bundle == bundle.entry);
        if let Some(group) = group {
            contents::check_bytes(group, &mut *bundle.open()?)?;
        }
    }
    Ok(())
}

fn plans_for(config: &Config, ledger: &Ledger, request: &Request, environment: &Name, entry: &Entry) -> Result<Vec<Plan>, ReleaseError> {
    let mut plans = Vec::new();
    for group in &config.groups {
        let name: GroupName = core(group.name.as_str())?;
        if name.environment != *environment || (!request.groups.is_empty() && !request.groups.contains(&name)) {
            continue;
        }
        let hosts = group.hosts.iter().map(|host| core(host.as_str())).collect::<Result<_, _>>()?;
        let (also_from, policy) = (request.also_from.clone(), group.policy());
        plans.push(Plan { group: name, hosts, bundle: entry.clone(), ledger: ledger.entries(), also_from, policy });
    }
    if plans.is_empty() {
        let known = config.groups.iter().map(|group| group.name.to_string()).collect();
        return Err(ReleaseError::NoGroup { name: format!("environment {environment}"), known });
    }
    Ok(plans)
}

fn pack_environment(product: &Product<'_>, ledger: &Ledger, name: &Name) -> Result<Ready, ReleaseError> {
    let config = product.config;
    let environment = config.environments.iter().find(|environment| environment.name.as_str() == name.as_str()).ok_or_else(|| {
        let known = config.environments.iter().map(|environment| environment.name.to_string()).collect();
        ReleaseError::NoEnvironment { name: name.to_string(), known }
    })?;
    let manifest = manifest(product, ledger, environment)?;
    let file = Entry::file_name(&manifest.product, &manifest.release, &manifest.environment, &manifest.target);
    let path = product.scratch.join(&file);
    let mut out = File::create(&path).at("create", &path)?;
    let packed = pack::pack(manifest, members(product, environment)?, &mut out)?;
    let Manifest { product: name, release, target, wire_epoch, source, .. } = packed.manifest.clone();
    let entry = Entry {
        sha256sum: Entry::line(packed.digest, &file),
        size: packed.size,
        unpacked_size: packed.unpacked_size,
        manifest_sha256: packed.manifest_sha256,
        product: name,
        release,
        target,
        wire_epoch,
        source_commit: source.commit,
    };
    debug_assert!(entry.sha256sum.ends_with(&bundle_path(packed.digest, &file)));
    Ok(Ready { path, file, packed, entry })
}
