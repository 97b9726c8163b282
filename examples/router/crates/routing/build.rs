//! Turns `venues.toml` into the table that `src/venue.rs` includes. The output depends on that file alone: rows are
//! in byte order of their names (`BTreeMap`), and no path, time or environment goes in.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

// The same file that the library parses prices with: one grammar for prices, in the table and on the wire.
#[path = "src/price.rs"]
#[allow(dead_code)]
mod price;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    tick: price::Price,
    fee_mils: u32,
    retail: bool,
}

fn main() {
    println!("cargo::rerun-if-changed=venues.toml");
    println!("cargo::rerun-if-changed=src/price.rs");
    let text = fs::read_to_string("venues.toml").expect("venues.toml is readable");
    let rows: BTreeMap<String, Row> = toml::from_str(&text).expect("venues.toml is well formed");
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("venues.rs"), table(&rows)).expect("OUT_DIR is writable");
}

/// The table as Rust source.
fn table(rows: &BTreeMap<String, Row>) -> String {
    let mut source = String::from("&[\n");
    for (name, Row { tick, fee_mils, retail }) in rows {
        let tick = tick.units();
        writeln!(
            source,
            "    Venue {{ name: {name:?}, tick: Price::from_units({tick}).unwrap(), fee_mils: {fee_mils}, retail: {retail} }},"
        )
        .expect("a String takes every write");
    }
    source.push_str("]\n");
    source
}
