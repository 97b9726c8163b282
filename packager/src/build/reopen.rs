//! A finished build, taken up again from the directory that `proofmark build --out` wrote: so that the machine with the signing key
//! need not be the one that runs build scripts.
//!
//! It must be the build of the commit at HEAD, whole: the source is exported again, and every file is compared with `buildinfo.json`.
//! That file itself is believed; who signs vouches for where it came from.

use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::{Built, Error, Options};
use crate::buildinfo::Output;
use crate::config;
use crate::environment::{self, Cache};
use crate::exit::{IoContext, IoError};
use crate::inputs::{Collected, Input};
use crate::progress::Progress;
use crate::{digest, files, lockfile, source, vendor};

/// Largest `buildinfo.json`, bytes.
const LARGEST: u64 = 16 << 20;

/// Opens the build in `directory` as a build of the commit at HEAD of the workspace.
pub fn reopen(directory: &Path, options: &Options, progress: &dyn Progress) -> Result<Built, Error> {
    let workspace = options.workspace.as_path();
    let source = source::inspect(workspace)?;
    let buildinfo = read(&directory.join("buildinfo.json"))?;
    let machine = read(&directory.join("machine.json"))?;
    let closure = read(&directory.join("closure.txt"))?;
    let info: Value = serde_json::from_slice(&buildinfo).map_err(|error| other(directory, "a buildinfo.json", &error.to_string()))?;
    let text = |pointer: &str| info.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();

    let scratch = options.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let work = tempfile::Builder::new().prefix("proofmark-").tempdir_in(&scratch).at("create a directory in", &scratch)?;
    let base = work.path().canonicalize().at("open", work.path())?;
    let source_dir = base.join("src");
    source::export(workspace, &source, &source_dir)?;
    let (config, config_bytes) = config::load(&source_dir)?;
    let expected = [
        ("/source/commit", source.commit.clone()),
        ("/source/tree", source.tree.clone()),
        ("/proofmark_toml", digest::sha256(&config_bytes)),
        ("/closure/sha256", digest::sha256(&closure)),
        ("/product", config.product.to_string()),
        ("/release", config.release.to_string()),
    ];
    for (pointer, want) in expected {
        if text(pointer) != want {
            return Err(other(directory, &format!("{} {want}, as HEAD has it", &pointer[1..]), &text(pointer)));
        }
    }

    let listed: Vec<Output> =
        serde_json::from_value(info["outputs"].clone()).map_err(|error| other(directory, "outputs", &error.to_string()))?;
    let staged = base.join("staged");
    files::create(&staged)?;
    for binary in &config.binaries {
        let path = format!("root/{}", binary.bundle_path());
        let Some(output) = listed.iter().find(|output| output.path == path) else {
            return Err(other(directory, &format!("an output {path}"), "none in buildinfo.json"));
        };
        let from = directory.join(&path);
        let bytes = fs::read(&from).at("read", &from)?;
        if digest::sha256(&bytes) != output.sha256 {
            return Err(other(directory, &format!("{path} with sha256 {}", output.sha256), &digest::sha256(&bytes)));
        }
        files::directory(&staged, Path::new(&path).parent().unwrap_or(Path::new("")))?;
        files::write(&staged.join(&path), &bytes, true, source.time)?;
    }
    let lock = environment::recorded(&info).ok_or_else(|| other(directory, "an environment", "none in buildinfo.json"))?;
    let layers = environment::collect(&lock, &options.environment(&config, &source_dir), &Cache::open()?, progress)?;
    let inputs = collect(directory, &info, layers, &source.tree, &source_dir)?;
    let target = text("/target");
    Ok(Built { config, source, target, source_dir, staged, outputs: listed, inputs, buildinfo, closure, machine, work })
}

/// What the build was made of, from this machine's own caches: each is what `buildinfo.json` says, or it is refused.
fn collect(directory: &Path, info: &Value, layers: Vec<Collected>, tree: &str, source_dir: &Path) -> Result<Vec<Collected>, Error> {
    let listed: Vec<Input> =
        serde_json::from_value(info["inputs"].clone()).map_err(|error| other(directory, "inputs", &error.to_string()))?;
    let (crates, _) = lockfile::read(source_dir)?;
    let mut have = vendor::collect(source_dir, &crates)?;
    have.push(Collected::source(tree, source_dir)?);
    have.extend(layers);
    have.sort_by(|a, b| a.input.cmp(&b.input));
    for input in &listed {
        if !have.iter().any(|have| have.input == *input) {
            return Err(other(directory, &format!("{input} with sha256 {}, as this machine has it", input.sha256), "another, or none"));
        }
    }
    Ok(have)
}

fn read(path: &Path) -> Result<Vec<u8>, IoError> {
    let mut bytes = Vec::new();
    fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes)).at("read", path)?;
    Ok(bytes)
}

fn other(directory: &Path, want: &str, have: &str) -> Error {
    Error::OtherBuild { directory: directory.to_owned(), want: want.to_owned(), have: have.to_owned() }
}
