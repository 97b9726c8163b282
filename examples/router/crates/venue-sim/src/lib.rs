//! A tiny venue: takes child orders over line-delimited JSON, fills each of them in full after a delay, and counts. A
//! session that ends takes its resting orders with it, as a venue with cancel-on-disconnect does.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use routing::lines::Lines;
use routing::note;
use routing::wire::{self, VenueReply, VenueRequest};

/// How a venue behaves.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Its name, which a router compares with its configuration.
    pub name: String,
    /// How long a child rests before it is filled.
    pub delay: Duration,
    /// The token that a logon must carry; none: any logon is welcome.
    pub token: Option<String>,
}

/// A running venue.
#[derive(Debug)]
pub struct Venue {
    options: Options,
    logons: AtomicU64,
    children: AtomicU64,
    retail: AtomicU64,
    shares: AtomicU64,
}

impl Venue {
    /// Starts a venue on that address (port 0: any free one), and returns it with its real address. It runs until the
    /// process ends.
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn start(listen: SocketAddr, options: Options) -> io::Result<(Arc<Self>, SocketAddr)> {
        let listener = TcpListener::bind(listen)?;
        let address = listener.local_addr()?;
        let venue = Arc::new(Self {
            options,
            logons: AtomicU64::new(0),
            children: AtomicU64::new(0),
            retail: AtomicU64::new(0),
            shares: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&venue);
        thread::spawn(move || accepting.accept(&listener));
        Ok((venue, address))
    }

    /// What has been counted so far.
    pub fn stats(&self) -> VenueReply {
        VenueReply::Stats {
            venue: self.options.name.clone(),
            logons: self.logons.load(Relaxed),
            children: self.children.load(Relaxed),
            retail: self.retail.load(Relaxed),
            shares: self.shares.load(Relaxed),
        }
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            match stream {
                Ok(stream) => {
                    let venue = Arc::clone(self);
                    thread::spawn(move || venue.serve(&stream));
                }
                Err(error) => {
                    note!("{}: accept: {error}", self.options.name);
                    // Out of descriptors, most likely: do not spin on it.
                    thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }

    fn serve(&self, stream: &TcpStream) {
        let _ = stream.set_nodelay(true);
        let out = Mutex::new(stream);
        let (resting, fills) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| fill(&out, fills));
            if let Err(reason) = self.read(stream, &out, resting) {
                say(&out, &VenueReply::Error { reason });
            }
            let _ = stream.shutdown(std::net::Shutdown::Both);
        });
    }

    /// Reads requests until the peer is gone. Dropping `resting` at the end is what ends the filling thread.
    fn read(
        &self,
        stream: &TcpStream,
        out: &Mutex<&TcpStream>,
        resting: Sender<(Instant, VenueReply)>,
    ) -> Result<(), String> {
        let mut logged_on = false;
        for line in Lines::new(stream) {
            match wire::parse(&line.map_err(|error| error.to_string())?)? {
                VenueRequest::Stats {} => say(out, &self.stats()),
                VenueRequest::Logon { .. } if logged_on => return Err("a second logon".to_owned()),
                VenueRequest::Logon { token, .. } => {
                    if self.options.token.is_some() && token != self.options.token {
                        return Err("the token is not known here".to_owned());
                    }
                    logged_on = true;
                    self.logons.fetch_add(1, Relaxed);
                    say(out, &VenueReply::Welcome { venue: self.options.name.clone() });
                }
                VenueRequest::Child { .. } if !logged_on => return Err("a child order before the logon".to_owned()),
                VenueRequest::Child { id, quantity: 0, .. } => {
                    say(out, &VenueReply::Reject { id, reason: "no shares".to_owned() });
                }
                VenueRequest::Child { id, quantity, retail, .. } => {
                    self.children.fetch_add(1, Relaxed);
                    self.retail.fetch_add(u64::from(retail), Relaxed);
                    self.shares.fetch_add(quantity, Relaxed);
                    let _ = resting.send((Instant::now() + self.options.delay, VenueReply::Fill { id, quantity }));
                }
            }
        }
        Ok(())
    }
}

/// Sends each fill when it is due. All rest equally long, so the first to come is the first to be due.
fn fill(out: &Mutex<&TcpStream>, fills: Receiver<(Instant, VenueReply)>) {
    for (due, reply) in fills {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        say(out, &reply);
    }
}

/// Sends a line. A peer that is gone is noticed by the reader.
fn say(out: &Mutex<&TcpStream>, reply: &VenueReply) {
    let mut stream = *out.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = stream.write_all(wire::line(reply).as_bytes());
}
