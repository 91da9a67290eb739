//! What Prometheus scrapes: the fleet as the snapshot has it, written straight as text, and the engine's own vitals.

mod engine;
mod errno;
pub mod exposition;
mod register;
mod rejection;
mod state_changes;
mod vitals;

use std::{
    io::{self, Write},
    sync::Arc,
};

pub use self::{
    engine::{Engine, Receive, Transmit},
    register::register,
    rejection::Rejection,
    vitals::Vitals,
};
use crate::{
    snapshot::Live,
    tally::{Received, Source},
};

/// All that a scrape reads.
pub struct Exporter {
    /// Targets and verdicts.
    pub live: Arc<Live>,
    /// The engine's own health.
    pub vitals: Arc<Vitals>,
    /// Whoever counts pongs: the sockets, and the kernel where XDP is attached.
    pub sources: Vec<Arc<dyn Source>>,
}

impl Exporter {
    /// Writes every metric in the text format.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut received = Received::default();
        for source in &self.sources {
            received.add(&source.received());
        }
        exposition::write(out, &self.live.snapshot(), &received, &self.vitals)
    }
}

#[cfg(test)]
pub mod tests;
