//! How an order is worked: a strategy says the next step, the router takes it. And the plain strategy, which every
//! order without a flag gets.

use std::collections::VecDeque;

use crate::split::split;
use crate::{Account, Child, Order, Refusal, Slot};

/// What to do next for a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this child, then ask again.
    Send(Child),
    /// Wait for the next report of a venue, then ask again. Only right while something is open.
    Wait,
    /// The parent is done.
    Done,
}

/// Works one parent order.
pub trait Strategy: Send {
    /// The next step, given what has been sent and filled so far.
    fn next(&mut self, account: &Account) -> Step;
}

/// Sends every child of one split, waits for all of them, and is done.
#[derive(Debug)]
pub struct Plan {
    unsent: VecDeque<Child>,
}

impl Plan {
    /// Plans an order over the given venues.
    ///
    /// # Errors
    /// See [`split`] and [`on_tick`].
    pub fn new(order: &Order, slots: &[Slot]) -> Result<Self, Refusal> {
        on_tick(order, slots)?;
        Ok(Self { unsent: split(order.quantity, slots)?.into() })
    }

    /// The same plan, with every child sent to the venue's retail programme.
    #[must_use]
    pub fn retail(mut self) -> Self {
        self.unsent.iter_mut().for_each(|child| child.retail = true);
        self
    }
}

impl Strategy for Plan {
    fn next(&mut self, account: &Account) -> Step {
        match self.unsent.pop_front() {
            Some(child) => Step::Send(child),
            None if account.is_complete() => Step::Done,
            None => Step::Wait,
        }
    }
}

/// Checks the limit price against the tick of each venue.
///
/// # Errors
/// The first venue at which the price is between two ticks.
pub fn on_tick(order: &Order, slots: &[Slot]) -> Result<(), Refusal> {
    let price = order.limit_price;
    match slots.iter().find(|slot| !price.is_on(slot.venue.tick)) {
        Some(Slot { venue, .. }) => Err(Refusal::OffTick { price, tick: venue.tick, venue: venue.name }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::find;

    fn order(limit_price: &str) -> Order {
        serde_json::from_value(serde_json::json!({
            "id": "P1", "symbol": "ACME", "side": "buy", "quantity": 1000, "limit_price": limit_price,
        }))
        .unwrap()
    }

    fn north() -> [Slot; 1] {
        [Slot { index: 0, venue: find("north").unwrap(), weight: 1, max_child: 600 }]
    }

    #[test]
    fn a_plan_sends_each_child_once_waits_and_is_done() {
        let mut plan = Plan::new(&order("10.05"), &north()).unwrap();
        let mut account = Account::new(1_000);
        for quantity in [600, 400] {
            assert_eq!(plan.next(&account), Step::Send(Child { venue: 0, quantity, retail: false }));
            account.sent(quantity);
        }
        assert_eq!(plan.next(&account), Step::Wait);
        account.fill(600).unwrap();
        assert_eq!(plan.next(&account), Step::Wait);
        account.fill(400).unwrap();
        assert_eq!(plan.next(&account), Step::Done);
    }

    #[test]
    fn a_price_between_two_ticks_is_refused() {
        let refusal = Plan::new(&order("10.005"), &north()).unwrap_err();
        assert_eq!(refusal.to_string(), "limit price 10.0050 is not a multiple of the tick 0.01 at north");
    }
}
