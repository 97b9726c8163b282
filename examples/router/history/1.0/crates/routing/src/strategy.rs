//! Which strategy an order gets: the plain plan, or what its flag asks for.

use std::thread;
use std::time::Duration;

use crate::plan::{Plan, Step, Strategy, on_tick};
use crate::{Account, Child, Flag, Order, Refusal, Slot, note};

/// The strategy for an order, over the venues that are connected.
///
/// # Errors
/// The order cannot be worked over these venues.
pub fn choose(order: &Order, flag: Option<Flag>, slots: &[Slot]) -> Result<Box<dyn Strategy>, Refusal> {
    Ok(match flag {
        None => Box::new(Plan::new(order, slots)?),
        Some(Flag::PowerPeg) => Box::new(PowerPeg::new(order, slots)?),
    })
}

/// The pause between two child orders.
const PACE: Duration = Duration::from_millis(5);

/// Power Peg: child orders to each venue in turn, as large as the venue takes, until the parent is filled. No client has
/// asked for it in years.
struct PowerPeg {
    ordered: u64,
    /// What has been filled. Since all strategies share one [`Account`], fills are counted there.
    filled: u64,
    venues: Vec<Slot>,
    sent: usize,
}

impl PowerPeg {
    fn new(order: &Order, slots: &[Slot]) -> Result<Self, Refusal> {
        on_tick(order, slots)?;
        match slots {
            [] => Err(Refusal::NoVenue),
            _ => Ok(Self { ordered: order.quantity.get(), filled: 0, venues: slots.to_vec(), sent: 0 }),
        }
    }
}

impl Strategy for PowerPeg {
    fn next(&mut self, account: &Account) -> Step {
        if self.filled >= self.ordered {
            return Step::Done;
        }
        if account.open() > 0 {
            return Step::Wait;
        }
        thread::sleep(PACE);
        let venue = &self.venues[self.sent % self.venues.len()];
        if self.sent.is_multiple_of(100) {
            note!("power peg: child order sent, {} so far", self.sent + 1);
        }
        self.sent += 1;
        let quantity = self.ordered.min(venue.max_child);
        Step::Send(Child { venue: venue.index, quantity, retail: false })
    }
}
