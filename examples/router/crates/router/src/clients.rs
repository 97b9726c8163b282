//! The door for parent orders: a TCP server, one thread a client, one JSON object a line. Nothing a client sends ends
//! the process or another client's session.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use routing::lines::Lines;
use routing::note;
use routing::wire::{self, ClientReply, ClientRequest};

use crate::desk::Desk;

/// The most clients at once.
const MAX_CLIENTS: usize = 64;
/// How long a client may take to make room for a reply. One that does not read is told nothing more.
const PATIENCE: Duration = Duration::from_secs(1);

/// The writing half of a client's connection. Orders go on when it is gone.
#[derive(Debug)]
pub(crate) struct Client(Mutex<Option<TcpStream>>);

impl Client {
    /// Sends a line, if the client is still there.
    pub(crate) fn reply(&self, reply: &ClientReply<'_>) {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written = stream.as_mut().map(|stream| stream.write_all(wire::line(reply).as_bytes()));
        if matches!(written, Some(Err(_))) {
            // Part of a line may be out: anything after it would be garbage.
            *stream = None;
        }
    }
}

/// Accepts clients until the process ends.
pub(crate) fn serve(listener: &TcpListener, desk: &Arc<Desk>) {
    // Each client's thread holds one clone: the count of clients is the count of clones.
    let seats = Arc::new(());
    for stream in listener.incoming() {
        let served = stream.and_then(|stream| admit(stream, desk, &seats));
        if let Err(error) = served {
            desk.counters.errors.one();
            note!("router: client: {error}");
            // Out of descriptors or threads, most likely: do not spin on it.
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn admit(stream: TcpStream, desk: &Arc<Desk>, seats: &Arc<()>) -> std::io::Result<()> {
    if desk.is_closing() {
        return Ok(());
    }
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let client = Arc::new(Client(Mutex::new(Some(stream.try_clone()?))));
    if Arc::strong_count(seats) > MAX_CLIENTS {
        desk.counters.errors.one();
        client.reply(&ClientReply::Error { reason: "too many clients".to_owned() });
        return Ok(());
    }
    let (desk, seat) = (Arc::clone(desk), Arc::clone(seats));
    thread::Builder::new().name("client".to_owned()).spawn(move || {
        listen(&stream, &desk, &client);
        drop(seat);
    })?;
    Ok(())
}

/// Reads orders until the client has sent its last. Replies to orders being worked still go out after that.
fn listen(stream: &TcpStream, desk: &Arc<Desk>, client: &Arc<Client>) {
    let wrong = |reason| {
        desk.counters.errors.one();
        client.reply(&ClientReply::Error { reason });
    };
    for line in Lines::new(stream) {
        match line {
            Ok(line) => match wire::parse(&line) {
                Ok(ClientRequest::Order(order)) => desk.submit(order, client),
                // The line feed was found, so the next line is a line again.
                Err(reason) => wrong(reason),
            },
            Err(error) => return wrong(error.to_string()),
        }
    }
}
