//! Tells a supervisor, where there is one, that the router is ready or stopping: the `sd_notify` datagram protocol.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use routing::note;

/// Sends a state such as `READY=1` to the socket that `NOTIFY_SOCKET` names. Without one, does nothing; a supervisor
/// that cannot be reached is noted.
pub(crate) fn notify(state: &str) {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else { return };
    let send = || -> io::Result<usize> {
        // A leading @ stands for the NUL byte of an abstract socket's name.
        let address = match name.as_bytes() {
            [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name)?,
            _ => SocketAddr::from_pathname(&name)?,
        };
        UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)
    };
    if let Err(error) = send() {
        note!("router: NOTIFY_SOCKET: {error}");
    }
}
