//! `proofmark sbom`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use proofmark::buildinfo::read::LARGEST;
use proofmark::exit::{IoContext, Refusal, Refuse};
use proofmark::{bundle_file, digest, sbom};
use serde_json::json;

use super::Done;
use super::place::{new_file, shown};

/// Print the SBOM of a build: CycloneDX 1.6, made from its buildinfo alone
///
/// The same buildinfo gives the same bytes, on every machine: so the SBOM beside a published bundle can be made again and compared by
/// anybody. It names the product with the digests of its programs, every crate that was compiled for them (kind, licence, checksum,
/// features, edges), and the compilers.
///
/// Of a bundle, every byte is checked first, and the buildinfo beside it must be the one that its manifest names.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  proofmark sbom target/proofmark/router-1.2/buildinfo.json | jq -r '.components[].purl'\n  \
    proofmark sbom releases/bundles/DIGEST/FILE.tar.zst | cmp - releases/bundles/DIGEST/FILE.sbom.cdx.json")]
pub(crate) struct Arguments {
    /// A bundle (FILE.tar.zst, with FILE.buildinfo.json beside it), or a buildinfo.json
    #[arg(value_name = "BUNDLE|BUILDINFO")]
    file: PathBuf,
    /// Write it to this new file instead
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print what was made of what, or the refusal, as JSON; the SBOM itself goes to --out
    #[arg(long, requires = "out")]
    pub(super) json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let buildinfo = buildinfo(&arguments.file)?;
    let sbom = sbom::sbom(&buildinfo, &shown(&arguments.file)).map_err(|error| error.refusal())?;
    let json = json!({ "ok": true, "buildinfo": digest::sha256(&buildinfo), "sbom": digest::sha256(&sbom), "out": arguments.out });
    let data = new_file(arguments.out.as_deref(), sbom)?;
    Ok(Done { data, json: format!("{json:#}\n"), words: String::new() })
}

fn buildinfo(path: &Path) -> Result<Vec<u8>, Refusal> {
    if path.extension().is_some_and(|extension| extension == "zst") {
        return Ok(bundle_file::open(path).map_err(|error| error.refusal())?.buildinfo);
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes)).at("read", path).map_err(|error| error.refusal())?;
    Ok(bytes)
}
