//! The desk: takes or refuses parent orders, and works each in a thread of its own until its strategy says it is done.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use routing::order::OrderId;
use routing::plan::{Step, Strategy};
use routing::wire::ClientReply;
use routing::{Account, Child, Flag, Order, Refusal, Slot, note, strategy};

use crate::clients::Client;
use crate::counters::Counters;
use crate::journal::Journal;
use crate::venue::{Report, Session};

/// The most parents worked at once; each has a thread.
const MAX_LIVE: usize = 256;

/// Everything that parent orders share.
#[derive(Debug)]
pub(crate) struct Desk {
    /// The flags in force.
    pub(crate) flags: Vec<Flag>,
    /// The venues, in the order of the configuration.
    pub(crate) venues: Vec<Arc<Session>>,
    /// What has been counted.
    pub(crate) counters: Counters,
    journal: Journal,
    floor: Mutex<Floor>,
    empty: Condvar,
    next_child: AtomicU64,
}

/// What is being worked.
#[derive(Debug, Default)]
struct Floor {
    live: HashSet<OrderId>,
    closing: bool,
}

impl Desk {
    /// A desk that is open.
    pub(crate) fn new(flags: Vec<Flag>, venues: Vec<Arc<Session>>, journal: Journal) -> Self {
        Self {
            flags,
            venues,
            counters: Counters::default(),
            journal,
            floor: Mutex::default(),
            empty: Condvar::new(),
            next_child: AtomicU64::new(1),
        }
    }

    /// Takes an order and returns at once, or refuses it. Either way the client is told.
    pub(crate) fn submit(self: &Arc<Self>, order: Order, client: &Arc<Client>) {
        let id = order.id.clone();
        if let Err(refusal) = self.take(order, client) {
            self.counters.parents_refused.one();
            client.reply(&ClientReply::Refused { id: &id, reason: refusal.to_string() });
        }
    }

    /// Takes no more orders, and waits until those being worked are done, or the time is over.
    pub(crate) fn close(&self, limit: Duration) {
        let mut floor = self.floor();
        floor.closing = true;
        let waited = self.empty.wait_timeout_while(floor, limit, |floor| !floor.live.is_empty());
        let (floor, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !floor.live.is_empty() {
            note!("router: {} orders were still being worked", floor.live.len());
        }
    }

    /// Whether orders are no longer taken.
    pub(crate) fn is_closing(&self) -> bool {
        self.floor().closing
    }

    /// How many orders are being worked.
    pub(crate) fn live(&self) -> usize {
        self.floor().live.len()
    }

    fn take(self: &Arc<Self>, order: Order, client: &Arc<Client>) -> Result<(), Refusal> {
        let flag = order.flag.map(|id| self.in_force(id)).transpose()?;
        let strategy = strategy::choose(&order, flag, &self.slots())?;
        self.enter(&order.id)?;
        let (id, desk, client) = (order.id.clone(), Arc::clone(self), Arc::clone(client));
        let spawned = thread::Builder::new().name(format!("order-{id}")).spawn(move || {
            desk.work(&order, strategy, &client);
            desk.leave(&order.id);
        });
        spawned.map(drop).map_err(|error| {
            note!("router: no thread for {id}: {error}");
            self.leave(&id);
            Refusal::Busy
        })
    }

    fn in_force(&self, id: u16) -> Result<Flag, Refusal> {
        self.flags.iter().copied().find(|flag| flag.id() == id).ok_or(Refusal::FlagNotInForce(id))
    }

    /// The venues that are connected now: the split rule runs over these.
    fn slots(&self) -> Vec<Slot> {
        let slot = |(index, session): (usize, &Arc<Session>)| {
            let config = &session.config;
            let (weight, max_child) = (config.weight.get(), config.max_child.get());
            session.is_up().then_some(Slot { index, venue: config.venue.0, weight, max_child })
        };
        self.venues.iter().enumerate().filter_map(slot).collect()
    }

    fn work(&self, order: &Order, mut strategy: Box<dyn Strategy>, client: &Client) {
        let (id, ordered) = (&order.id, order.quantity.get());
        self.counters.parents_accepted.one();
        self.counters.shares_ordered.add(ordered);
        self.tell(client, &ClientReply::Accepted { id });

        let (reports, inbox) = mpsc::channel();
        let mut account = Account::new(ordered);
        let mut reason = String::new();
        loop {
            match strategy.next(&account) {
                Step::Send(child) => {
                    account.sent(child.quantity);
                    self.send(order, child, &reports);
                }
                Step::Wait => {
                    // Never disconnected: `reports` is in scope.
                    let Ok(report) = inbox.recv() else { break };
                    self.count(id, report, &mut account, &mut reason, client);
                }
                Step::Done => break,
            }
        }

        let (quantity, children) = (account.filled(), account.children());
        if quantity == ordered {
            self.counters.parents_filled.one();
            self.tell(client, &ClientReply::Filled { id, quantity, children });
        } else {
            self.counters.parents_incomplete.one();
            self.tell(client, &ClientReply::Incomplete { id, quantity, children, reason: &reason });
        }
    }

    fn send(&self, order: &Order, child: Child, reports: &Sender<Report>) {
        let id = self.next_child.fetch_add(1, Relaxed);
        self.counters.children_sent.one();
        self.counters.shares_sent.add(child.quantity);
        self.venues[child.venue].send(id, order, child, reports);
    }

    fn count(&self, id: &OrderId, report: Report, account: &mut Account, last_reason: &mut String, client: &Client) {
        let counted = match report {
            Report::Fill { venue, quantity } => {
                self.counters.fills.one();
                self.counters.shares_filled.add(quantity);
                client.reply(&ClientReply::Fill { id, venue, quantity });
                account.fill(quantity)
            }
            Report::Ended { quantity, reason } => {
                *last_reason = reason;
                account.end(quantity)
            }
        };
        // The session has checked each child's own quantity, so the sum cannot be exceeded; if it is, say so.
        if let Err(excess) = counted {
            note!("router: {id}: {excess}");
        }
    }

    fn tell(&self, client: &Client, reply: &ClientReply<'_>) {
        self.journal.append(reply);
        client.reply(reply);
    }

    fn enter(&self, id: &OrderId) -> Result<(), Refusal> {
        let mut floor = self.floor();
        if floor.closing {
            return Err(Refusal::Closing);
        }
        if floor.live.len() >= MAX_LIVE {
            return Err(Refusal::Busy);
        }
        match floor.live.insert(id.clone()) {
            true => Ok(()),
            false => Err(Refusal::DuplicateId),
        }
    }

    fn leave(&self, id: &OrderId) {
        let mut floor = self.floor();
        floor.live.remove(id);
        if floor.live.is_empty() {
            self.empty.notify_all();
        }
    }

    fn floor(&self) -> MutexGuard<'_, Floor> {
        self.floor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
