//! What the fuzz targets of `tests/fuzz` begin with: the vectors, sorted by the parser that reads them.

use super::case::Before;
use super::repo::Tree;
use super::suite;
use proofmark_core::json;
use std::collections::BTreeMap;
use std::io::Read;

/// Larger ones only slow a fuzzer down.
const MOST: usize = 16 << 10;

/// Seeds of each target, of the generated files.
pub fn seeds(files: &Tree) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut seeds: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    let mut add = |target: &str, bytes: Vec<u8>| {
        if bytes.len() <= MOST {
            seeds.entry(target.to_owned()).or_default().push(bytes);
        }
    };
    for (path, bytes) in files {
        match path.split('/').collect::<Vec<_>>()[..] {
            ["documents", kind, file] if file != "cases.json" => add(kind, bytes.clone()),
            ["signatures", file] if file.ends_with(".minisig") => add("envelope", bytes.clone()),
            ["bundles", file] if file.ends_with(".tar.zst") => {
                add("frame", bytes.clone());
                add("tar", unpacked(bytes));
            }
            _ => {}
        }
    }
    for case in suite::parse(files) {
        if let Before::Whole(state) = &case.expected.after {
            add("state", json::print(&**state));
        }
    }
    seeds.values_mut().for_each(|seeds| {
        seeds.sort();
        seeds.dedup();
    });
    seeds
}

/// As much of a frame's content as there is, up to what is too much for a seed.
fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    if let Ok(decoder) = zstd::stream::read::Decoder::new(bytes) {
        // A frame that is broken gives what is in front of the break.
        let _ = decoder.take(MOST as u64 + 1).read_to_end(&mut stream);
    }
    stream
}
