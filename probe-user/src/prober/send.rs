//! Pings: those that are due, by the engine that can send them.

use super::{Prober, fetch, seconds};
use crate::{
    clock,
    core::verdict::Outcome,
    engine::{BATCH, PumpError},
    flights::{Departure, Flight},
};

/// A ping that could not leave within this of its time is not sent at all: a burst would only distort what is measured.
const MOST_LAG: u64 = 200_000_000;

/// Pings that the kernel is handed at a time: few enough that the time before is that of all.
const SHARE: usize = 1024;

/// Why pings are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// They are due.
    Schedule,
    /// Their targets seem silent.
    Confirmation,
}

impl Prober {
    /// Sends every ping that is due.
    pub(super) fn ping(&mut self) -> Result<(), PumpError> {
        let now = clock::monotonic();
        let mut due = std::mem::take(&mut self.due);
        let (mut first, mut too_late) = (None, Vec::new());
        self.schedule.due(now, |target, at| {
            first.get_or_insert(at);
            if now.saturating_sub(at) > MOST_LAG {
                too_late.push(target);
            } else {
                due.push(target);
            }
        });
        if let Some(first) = first {
            self.vitals.lag.observe(seconds(now.saturating_sub(first)));
        }
        for target in too_late {
            self.unsent(target, now);
        }
        for share in due.chunks(SHARE) {
            self.send(share, Occasion::Schedule)?;
        }
        due.clear();
        self.due = due;
        Ok(())
    }

    /// Sends a ping to each of these targets: by the kernel what it can send, the rest by sockets.
    pub(super) fn send(&mut self, targets: &[u32], occasion: Occasion) -> Result<(), PumpError> {
        let rows = self.live.table.rows();
        let standings = &self.live.standings;
        let (mut unsent, mut nowhere) = (Vec::new(), Vec::new());
        let mut depart = |Departure { target, seq, left }, at| {
            let row = &rows[target as usize];
            if left {
                let class = &self.classes[usize::from(row.class())];
                standings.count_ping(target);
                let flight = Flight { target, seq, at };
                self.flights.push(class.timeout_ns.into(), flight);
                if occasion == Occasion::Schedule {
                    self.confirmations.watch(row.class(), flight);
                }
            } else {
                row.take_back(seq);
                unsent.push(target);
            }
        };
        let mut rest = targets.to_vec();
        if let Some(kernel) = &mut self.kernel {
            fetch(&self.live, targets.iter().copied());
            let at = clock::monotonic();
            kernel.send(rows, &mut rest, |departure| depart(departure, at))?;
        }
        for batch in rest.chunks(BATCH) {
            for &target in batch {
                let row = &rows[target as usize];
                if !self.sockets.stage(target, row, &self.settings) {
                    nowhere.push(target);
                }
            }
            let at = clock::monotonic();
            self.sockets.flush(|departure| depart(departure, at));
        }
        let now = clock::monotonic();
        for target in unsent.into_iter().chain(nowhere) {
            self.unsent(target, now);
        }
        Ok(())
    }

    fn unsent(&mut self, number: u32, now: u64) {
        self.vitals.unsent.inc();
        let class = self.live.table.rows()[number as usize].class();
        self.judge(number, class, Outcome::Unsent, now);
    }
}
