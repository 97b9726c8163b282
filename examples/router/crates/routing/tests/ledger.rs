//! The flags in the code are the active flags of the ledger, no more and no fewer.

use std::collections::BTreeMap;

use routing::Flag;

#[test]
fn the_code_knows_exactly_the_active_flags_of_the_ledger() {
    let text = include_str!("../../../ledger.toml");
    let ledger: BTreeMap<String, Vec<toml::Table>> = toml::from_str(text).unwrap();
    let active: Vec<(i64, &str)> = ledger["flag"]
        .iter()
        .filter(|row| row["state"].as_str() == Some("active"))
        .map(|row| (row["id"].as_integer().unwrap(), row["name"].as_str().unwrap()))
        .collect();
    let known: Vec<(i64, &str)> = Flag::ALL.iter().map(|flag| (flag.id().into(), flag.name())).collect();
    assert_eq!(active, known);
}
