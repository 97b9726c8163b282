//! Fill accounting: what of a parent is at the venues, filled, or ended without a fill. The one place that knows
//! whether a parent is done.

use std::fmt;

/// The account of one parent order, in shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    ordered: u64,
    open: u64,
    filled: u64,
    ended: u64,
    children: u64,
}

/// A venue reported more shares than it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// What the report named.
    pub reported: u64,
    /// What was open.
    pub open: u64,
}

impl Account {
    /// An account for a parent of that many shares.
    pub const fn new(ordered: u64) -> Self {
        Self { ordered, open: 0, filled: 0, ended: 0, children: 0 }
    }

    /// Counts a child that goes out.
    pub const fn sent(&mut self, quantity: u64) {
        self.open += quantity;
        self.children += 1;
    }

    /// Counts a fill.
    ///
    /// # Errors
    /// More than is open; nothing was counted.
    pub fn fill(&mut self, quantity: u64) -> Result<(), Excess> {
        self.close(quantity)?;
        self.filled += quantity;
        Ok(())
    }

    /// Counts shares that a venue rejected, or whose outcome is unknown. They are not sent again: a child whose session
    /// broke may have been filled, and a second one would fill the client twice.
    ///
    /// # Errors
    /// More than is open; nothing was counted.
    pub fn end(&mut self, quantity: u64) -> Result<(), Excess> {
        self.close(quantity)?;
        self.ended += quantity;
        Ok(())
    }

    /// Whether every share is accounted for and none is at a venue: the parent is done.
    pub const fn is_complete(&self) -> bool {
        self.open == 0 && self.filled + self.ended >= self.ordered
    }

    /// Shares at venues.
    pub const fn open(&self) -> u64 {
        self.open
    }

    /// Shares filled.
    pub const fn filled(&self) -> u64 {
        self.filled
    }

    /// Child orders sent.
    pub const fn children(&self) -> u64 {
        self.children
    }

    fn close(&mut self, quantity: u64) -> Result<(), Excess> {
        let open = self.open;
        self.open = open.checked_sub(quantity).ok_or(Excess { reported: quantity, open })?;
        Ok(())
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "a report of {} shares where {} are open", self.reported, self.open)
    }
}

impl std::error::Error for Excess {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_complete_when_every_share_is_filled() {
        let mut account = Account::new(100);
        account.sent(60);
        account.sent(40);
        account.fill(60).unwrap();
        assert!(!account.is_complete());
        account.fill(15).unwrap();
        account.fill(25).unwrap();
        assert!(account.is_complete());
        assert_eq!((account.filled(), account.open(), account.children()), (100, 0, 2));
    }

    #[test]
    fn shares_that_ended_without_a_fill_complete_a_parent_but_do_not_fill_it() {
        let mut account = Account::new(100);
        account.sent(100);
        account.fill(30).unwrap();
        account.end(70).unwrap();
        assert!(account.is_complete());
        assert_eq!(account.filled(), 30);
    }

    #[test]
    fn a_report_of_more_than_is_open_counts_nothing() {
        let mut account = Account::new(100);
        account.sent(100);
        assert_eq!(account.fill(101), Err(Excess { reported: 101, open: 100 }));
        account.fill(100).unwrap();
        assert_eq!(account.end(1), Err(Excess { reported: 1, open: 0 }));
        assert_eq!(account.filled(), 100);
    }
}
