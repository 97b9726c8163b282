//! What each flag id means in this release. The ledger (`ledger.toml`) is the record of every id that ever meant
//! something; `tests/ledger.rs` holds the two against each other.

/// The epoch of the wire: raised when the same bytes get another meaning. 2: orders and child orders can be retail.
pub const WIRE_EPOCH: u32 = 2;

/// A flag that an order can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// The order takes part in the retail liquidity programme.
    Rlp,
}

impl Flag {
    /// Every flag this release knows.
    pub const ALL: &[Self] = &[Self::Rlp];

    /// The flag's id, on the wire and in the configuration.
    pub const fn id(self) -> u16 {
        match self {
            Self::Rlp => 7,
        }
    }

    /// The flag's name in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rlp => "rlp",
        }
    }

    /// The flag of that id.
    pub fn of(id: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|flag| flag.id() == id)
    }
}
