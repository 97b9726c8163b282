//! What a smart order router decides, without the sockets: which orders are taken, how a parent is split into children,
//! when it is done, and what a flag means. Everything here is a function of its arguments; nothing reads a clock or a file.

pub mod account;
pub mod flags;
pub mod lines;
pub mod log;
pub mod order;
pub mod plan;
pub mod price;
pub mod split;
pub mod strategy;
pub mod venue;
pub mod wire;

pub use account::Account;
pub use flags::Flag;
pub use order::{Order, Refusal};
pub use price::Price;
pub use split::{Child, Slot};
