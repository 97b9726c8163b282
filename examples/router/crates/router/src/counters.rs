//! The router's counters. They only ever go up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// The live counters.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $($(#[$doc])* pub(crate) $name: Counter),+ }

        /// Their values at one moment, as `/counters` shows them.
        #[derive(Debug, Serialize)]
        pub(crate) struct Snapshot { $($name: u64),+ }

        impl Counters {
            /// Reads every counter. They are read one by one: sums may be off by what happened in between.
            pub(crate) fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.get()),+ }
            }
        }
    };
}

counters! {
    /// Lines and connections that were not understood.
    errors,
    /// Parent orders not taken.
    parents_refused,
    /// Parent orders taken.
    parents_accepted,
    /// Parent orders done in full.
    parents_filled,
    /// Parent orders done, but not in full.
    parents_incomplete,
    /// Shares in the parent orders taken.
    shares_ordered,
    /// Child orders handed to venues.
    children_sent,
    /// Shares in them. More than `shares_ordered` is an alarm: children without a parent.
    shares_sent,
    /// Fills reported by venues.
    fills,
    /// Shares in them.
    shares_filled,
}

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    pub(crate) fn one(&self) {
        self.add(1);
    }

    /// Counts many.
    pub(crate) fn add(&self, many: u64) {
        self.0.fetch_add(many, Relaxed);
    }

    /// The count.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
