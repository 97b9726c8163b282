//! Before a builder vouches: does what the release claims to be built from exist outside of the release?
//!
//! A rebuild alone only shows that the repository agrees with itself: a compiler with a back door reproduces perfectly. So the source must
//! be the builder's own clone's, the crates those of its Cargo.lock, and every layer what the builder's own package client and toolchain
//! give. All of it is asked before anything of the release is run. What cannot be confirmed is named; nothing is taken on trust.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::ReproduceError;
use super::published::Published;
use crate::environment::{self, Cache, Wanted};
use crate::inputs::{Collected, Input, Kind};
use crate::progress::Progress;
use crate::{build, config, lockfile, source};

/// An input that the builder's own sources do not confirm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// What was claimed.
    pub claim: String,
    /// What the builder's own source says.
    pub own: String,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.claim, self.own)
    }
}

/// Asks the builder's own sources about every input of the release. Empty: all is confirmed.
pub(super) fn confirm(published: &Published, clone: &Path, scratch: &Path, progress: &dyn Progress) -> Result<Vec<Doubt>, ReproduceError> {
    let mut doubts = Vec::new();
    let claimed = published.source();
    let own = match source::at(clone, &claimed.commit) {
        Ok(own) => own,
        Err(source::SourceError::Git { says, .. }) => {
            let own = format!("your clone does not have it: {}", says.lines().next().unwrap_or_default());
            return Ok(vec![Doubt { claim: format!("commit {}", claimed.commit), own }]);
        }
        Err(error) => return Err(error.into()),
    };
    if own != claimed {
        let show = |source: &source::Source| format!("commit {}, tree {}, time {}", source.commit, source.tree, source.time);
        doubts.push(Doubt { claim: show(&claimed), own: format!("your clone has {}", show(&own)) });
        return Ok(doubts);
    }
    let tree = scratch.join("own-source");
    source::export(clone, &own, &tree)?;
    let own_source = Collected::source(&own.tree, &tree)?.input;
    let (crates, _) = lockfile::read(&tree)?;
    let mut own_crates: BTreeMap<String, String> =
        crates.into_iter().map(|krate| (format!("{} {}", krate.name, krate.version), krate.sha256)).collect();
    let mut sources = 0;
    let recorded = serde_json::from_slice(&published.buildinfo).ok().and_then(|info| environment::recorded(&info));
    let Some(lock) = recorded else {
        return Ok(vec![Doubt { claim: "an environment".into(), own: "the buildinfo has no lock that could be asked about".into() }]);
    };
    for input in &published.info.inputs {
        let own = match input.kind {
            Kind::Source => {
                sources += 1;
                (own_source != *input).then(|| format!("your clone's files make sha256 {}, {} bytes", own_source.sha256, own_source.size))
            }
            Kind::Crate => match own_crates.remove(&input.name) {
                Some(sha256) if sha256 == input.sha256.to_string() => None,
                Some(sha256) => Some(format!("your Cargo.lock has sha256 {sha256}")),
                None => Some("your Cargo.lock does not name it".into()),
            },
            Kind::Lock => (input.sha256.to_string() != lock.digest()).then(|| "it is not the lock that the buildinfo holds".into()),
            Kind::Deb | Kind::Rust => {
                let layer = lock.layers.iter().find(|layer| (layer.sha256, layer.size) == (input.sha256, input.size));
                layer.is_none().then(|| "the lock does not name it".into())
            }
        };
        doubts.extend(own.map(|own| Doubt { claim: claim(input), own }));
    }
    if environment::committed(&tree).map_err(build::Error::from)?.is_some_and(|committed| committed != lock) {
        let own = "the proofmark.lock that your clone has at this commit is another".into();
        doubts.push(Doubt { claim: format!("environment lock {}", lock.digest()), own });
    }
    let (config, _) = config::load(&tree).map_err(build::Error::from)?;
    let wanted = Wanted { config: &config, source: &tree, workspace: clone, lock: None, toolchain: None, layers: None };
    let confirm = |cache: Cache| environment::confirm(&lock, &wanted, &cache, progress);
    for (layer, own) in Cache::open().and_then(confirm).map_err(build::Error::from)? {
        doubts.push(Doubt { claim: format!("layer {}, sha256 {}", layer.title(), layer.sha256), own });
    }
    if sources != 1 {
        doubts.push(Doubt { claim: format!("{sources} source trees"), own: "a release has one".into() });
    }
    Ok(doubts)
}

fn claim(input: &Input) -> String {
    format!("{input}, sha256 {}", input.sha256)
}
