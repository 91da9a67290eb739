//! What was received, counted: by the daemon's sockets here, by the kernel in its own maps. Both are a [`Source`].

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use probe_common::{
    beat::{BeatFate, BeatFates},
    maps::{Fate, Fates, Histogram, RTT_BOUNDS_NS},
};

/// Pongs and beats by fate, and round-trip times by group.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Pongs: `[fate as usize]`.
    pub fates: Fates,
    /// Beats: `[fate as usize]`.
    pub beats: BeatFates,
    /// By the number of the group.
    pub rtt: Vec<Histogram>,
}

impl Received {
    /// Adds what another source counted.
    pub fn add(&mut self, other: &Self) {
        for (to, count) in self.fates.iter_mut().zip(other.fates) {
            *to += count;
        }
        for (to, count) in self.beats.iter_mut().zip(other.beats) {
            *to += count;
        }
        if self.rtt.len() < other.rtt.len() {
            self.rtt.resize_with(other.rtt.len(), Histogram::default);
        }
        for (to, histogram) in self.rtt.iter_mut().zip(&other.rtt) {
            to.add(histogram);
        }
    }
}

/// Something that counts what it receives.
pub trait Source: Send + Sync {
    /// The counts since the monitor's start.
    fn received(&self) -> Received;
}

/// The counts of what came up to the daemon's sockets.
#[derive(Debug)]
pub struct Tally {
    fates: [AtomicU64; Fate::ALL.len()],
    beats: [AtomicU64; BeatFate::ALL.len()],
    rtt: Box<[GroupTally]>,
}

#[derive(Debug, Default)]
struct GroupTally {
    buckets: [AtomicU64; RTT_BOUNDS_NS.len() + 1],
    sum_ns: AtomicU64,
}

impl Tally {
    /// Nothing counted yet, with room for `groups` groups.
    pub fn new(groups: usize) -> Self {
        Self {
            fates: Default::default(),
            beats: Default::default(),
            rtt: (0..groups).map(|_| GroupTally::default()).collect(),
        }
    }

    /// Counts a pong that did not count for its target.
    pub fn count(&self, fate: Fate) {
        self.fates[fate as usize].fetch_add(1, Relaxed);
    }

    /// Counts a beat.
    pub fn count_beat(&self, fate: BeatFate) {
        self.beats[fate as usize].fetch_add(1, Relaxed);
    }

    /// Counts the round-trip time of a pong of `group`.
    pub fn observe(&self, group: u32, rtt_ns: u32) {
        if let Some(tally) = self.rtt.get(group as usize) {
            let bucket = RTT_BOUNDS_NS.partition_point(|&bound| bound < rtt_ns);
            tally.buckets[bucket].fetch_add(1, Relaxed);
            tally.sum_ns.fetch_add(rtt_ns.into(), Relaxed);
        }
    }
}

impl Source for Tally {
    fn received(&self) -> Received {
        let load = |count: &AtomicU64| count.load(Relaxed);
        Received {
            fates: self.fates.each_ref().map(load),
            beats: self.beats.each_ref().map(load),
            rtt: self
                .rtt
                .iter()
                .map(|tally| Histogram {
                    buckets: tally.buckets.each_ref().map(load),
                    sum_ns: load(&tally.sum_ns),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counts_as_the_kernel_does(times: Vec<u32>) {
            let tally = Tally::new(2);
            let mut kernel = Histogram::default();
            for rtt in times {
                tally.observe(1, rtt);
                kernel.observe(rtt);
            }
            prop_assert_eq!(tally.received().rtt, vec![Histogram::default(), kernel]);
        }
    }
}
