//! The split rule: how a parent's shares become child orders.
//!
//! 1. A venue's share is `quantity × weight / sum of weights`, rounded down.
//! 2. The shares left over by rounding go one each to the venues with the largest remainder; at equal remainders the
//!    lower fee goes first, then the order of the configuration.
//! 3. A venue's share is cut into children of its `max_child` and one smaller last child.
//!
//! The children add up to the parent exactly, always.

use std::cmp::Reverse;

use crate::order::{Quantity, Refusal};
use crate::venue::Venue;

/// The most children one parent may have: a router's own limit on what a single order can set off.
pub const MAX_CHILDREN: u64 = 1_000;

/// A venue that may take part in a split.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Its place in the configuration.
    pub index: usize,
    /// Its rule book.
    pub venue: &'static Venue,
    /// Its part of the flow, relative to the other slots. Not zero.
    pub weight: u32,
    /// The largest child order to send there, in shares. Not zero.
    pub max_child: u64,
}

/// One child order to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// The place of its venue in the configuration.
    pub venue: usize,
    /// Shares.
    pub quantity: u64,
    /// Whether it goes to the venue's retail programme.
    pub retail: bool,
}

/// Splits `quantity` over `slots` by the rule above, venue by venue.
///
/// # Errors
/// No slots, or more than [`MAX_CHILDREN`] children.
pub fn split(quantity: Quantity, slots: &[Slot]) -> Result<Vec<Child>, Refusal> {
    if slots.is_empty() {
        return Err(Refusal::NoVenue);
    }
    let shares = shares(quantity.get(), slots);
    let needed = shares.iter().zip(slots).map(|(share, slot)| share.div_ceil(slot.max_child)).sum();
    if needed > MAX_CHILDREN {
        return Err(Refusal::TooManyChildren(needed));
    }
    Ok(shares.iter().zip(slots).flat_map(|(&share, slot)| children(share, slot)).collect())
}

/// Steps 1 and 2. No overflow: 10^7 shares times a 32-bit weight stay far below 2^64.
fn shares(quantity: u64, slots: &[Slot]) -> Vec<u64> {
    let total: u64 = slots.iter().map(|slot| u64::from(slot.weight)).sum();
    let exact = |slot: &Slot| quantity * u64::from(slot.weight);
    let mut shares: Vec<u64> = slots.iter().map(|slot| exact(slot) / total).collect();

    let mut by_remainder: Vec<usize> = (0..slots.len()).collect();
    by_remainder.sort_by_key(|&at| (Reverse(exact(&slots[at]) % total), slots[at].venue.fee_mils, slots[at].index));
    let left_over = quantity - shares.iter().sum::<u64>();
    for &at in by_remainder.iter().take(left_over as usize) {
        shares[at] += 1;
    }
    shares
}

/// Step 3.
fn children(mut share: u64, slot: &Slot) -> impl Iterator<Item = Child> {
    std::iter::from_fn(move || {
        let quantity = share.min(slot.max_child);
        share -= quantity;
        (quantity > 0).then_some(Child { venue: slot.index, quantity, retail: false })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::find;

    fn slot(index: usize, name: &str, weight: u32, max_child: u64) -> Slot {
        Slot { index, venue: find(name).unwrap(), weight, max_child }
    }

    fn quantities(quantity: u64, slots: &[Slot]) -> Vec<(usize, u64)> {
        let children = split(quantity.try_into().unwrap(), slots).unwrap();
        children.iter().map(|child| (child.venue, child.quantity)).collect()
    }

    #[test]
    fn shares_follow_the_weights_and_children_the_largest_size() {
        let slots = [slot(0, "north", 3, 500), slot(1, "south", 2, 250)];
        assert_eq!(quantities(1_000, &slots), [(0, 500), (0, 100), (1, 250), (1, 150)]);
    }

    #[test]
    fn a_left_over_share_goes_to_the_largest_remainder() {
        // 10 × 3/5 = 6, 10 × 2/5 = 4; 11 × 3/5 = 6.6, 11 × 2/5 = 4.4: the odd share is north's.
        let slots = [slot(0, "north", 3, 500), slot(1, "south", 2, 500)];
        assert_eq!(quantities(11, &slots), [(0, 7), (1, 4)]);
    }

    #[test]
    fn at_equal_remainders_the_lower_fee_goes_first_then_the_order_of_the_configuration() {
        let slots = [slot(0, "north", 1, 500), slot(1, "south", 1, 500)];
        assert_eq!(quantities(1, &slots), [(1, 1)], "south takes 2 mils, north 3");
        let slots = [slot(0, "north", 1, 500), slot(1, "north-test", 1, 500)];
        assert_eq!(quantities(1, &slots), [(0, 1)]);
    }

    #[test]
    fn children_always_add_up_to_the_parent() {
        for quantity in (1..2_000).chain([999_983]) {
            let slots = [slot(0, "north", 7, 9_000), slot(1, "south", 11, 7_000), slot(2, "west", u32::MAX, 5_000)];
            let sum: u64 = quantities(quantity, &slots).iter().map(|(_, quantity)| quantity).sum();
            assert_eq!(sum, quantity);
        }
    }

    #[test]
    fn a_split_without_venues_or_with_too_many_children_is_refused() {
        let quantity = Quantity::try_from(1_001).unwrap();
        assert_eq!(split(quantity, &[]), Err(Refusal::NoVenue));
        assert_eq!(split(quantity, &[slot(0, "north", 1, 1)]), Err(Refusal::TooManyChildren(1_001)));
    }
}
