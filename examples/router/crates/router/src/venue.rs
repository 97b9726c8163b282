//! Sessions with venues. Each has a thread that connects, logs on, reads reports, and connects again when the session
//! ends, for as long as the process lives: a router may start before its venues. Every child handed to a session ends
//! in reports for exactly its quantity: filled, or ended without a fill.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use std::{convert::Infallible, io};

use routing::flags::WIRE_EPOCH;
use routing::lines::Lines;
use routing::wire::{self, VenueReply, VenueRequest};
use routing::{Child, Order, note};

use crate::config::{Token, VenueConfig};
use crate::counters::Counter;

/// How long to wait before the next attempt to connect.
const RETRY: Duration = Duration::from_millis(250);
/// How long a venue may take to accept a connection, a line, or a logon.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a venue says about a child.
#[derive(Debug)]
pub(crate) enum Report {
    /// Shares were filled.
    Fill {
        /// Where.
        venue: &'static str,
        /// Shares.
        quantity: u64,
    },
    /// Shares are no longer open, and were not, or not known to be, filled.
    Ended {
        /// Shares.
        quantity: u64,
        /// Why.
        reason: String,
    },
}

/// The session with one venue, up or down.
#[derive(Debug)]
pub(crate) struct Session {
    /// The venue, as configured.
    pub(crate) config: VenueConfig,
    /// Child orders handed over.
    pub(crate) sent: Counter,
    link: Mutex<Link>,
}

/// What a live connection holds. Nothing is working while `stream` is none.
#[derive(Debug, Default)]
struct Link {
    stream: Option<TcpStream>,
    working: HashMap<u64, Working>,
}

/// A child at the venue.
#[derive(Debug)]
struct Working {
    open: u64,
    reports: Sender<Report>,
}

impl Session {
    /// Starts the session's thread.
    ///
    /// # Errors
    /// No thread can be had.
    pub(crate) fn start(config: VenueConfig, token: Option<Token>) -> io::Result<Arc<Self>> {
        let session = Arc::new(Self { config, sent: Counter::default(), link: Mutex::default() });
        let keeping = Arc::clone(&session);
        thread::Builder::new().name(format!("venue-{}", session.name())).spawn(move || keeping.keep(token.as_ref()))?;
        Ok(session)
    }

    /// The venue's name.
    pub(crate) fn name(&self) -> &'static str {
        self.config.venue.0.name
    }

    /// Whether the venue has welcomed us and not gone since.
    pub(crate) fn is_up(&self) -> bool {
        self.link().stream.is_some()
    }

    /// Sends a child of an order. What becomes of it arrives at `reports`.
    pub(crate) fn send(&self, id: u64, order: &Order, child: Child, reports: &Sender<Report>) {
        let request = VenueRequest::Child {
            id,
            symbol: order.symbol.clone(),
            side: order.side,
            quantity: child.quantity,
            limit_price: order.limit_price,
            retail: child.retail,
        };
        let mut link = self.link();
        let Link { stream, working } = &mut *link;
        let Some(stream) = stream else {
            // The receiver is the thread that calls us: it is there.
            let reason = format!("{} is not connected", self.name());
            let _ = reports.send(Report::Ended { quantity: child.quantity, reason });
            return;
        };
        working.insert(id, Working { open: child.quantity, reports: reports.clone() });
        self.sent.one();
        if stream.write_all(wire::line(&request).as_bytes()).is_err() {
            // Part of a line may be out: the session is of no more use. The reading thread wakes up and ends it.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn keep(&self, token: Option<&Token>) {
        let mut last = String::new();
        loop {
            let Err(problem) = self.hold(token);
            self.lose(&problem);
            // A venue that stays away is said once, not four times a second.
            if problem != last {
                note!("router: venue {}: {problem}", self.name());
                last = problem;
            }
            thread::sleep(RETRY);
        }
    }

    /// One session, from the connection to its end.
    fn hold(&self, token: Option<&Token>) -> Result<Infallible, String> {
        let text = |error: io::Error| error.to_string();
        let mut stream = TcpStream::connect_timeout(&self.config.address, PATIENCE).map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(text)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;

        let token = token.map(|token| token.reveal().to_owned());
        let logon = VenueRequest::Logon { wire_epoch: WIRE_EPOCH, token };
        stream.write_all(wire::line(&logon).as_bytes()).map_err(text)?;
        let mut replies = Lines::new(stream.try_clone().map_err(text)?).map(|line| match line {
            Ok(line) => wire::parse(&line),
            Err(error) => Err(error.to_string()),
        });
        match replies.next().transpose()? {
            Some(VenueReply::Welcome { venue }) if venue == self.name() => {}
            Some(VenueReply::Welcome { venue }) => return Err(format!("the venue there calls itself {venue:?}")),
            Some(VenueReply::Error { reason }) => return Err(reason),
            _ => return Err("no welcome".to_owned()),
        }
        stream.set_read_timeout(None).map_err(text)?;
        self.link().stream = Some(stream);
        note!("router: venue {}: connected", self.name());

        for reply in replies {
            self.report(reply?)?;
        }
        Err("the venue closed the session".to_owned())
    }

    /// Hands a report to the order it is about. An error ends the session: a venue that reports what we did not send
    /// cannot be believed about the rest either.
    fn report(&self, reply: VenueReply) -> Result<(), String> {
        let (id, filled, reason) = match reply {
            VenueReply::Fill { id, quantity } => (id, Some(quantity), String::new()),
            VenueReply::Reject { id, reason } => (id, None, format!("{}: {reason}", self.name())),
            VenueReply::Error { reason } => return Err(reason),
            VenueReply::Welcome { .. } | VenueReply::Stats { .. } => return Err("a reply out of turn".to_owned()),
        };
        let mut link = self.link();
        let working = link.working.get_mut(&id).ok_or_else(|| format!("a report for unknown child {id}"))?;
        let quantity = filled.unwrap_or(working.open);
        working.open = working
            .open
            .checked_sub(quantity)
            .ok_or_else(|| format!("a fill of {quantity} for child {id}, which has {} open", working.open))?;
        let report = match filled {
            Some(quantity) => Report::Fill { venue: self.name(), quantity },
            None => Report::Ended { quantity, reason },
        };
        // The order's thread is gone only when the process is about to be.
        let _ = working.reports.send(report);
        if working.open == 0 {
            link.working.remove(&id);
        }
        Ok(())
    }

    /// Ends what was open: whether it was filled is not known, so it is not sent again.
    fn lose(&self, problem: &str) {
        let mut link = self.link();
        link.stream = None;
        for Working { open, reports } in link.working.drain().map(|(_, working)| working) {
            let reason = format!("{}: outcome unknown, {problem}", self.name());
            let _ = reports.send(Report::Ended { quantity: open, reason });
        }
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
