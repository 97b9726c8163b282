//! Which strategy an order gets: the plain plan, or what its flag asks for.

use crate::plan::{Plan, Strategy};
use crate::{Flag, Order, Refusal, Slot, note};

/// The strategy for an order, over the venues that are connected.
///
/// # Errors
/// The order cannot be worked over these venues.
pub fn choose(order: &Order, flag: Option<Flag>, slots: &[Slot]) -> Result<Box<dyn Strategy>, Refusal> {
    Ok(match flag {
        None => Box::new(Plan::new(order, slots)?),
        Some(Flag::Rlp) => Box::new(retail(order, slots)?),
    })
}

/// Retail Liquidity Program: the split rule over the venues that run a retail programme, and only those.
fn retail(order: &Order, slots: &[Slot]) -> Result<Plan, Refusal> {
    let programme: Vec<Slot> = slots.iter().filter(|slot| slot.venue.retail).copied().collect();
    let plan = Plan::new(order, &programme)?.retail();
    note!("rlp: order goes to the retail programme, {}", order.id);
    Ok(plan)
}
