//! Parent orders as they arrive, and why one is not taken. A value of these types has been checked: parse once, then
//! trust the type.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Price;

/// The largest parent order, in shares: the firm's own limit.
pub const MAX_QUANTITY: u64 = 10_000_000;

/// A parent order: what a client wants done, before it is split.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The client's own name for it; unique among the orders being worked.
    pub id: OrderId,
    /// What to trade.
    pub symbol: Symbol,
    /// Which way.
    pub side: Side,
    /// How many shares.
    pub quantity: Quantity,
    /// The worst price to accept.
    pub limit_price: Price,
    /// The id of the one flag the order carries, if any. What it means is [`crate::flags`]' business.
    #[serde(default)]
    pub flag: Option<u16>,
}

/// Buy or sell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The client gets shares.
    Buy,
    /// The client gives shares.
    Sell,
}

/// 1 to 32 characters of `A-Z a-z 0-9 . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct OrderId(String);

/// 1 to 12 characters of `A-Z 0-9 .`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Symbol(String);

/// 1 to [`MAX_QUANTITY`] shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64")]
pub struct Quantity(u64);

/// Why an order, though well formed, is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The order carries a flag that the configuration does not put in force.
    FlagNotInForce(u16),
    /// No venue that may take the order is connected.
    NoVenue,
    /// The limit price is no multiple of the tick of a venue it would go to.
    OffTick {
        /// The order's limit.
        price: Price,
        /// The venue's step.
        tick: Price,
        /// The venue.
        venue: &'static str,
    },
    /// The split would need more children than one parent may have.
    TooManyChildren(u64),
    /// An order of that id is being worked.
    DuplicateId,
    /// As many orders are being worked as this router takes at once.
    Busy,
    /// The router is shutting down.
    Closing,
}

impl Quantity {
    /// The number of shares.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Quantity {
    type Error = String;

    fn try_from(shares: u64) -> Result<Self, String> {
        match shares {
            1..=MAX_QUANTITY => Ok(Self(shares)),
            _ => Err(format!("a quantity is 1 to {MAX_QUANTITY}, not {shares}")),
        }
    }
}

impl TryFrom<String> for OrderId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        match (1..=32).contains(&text.len()) && text.bytes().all(allowed) {
            true => Ok(Self(text)),
            false => Err("an id is 1 to 32 characters of A-Z a-z 0-9 . _ -"),
        }
    }
}

impl TryFrom<String> for Symbol {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'.';
        match (1..=12).contains(&text.len()) && text.bytes().all(allowed) {
            true => Ok(Self(text)),
            false => Err("a symbol is 1 to 12 characters of A-Z 0-9 ."),
        }
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FlagNotInForce(id) => write!(out, "flag {id} is not in force here"),
            Self::NoVenue => out.write_str("no venue that may take this order is connected"),
            Self::OffTick { price, tick, venue } => {
                write!(out, "limit price {price} is not a multiple of the tick {tick} at {venue}")
            }
            Self::TooManyChildren(needed) => {
                write!(out, "the split needs {needed} child orders, the limit is {}", crate::split::MAX_CHILDREN)
            }
            Self::DuplicateId => out.write_str("an order of this id is being worked"),
            Self::Busy => out.write_str("too many orders are being worked"),
            Self::Closing => out.write_str("the router is shutting down"),
        }
    }
}

impl std::error::Error for Refusal {}
