//! The software bill of materials: CycloneDX 1.6 as JSON, a pure function of `buildinfo.json`.
//!
//! So nobody has to sign it or believe it: the manifest pins the buildinfo, and whoever has that makes the same bytes again
//! (`proofmark sbom`). No clock, no random serial number, nothing of the machine; this file must never read anything but its argument.
//!
//! The types are in `model.rs`: the few of CycloneDX that are used, in the order in which they are printed.

use std::collections::BTreeMap;

use crate::buildinfo::read::{NotBuildinfo, Read, read};
use crate::digest;
use crate::graph::{Kind, Package};
use crate::purl;

mod model;

use model::{Bom, Component, Dependency, Formula, Hash, License, Lifecycle, Metadata, Property, Scope, Tools, Type};

/// `bomFormat` and version of the specification.
const SPECIFICATION: (&str, &str) = ("CycloneDX", "1.6");
/// `bom-ref` of the product.
const PRODUCT: &str = "product";

/// The SBOM of the build that `buildinfo` describes; `subject` is used in messages only.
pub fn sbom(buildinfo: &[u8], subject: &str) -> Result<Vec<u8>, NotBuildinfo> {
    let info = read(buildinfo, subject)?;
    let bom = Bom {
        bom_format: SPECIFICATION.0,
        spec_version: SPECIFICATION.1,
        serial_number: serial_number(&digest::sha256(buildinfo)),
        version: 1,
        metadata: metadata(&info),
        components: info.graph.packages.iter().map(|package| library(&info, package)).collect(),
        dependencies: dependencies(&info),
        formulation: vec![Formula { bom_ref: "build", components: tools(&info) }],
    };
    let mut bytes = serde_json::to_vec_pretty(&bom).expect("string keys, and no serializer of its own that fails");
    bytes.push(b'\n');
    Ok(bytes)
}

/// A UUID of version 8 (RFC 9562, section 5.8: bits of the maker's choice): the first bits of the buildinfo's digest.
fn serial_number(sha256: &str) -> String {
    // Variant 0b10 in the two top bits of the nibble.
    let variant = ["8", "9", "a", "b"][sha256.as_bytes().get(16).map_or(0, |digit| usize::from(digit % 4))];
    format!("urn:uuid:{}-{}-8{}-{variant}{}-{}", &sha256[..8], &sha256[8..12], &sha256[13..16], &sha256[17..20], &sha256[20..32])
}

fn metadata(info: &Read) -> Metadata {
    let programs = info
        .outputs
        .iter()
        .map(|output| Component { hashes: vec![Hash::sha256(&output.sha256)], ..Component::new(Type::File, &output.path, &output.path) });
    let product = Component {
        version: Some(info.release.clone()),
        components: programs.collect(),
        properties: [
            ("target", info.target.as_str()),
            ("source.commit", &info.source.commit),
            ("source.tree", &info.source.tree),
            ("contract", &info.contract.to_string()),
        ]
        .map(|(name, value)| Property::new(name, value))
        .into(),
        ..Component::new(Type::Application, PRODUCT, &info.product)
    };
    Metadata {
        timestamp: info.source.time.clone(),
        lifecycles: vec![Lifecycle { phase: "build" }],
        // Its version is not here: the contract number says all of it that may matter to a byte.
        tools: Tools { components: vec![Component::new(Type::Application, "proofmark", "proofmark")] },
        component: product,
    }
}

fn library(info: &Read, package: &Package) -> Component {
    let expression = package.license.as_deref().map(|license| License {
        // The separator that Cargo.toml had before SPDX expressions, and that crates.io still holds.
        expression: license.split('/').map(str::trim).collect::<Vec<_>>().join(" OR "),
        acknowledgement: "declared",
    });
    Component {
        version: Some(package.version.clone()),
        scope: Some(if package.kind == Kind::Runtime { Scope::Required } else { Scope::Excluded }),
        hashes: info.crate_sha256(package).map(Hash::sha256).into_iter().collect(),
        licenses: expression.into_iter().collect(),
        purl: purl::cargo(package),
        properties: vec![
            Property::new("kind", if package.kind == Kind::Runtime { "runtime" } else { "build" }),
            Property::new("features", &package.features.join(",")),
        ],
        ..Component::new(Type::Library, &package.id, &package.name)
    }
}

/// Product to programs, programs to packages, packages to packages.
fn dependencies(info: &Read) -> Vec<Dependency> {
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    edges.insert(PRODUCT, info.outputs.iter().map(|output| output.path.as_str()).collect());
    for output in &info.outputs {
        edges.insert(&output.path, info.graph.programs.get(&output.path).map(String::as_str).into_iter().collect());
    }
    for package in &info.graph.packages {
        edges.insert(&package.id, package.dependencies.iter().chain(&package.build_dependencies).map(String::as_str).collect());
    }
    let entry = |(from, mut to): (&str, Vec<&str>)| {
        to.sort_unstable();
        to.dedup();
        Dependency { from: from.into(), depends_on: to.into_iter().map(str::to_owned).collect() }
    };
    edges.into_iter().map(entry).collect()
}

/// What made the programs and is not in them: the formulation.
fn tools(info: &Read) -> Vec<Component> {
    let tool = |name: &str, version: Option<&str>, digest: &str| Component {
        version: version.map(str::to_owned),
        // Not under `hashes`: it is not of one file.
        properties: vec![Property::new("files-sha256", digest)],
        ..Component::new(Type::Application, name, name)
    };
    let rustc = info.toolchain.rustc.strip_prefix("rustc ").unwrap_or(&info.toolchain.rustc);
    let mut tools = vec![tool("rust-toolchain", Some(rustc), &info.toolchain.digest)];
    tools.extend(info.c_toolchain.as_ref().map(|cc| tool(&format!("c-toolchain-{}", cc.kind), None, &cc.digest)));
    tools.extend(info.debs().map(|(name, version, input)| Component {
        version: Some(version.to_owned()),
        hashes: vec![Hash::sha256(&input.sha256.to_string())],
        purl: Some(purl::deb(name, version)),
        ..Component::new(Type::Library, &format!("deb:{name}@{version}"), name)
    }));
    tools
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sbom_of_a_buildinfo_is_the_same_for_ever() {
        // Other bytes are another format: published SBOMs could not be made again.
        let made = sbom(include_bytes!("../../tests/fixtures/buildinfo.json"), "buildinfo.json").unwrap();
        assert_eq!(String::from_utf8(made).unwrap(), include_str!("../../tests/golden/sbom.cdx.json"));
    }

    #[test]
    fn the_serial_number_is_a_uuid_of_version_8_for_every_digest() {
        for digit in "0123456789abcdef".chars() {
            let serial = serial_number(&digit.to_string().repeat(64));
            let fields: Vec<&str> = serial.strip_prefix("urn:uuid:").unwrap().split('-').collect();
            assert_eq!(fields.iter().map(|field| field.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
            assert!(fields[2].starts_with('8') && "89ab".contains(&fields[3][..1]), "{serial}");
        }
    }
}
