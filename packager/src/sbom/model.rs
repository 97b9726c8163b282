//! The types of CycloneDX 1.6 that an SBOM of ours uses, as its JSON schema names them. Empty lists and absent values are not printed.
//!
//! Own types and not the crate `cyclonedx-bom`: that one stops at version 1.5, draws random serial numbers and the time by default, and
//! brings XML, a regex engine and its own SPDX list for what is a screen of structs here. What is printed is held against the strict
//! schema of the specification by the tests.

use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bom {
    pub(super) bom_format: &'static str,
    pub(super) spec_version: &'static str,
    pub(super) serial_number: String,
    pub(super) version: u32,
    pub(super) metadata: Metadata,
    pub(super) components: Vec<Component>,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) formulation: Vec<Formula>,
}

#[derive(Serialize)]
pub(super) struct Metadata {
    pub(super) timestamp: String,
    pub(super) lifecycles: Vec<Lifecycle>,
    pub(super) tools: Tools,
    pub(super) component: Component,
}

#[derive(Serialize)]
pub(super) struct Lifecycle {
    pub(super) phase: &'static str,
}

#[derive(Serialize)]
pub(super) struct Tools {
    pub(super) components: Vec<Component>,
}

#[derive(Serialize)]
pub(super) struct Formula {
    #[serde(rename = "bom-ref")]
    pub(super) bom_ref: &'static str,
    pub(super) components: Vec<Component>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Type {
    Application,
    File,
    Library,
}

/// Whether a component is in the product.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scope {
    Required,
    Excluded,
}

#[derive(Serialize)]
pub(super) struct Component {
    #[serde(rename = "type")]
    pub(super) kind: Type,
    #[serde(rename = "bom-ref")]
    pub(super) bom_ref: String,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<Scope>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) licenses: Vec<License>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) properties: Vec<Property>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) components: Vec<Component>,
}

impl Component {
    /// A component with nothing but what each must have.
    pub(super) fn new(kind: Type, bom_ref: &str, name: &str) -> Self {
        Self {
            kind,
            bom_ref: bom_ref.into(),
            name: name.into(),
            version: None,
            scope: None,
            hashes: Vec::new(),
            licenses: Vec::new(),
            purl: None,
            properties: Vec::new(),
            components: Vec::new(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Hash {
    alg: &'static str,
    content: String,
}

impl Hash {
    pub(super) fn sha256(content: &str) -> Self {
        Self { alg: "SHA-256", content: content.into() }
    }
}

#[derive(Serialize)]
pub(super) struct License {
    pub(super) acknowledgement: &'static str,
    pub(super) expression: String,
}

#[derive(Serialize)]
pub(super) struct Property {
    name: String,
    value: String,
}

impl Property {
    /// A property of our own namespace.
    pub(super) fn new(name: &str, value: &str) -> Self {
        Self { name: format!("proofmark:{name}"), value: value.into() }
    }
}

#[derive(Serialize)]
pub(super) struct Dependency {
    #[serde(rename = "ref")]
    pub(super) from: String,
    #[serde(rename = "dependsOn", skip_serializing_if = "Vec::is_empty")]
    pub(super) depends_on: Vec<String>,
}
