//! Pings that left, and those in flight: sent, and not yet at their timeout.

use std::collections::VecDeque;

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

/// One ping in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flight {
    /// The target's number.
    pub target: u32,
    /// The ping's sequence number.
    pub seq: u32,
    /// When it was sent, ns.
    pub at: u64,
}

/// A queue for each timeout: pings of one timeout end in the order in which they were sent.
#[derive(Debug, Default)]
pub struct Flights {
    queues: Vec<(u64, VecDeque<Flight>)>,
}

impl Flights {
    /// Notes that a ping was sent which ends `timeout` (ns) later.
    pub fn push(&mut self, timeout: u64, flight: Flight) {
        let at = self
            .queues
            .iter()
            .position(|(t, _)| *t == timeout)
            .unwrap_or_else(|| {
                self.queues.push((timeout, VecDeque::new()));
                self.queues.len() - 1
            });
        self.queues[at].1.push_back(flight);
    }

    /// The next ping whose timeout ended at `now` or before.
    pub fn pop_ended(&mut self, now: u64) -> Option<Flight> {
        self.queues
            .iter_mut()
            .find_map(|(timeout, queue)| queue.pop_front_if(|flight| flight.at + *timeout <= now))
    }

    /// When the next ping ends, ns.
    pub fn next_end(&self) -> Option<u64> {
        self.queues
            .iter()
            .filter_map(|(timeout, queue)| queue.front().map(|flight| flight.at + timeout))
            .min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Each ping ends once, not before its timeout and, asked then, not after.
        #[test]
        fn each_ends_at_its_timeout(sent in proptest::collection::vec((0..3u64, 0..20u64), 1..200)) {
            let mut flights = Flights::default();
            let mut now = 0;
            let mut open = Vec::new();
            for (seq, (timeout, step)) in sent.into_iter().enumerate() {
                now += step;
                let timeout = timeout * 30 + 10;
                flights.push(timeout, Flight { target: 0, seq: seq as u32, at: now });
                open.push((seq as u32, now + timeout));
                let next = open.iter().map(|&(_, end)| end).min();
                prop_assert_eq!(flights.next_end(), next);
                while let Some(flight) = flights.pop_ended(now) {
                    let at = open.iter().position(|&(seq, _)| seq == flight.seq).unwrap();
                    prop_assert!(open.swap_remove(at).1 <= now);
                }
                prop_assert!(open.iter().all(|&(_, end)| end > now));
            }
        }
    }
}
