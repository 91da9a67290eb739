//! The engines, which turn targets that are due into pings: the kernel's, where an interface can, and the sockets', everywhere.
//!
//! They know no verdict: they tell which pings left. The sockets also write the pongs that come up to them into their rows, by
//! the rules that the kernel's receiver has too.

mod beats;
mod kernel;
mod ports;
mod pumps;
mod reading;
mod socket;

pub use self::{
    beats::{Arrival, BeatSockets},
    kernel::KernelEngine,
    pumps::{PumpError, Pumps},
    socket::{BATCH, SocketEngine},
};
