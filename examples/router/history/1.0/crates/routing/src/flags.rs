//! What each flag id means in this release. The ledger (`ledger.toml`) is the record of every id that ever meant
//! something; `tests/ledger.rs` holds the two against each other.

/// The epoch of the wire: raised when the same bytes get another meaning.
pub const WIRE_EPOCH: u32 = 1;

/// A flag that an order can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// The order is worked by Power Peg.
    PowerPeg,
}

impl Flag {
    /// Every flag this release knows.
    pub const ALL: &[Self] = &[Self::PowerPeg];

    /// The flag's id, on the wire and in the configuration.
    pub const fn id(self) -> u16 {
        match self {
            Self::PowerPeg => 7,
        }
    }

    /// The flag's name in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PowerPeg => "power_peg",
        }
    }

    /// The flag of that id.
    pub fn of(id: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|flag| flag.id() == id)
    }
}
