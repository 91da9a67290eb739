//! The engines, which turn targets that are due into pings: the kernel's, where an interface can, and the sockets', everywhere.
//!
//! They know no verdict: they tell which pings left. The sockets also write the pongs that come up to them into their rows, by
//! the rules that the kernel's receiver has too.

mod kernel;
mod ports;
mod pumps;
mod socket;

pub use self::{
    kernel::KernelEngine,
    pumps::{PumpError, Pumps},
    socket::{BATCH, SocketEngine},
};

/// What became of a ping that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The target's number.
    pub target: u32,
    /// The ping's sequence number.
    pub seq: u32,
    /// Whether it left.
    pub left: bool,
}
