//! What decides: when a ping is due and what a target's answers mean.
//!
//! Pure: no I/O, no clock, no async. Time is always an argument, in ns of the monotonic clock.

pub mod confirm;
pub mod host;
pub mod path;
pub mod schedule;
pub mod session;
pub mod verdict;
