//! The order log: one JSON line for each parent that is taken and each that is done, appended to `orders.log` in the
//! state directory. For people who look into a day afterwards: nothing is ever read back, and a line that cannot be
//! written is noted on standard error and stops no order.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use routing::note;
use routing::wire::{self, ClientReply};

/// Where lines go, if anywhere.
#[derive(Debug)]
pub(crate) struct Journal(Option<Mutex<File>>);

impl Journal {
    /// Opens the log in that directory; no directory, no log.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub(crate) fn open(directory: Option<&Path>) -> io::Result<Self> {
        let open = |directory: &Path| OpenOptions::new().create(true).append(true).open(directory.join("orders.log"));
        Ok(Self(directory.map(open).transpose()?.map(Mutex::new)))
    }

    /// Appends a message, as the client got it.
    pub(crate) fn append(&self, message: &ClientReply<'_>) {
        let Some(file) = &self.0 else { return };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(wire::line(message).as_bytes()) {
            note!("router: orders.log: {error}");
        }
    }
}
