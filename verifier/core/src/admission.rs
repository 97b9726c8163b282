//! How documents fit together and fit this host (section 7): the state machine of `update`, `run`, `halt` and `adopt`.
//!
//! Pure: bytes and a time in, a decision out. The types are the order of the steps, so that none can be left out:
//! [`Session`] (trust) → [`Session::head`] → [`WithHead::index`] → [`Chain`] → [`Chain::assign`] → [`Chain::permit`].
//! Nothing here stores anything; [`Chain::advance`] gives the state to store when everything else has passed.

mod chain;
mod halts;
mod session;
mod start;
mod state;
pub use chain::Chain;
pub use halts::{Latching, Listed, describe};
pub use session::{Session, WithHead};
pub use start::Permit;
pub use state::{Active, Followed, HeadMark, Identity, State};

/// Why the documents are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// To change what the host will run: an expired head is refused.
    Change,
    /// To start what is staged: [`Chain::permit`] judges the head's age.
    Start,
}
