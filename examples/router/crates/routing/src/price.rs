//! Prices: whole numbers of 1/10000 dollar, written as decimal text. Never a float. Also compiled into build.rs, so it
//! uses nothing else of this crate.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How many units make a dollar.
const UNITS: u64 = 10_000;

/// A price above zero and below 1 000 000 dollars, in steps of 1/10000 dollar. On the wire: `"10.05"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Price(NonZeroU64);

/// The text is not a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPrice;

impl Price {
    /// A price from its number of 1/10000 dollars, or none for zero.
    pub const fn from_units(units: u64) -> Option<Self> {
        match NonZeroU64::new(units) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// The number of 1/10000 dollars.
    pub const fn units(self) -> u64 {
        self.0.get()
    }

    /// Whether this price is a whole number of `tick`s.
    pub const fn is_on(self, tick: Self) -> bool {
        self.units().is_multiple_of(tick.units())
    }
}

impl FromStr for Price {
    type Err = NotAPrice;

    /// Takes `DIGITS` or `DIGITS.DIGITS`: one to six digits before the point, one to four after it.
    fn from_str(text: &str) -> Result<Self, NotAPrice> {
        let (dollars, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits =
            |part: &str, most| (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(dollars, 6) || !digits(fraction, 4) {
            return Err(NotAPrice);
        }
        let dollars: u64 = dollars.parse().map_err(|_| NotAPrice)?;
        let fraction: u64 = format!("{fraction:0<4}").parse().map_err(|_| NotAPrice)?;
        Self::from_units(dollars * UNITS + fraction).ok_or(NotAPrice)
    }
}

impl TryFrom<String> for Price {
    type Error = NotAPrice;

    fn try_from(text: String) -> Result<Self, NotAPrice> {
        text.parse()
    }
}

impl From<Price> for String {
    fn from(price: Price) -> Self {
        price.to_string()
    }
}

impl fmt::Display for Price {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dollars, rest) = (self.units() / UNITS, self.units() % UNITS);
        // Cents are always shown; the digits behind them only where they say something.
        match rest % 100 {
            0 => write!(out, "{dollars}.{:02}", rest / 100),
            _ => write!(out, "{dollars}.{rest:04}"),
        }
    }
}

impl fmt::Display for NotAPrice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(
            "a price is text such as \"10.05\": above zero, at most six digits before the point and four after",
        )
    }
}

impl std::error::Error for NotAPrice {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_print_as_they_are_meant() {
        for (text, printed) in [("10", "10.00"), ("10.5", "10.50"), ("0.0001", "0.0001"), ("999999.99", "999999.99")] {
            assert_eq!(text.parse::<Price>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn what_is_not_a_price_is_refused() {
        for text in ["", "0", "0.0", "-1", "+1", "1.", ".5", "1.00001", "1000000", "1e3", "1.2.3", "\u{0661}"] {
            assert_eq!(text.parse::<Price>(), Err(NotAPrice), "{text}");
        }
    }
}
