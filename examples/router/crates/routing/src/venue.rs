//! The venues of `venues.toml`, as build.rs generated them: names, ticks, fees, programmes. Not their addresses, which
//! are configuration.

use crate::Price;

/// What the rule book of a venue says.
#[derive(Debug, PartialEq, Eq)]
pub struct Venue {
    /// The name, as configuration and venue logon use it.
    pub name: &'static str,
    /// The smallest price step.
    pub tick: Price,
    /// What the venue takes for a share, in 1/1000 dollar.
    pub fee_mils: u32,
    /// Whether the venue runs a retail liquidity programme.
    pub retail: bool,
}

/// Every venue this firm is a member of, in byte order of the names.
pub const VENUES: &[Venue] = include!(concat!(env!("OUT_DIR"), "/venues.rs"));

/// The venue of that name.
pub fn find(name: &str) -> Option<&'static Venue> {
    VENUES.iter().find(|venue| venue.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_table_is_sorted_and_complete() {
        assert!(VENUES.is_sorted_by_key(|venue| venue.name));
        assert_eq!(VENUES.len(), 5);
        let west = find("west").unwrap();
        assert_eq!((west.tick.to_string().as_str(), west.fee_mils, west.retail), ("0.0001", 1, true));
    }
}
