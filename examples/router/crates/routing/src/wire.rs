//! The two line protocols: client to router, and router to venue. One JSON object a line. Unknown and duplicate fields
//! are refused.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::order::{OrderId, Side, Symbol};
use crate::{Order, Price};

/// From a client.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientRequest {
    /// Work this order.
    Order(Order),
}

/// To a client. An order ends with exactly one of `refused`, `filled`, `incomplete`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientReply<'a> {
    /// The line was not understood; nothing was done.
    Error {
        /// Why.
        reason: String,
    },
    /// The order is not taken; nothing was sent.
    Refused {
        /// The order.
        id: &'a OrderId,
        /// Why.
        reason: String,
    },
    /// The order is being worked.
    Accepted {
        /// The order.
        id: &'a OrderId,
    },
    /// A venue filled shares.
    Fill {
        /// The order.
        id: &'a OrderId,
        /// Where.
        venue: &'a str,
        /// Shares.
        quantity: u64,
    },
    /// The order is done, every share of it.
    Filled {
        /// The order.
        id: &'a OrderId,
        /// Shares filled.
        quantity: u64,
        /// Child orders sent.
        children: u64,
    },
    /// The order is done, but not every share was filled.
    Incomplete {
        /// The order.
        id: &'a OrderId,
        /// Shares filled.
        quantity: u64,
        /// Child orders sent.
        children: u64,
        /// The last reason a venue gave.
        reason: &'a str,
    },
}

/// From a router to a venue. The first line is a logon, or `stats` from anybody.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum VenueRequest {
    /// Opens a session.
    Logon {
        /// The sender's [`crate::flags::WIRE_EPOCH`].
        wire_epoch: u32,
        /// The member's credential, where the venue wants one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
    },
    /// Fill this.
    Child {
        /// The router's number for it.
        id: u64,
        /// What to trade.
        symbol: Symbol,
        /// Which way.
        side: Side,
        /// Shares.
        quantity: u64,
        /// The worst price to accept.
        limit_price: Price,
        /// Whether it is for the retail programme. Absent means no, as before epoch 2.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        retail: bool,
    },
    /// Tell what you have counted.
    Stats {},
}

/// From a venue.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum VenueReply {
    /// The session is open.
    Welcome {
        /// The venue's own name.
        venue: String,
    },
    /// Shares of a child were filled.
    Fill {
        /// The child.
        id: u64,
        /// Shares.
        quantity: u64,
    },
    /// A child is not taken; nothing of it was filled.
    Reject {
        /// The child.
        id: u64,
        /// Why.
        reason: String,
    },
    /// The line was not understood, or came before a logon; the venue closes.
    Error {
        /// Why.
        reason: String,
    },
    /// What the venue has counted since it started.
    Stats {
        /// The venue's own name.
        venue: String,
        /// Sessions opened.
        logons: u64,
        /// Child orders taken.
        children: u64,
        /// Of those, for the retail programme.
        retail: u64,
        /// Shares in all of them.
        shares: u64,
    },
}

/// Reads one line of a protocol.
///
/// # Errors
/// Text for the peer: what is wrong, and where in the line.
pub fn parse<T: DeserializeOwned>(line: &str) -> Result<T, String> {
    // serde would also take a JSON array that lists the fields in order. The protocol does not.
    match line.trim_start().starts_with('{') {
        true => serde_json::from_str(line).map_err(|error| error.to_string()),
        false => Err("a line is one JSON object".to_owned()),
    }
}

/// Writes one message as a line, with its line feed.
pub fn line(message: &impl Serialize) -> String {
    let mut line = serde_json::to_string(message).expect("the messages hold text, numbers and nothing that can fail");
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str =
        r#"{"type":"order","id":"P1","symbol":"ACME","side":"buy","quantity":1000,"limit_price":"10.05","flag":9}"#;

    fn why_not(line: &str) -> String {
        parse::<ClientRequest>(line).unwrap_err()
    }

    #[test]
    fn an_order_is_read() {
        let ClientRequest::Order(order) = parse(ORDER).unwrap();
        assert_eq!((order.quantity.get(), order.flag), (1_000, Some(9)));
    }

    #[test]
    fn what_is_not_exactly_an_order_is_refused_with_the_reason() {
        for (from, to, reason) in [
            (r#""flag":9"#, r#""flags":9"#, "unknown field `flags`"),
            (r#""flag":9"#, r#""side":"buy""#, "duplicate field `side`"),
            (r#""flag":9"#, r#""flag":65536"#, "expected u16"),
            (r#""side":"buy","#, "", "missing field `side`"),
            ("1000", "0", "a quantity is 1 to"),
            ("1000", "10000001", "a quantity is 1 to"),
            ("1000", "-1", "expected u64"),
            (r#""10.05""#, "10.05", "expected a string"),
            ("P1", "P 1", "an id is"),
            ("ACME", "acme", "a symbol is"),
            ("order", "cancel", "unknown variant `cancel`"),
            ("}", "} {}", "trailing characters"),
        ] {
            let line = ORDER.replacen(from, to, 1);
            assert!(why_not(&line).contains(reason), "{line}: {}", why_not(&line));
        }
        for line in ["", "x", "[]", r#"["order","P1","ACME","buy",1000,"10.05",9]"#] {
            assert_eq!(why_not(line), "a line is one JSON object");
        }
        assert!(why_not("{").contains("EOF"));
    }

    #[test]
    fn venue_messages_are_read_as_they_were_written() {
        let logon = VenueRequest::Logon { wire_epoch: 2, token: None };
        assert_eq!(line(&logon), "{\"type\":\"logon\",\"wire_epoch\":2}\n");
        assert_eq!(parse::<VenueRequest>(&line(&logon)).unwrap(), logon);
        assert_eq!(parse::<VenueRequest>(r#"{"type":"stats"}"#).unwrap(), VenueRequest::Stats {});
        assert!(parse::<VenueReply>(r#"{"type":"fill","id":1,"quantity":2,"price":3}"#).is_err());
    }
}
