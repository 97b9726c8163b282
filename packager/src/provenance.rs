//! Provenance for the tools of others: an in-toto Statement v1 with SLSA Provenance v1, about one bundle and the programs in it.
//!
//! An export. Hosts believe signatures over the bundle itself and never read this. All of it comes from the bundle and its buildinfo,
//! but for the two URIs that only the caller knows; there is no clock in it, so that the same bundle gives the same statement.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::buildinfo::read::{NotBuildinfo, Read, read};
use crate::bundle_file::BundleFile;
use crate::digest;
use crate::purl;
use crate::sbom;

pub mod dsse;
pub mod key;

/// Identifies what `externalParameters` and `internalParameters` mean (docs/provenance.md). A name, not an address: `.invalid` never
/// resolves (RFC 6761), so that nobody can come to own it.
pub const BUILD_TYPE: &str = "https://proofmark.invalid/build/v1";

/// What the bundle does not say of itself.
#[derive(Debug, Clone)]
pub struct Names {
    /// Who built: SLSA's `builder.id`, a URI of the user's own.
    pub builder: String,
    /// Where the source is, as a git URI.
    pub source: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statement<'a> {
    #[serde(rename = "_type")]
    statement_type: &'static str,
    subject: Vec<Descriptor>,
    predicate_type: &'static str,
    predicate: Predicate<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Predicate<'a> {
    build_definition: BuildDefinition<'a>,
    run_details: RunDetails<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition<'a> {
    build_type: &'static str,
    external_parameters: External<'a>,
    internal_parameters: Internal<'a>,
    resolved_dependencies: Vec<Descriptor>,
}

/// What a person chose.
#[derive(Serialize)]
struct External<'a> {
    product: &'a str,
    release: &'a str,
    environment: &'a str,
    target: &'a str,
    commit: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
}

/// What followed from it, and from the contract.
#[derive(Serialize)]
struct Internal<'a> {
    contract: u32,
    linking: &'a str,
    rustflags: &'a [String],
    cargo: &'a [String],
    env: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RunDetails<'a> {
    builder: Builder<'a>,
    byproducts: Vec<Descriptor>,
}

#[derive(Serialize)]
struct Builder<'a> {
    id: &'a str,
}

/// in-toto's ResourceDescriptor.
#[derive(Serialize)]
struct Descriptor {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    digest: BTreeMap<&'static str, String>,
}

impl Descriptor {
    /// `algorithm` is one of in-toto's DigestSet.
    fn new(name: impl Into<String>, algorithm: &'static str, digest: &str) -> Self {
        Self { name: name.into(), uri: None, digest: [(algorithm, digest.to_owned())].into() }
    }
}

/// The statement's bytes.
pub fn statement(bundle: &BundleFile, names: &Names) -> Result<Vec<u8>, NotBuildinfo> {
    let subject = format!("buildinfo of {}", bundle.file);
    let info = read(&bundle.buildinfo, &subject)?;
    let mut subjects = vec![Descriptor::new(&bundle.file, "sha256", &bundle.digest.to_string())];
    // The programs that the build made, as the bundle holds them; its other files are the commit's.
    for output in &info.outputs {
        subjects.push(Descriptor::new(&output.path, "sha256", &output.sha256));
    }
    let manifest = &bundle.manifest;
    let differs = info
        .outputs
        .iter()
        .find(|output| !manifest.files.iter().any(|file| file.path.as_str() == output.path && file.sha256.to_string() == output.sha256));
    if let Some(output) = differs {
        return Err(NotBuildinfo {
            subject,
            why: format!("{} with sha256 {}, which the bundle does not hold", output.path, output.sha256),
        });
    }
    let beside = |suffix: &str| format!("{}{suffix}", bundle.file.strip_suffix(".tar.zst").unwrap_or(&bundle.file));
    let statement = Statement {
        statement_type: "https://in-toto.io/Statement/v1",
        subject: subjects,
        predicate_type: "https://slsa.dev/provenance/v1",
        predicate: Predicate {
            build_definition: BuildDefinition {
                build_type: BUILD_TYPE,
                external_parameters: External {
                    product: &info.product,
                    release: &info.release,
                    environment: manifest.environment.as_str(),
                    target: &info.target,
                    commit: &info.source.commit,
                    source: names.source.as_deref(),
                },
                internal_parameters: Internal {
                    contract: info.contract,
                    linking: &info.linking,
                    rustflags: &info.rustflags,
                    cargo: &info.cargo,
                    env: &info.env,
                },
                resolved_dependencies: dependencies(&info, names),
            },
            run_details: RunDetails {
                builder: Builder { id: &names.builder },
                byproducts: vec![
                    Descriptor::new(beside(".buildinfo.json"), "sha256", &digest::sha256(&bundle.buildinfo)),
                    Descriptor::new(beside(".sbom.cdx.json"), "sha256", &digest::sha256(&sbom::sbom(&bundle.buildinfo, &subject)?)),
                ],
            },
        },
    };
    Ok(serde_json::to_vec(&statement).expect("string keys, and no serializer of its own that fails"))
}

/// Everything that was read: the commit, the files that steer the build, every crate that was unpacked, the compilers.
fn dependencies(info: &Read, names: &Names) -> Vec<Descriptor> {
    let mut found = vec![
        Descriptor { uri: names.source.clone(), ..Descriptor::new("source", "gitCommit", &info.source.commit) },
        Descriptor::new("source tree", "gitTree", &info.source.tree),
        Descriptor::new("Cargo.lock", "sha256", &info.cargo_lock),
        Descriptor::new("proofmark.toml", "sha256", &info.proofmark_toml),
    ];
    for krate in &info.crates {
        // Crates that were unpacked and not compiled are of other platforms, or of tests: named, without a place.
        let package = info
            .graph
            .packages
            .iter()
            .find(|package| package.source.is_some() && package.name == krate.name && package.version == krate.version);
        let name = format!("{}@{}", krate.name, krate.version);
        found.push(Descriptor { uri: package.and_then(purl::cargo), ..Descriptor::new(name, "sha256", &krate.sha256) });
    }
    // SHA-256 over sorted lines `SHA256  NAME`: what in-toto calls dirHash, in its hexadecimal form.
    found.push(Descriptor::new(&info.toolchain.rustc, "dirHash", &info.toolchain.digest));
    found.extend(info.c_toolchain.as_ref().map(|cc| Descriptor::new(format!("C toolchain ({})", cc.kind), "dirHash", &cc.digest)));
    found.extend(info.debs().map(|(name, version, input)| Descriptor {
        uri: Some(purl::deb(name, version)),
        ..Descriptor::new(&input.name, "sha256", &input.sha256.to_string())
    }));
    found
}
