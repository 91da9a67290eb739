//! A fleet of any size on this very machine: two network namespaces with a wire between them, the real monitor in the one, in
//! the other an XDP program that answers for every host as its part has it.

pub mod course;
pub mod fleet;
pub mod judge;
mod late;
mod monitor;
mod namespace;
mod report;
mod scrape;
mod usage;
