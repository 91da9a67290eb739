//! A fleet of any size on this very machine: two network namespaces with a wire between them, the real monitor in the one, in
//! the other an XDP program that answers for every host as its part has it.

pub mod fleet;
pub mod judge;
pub mod late;
pub mod monitor;
pub mod namespace;
pub mod report;
pub mod scrape;
pub mod usage;
