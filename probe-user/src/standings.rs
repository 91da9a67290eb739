//! Each target's verdict, written by the prober alone, read by everyone: metrics, page, terminal.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::core::verdict::Standing;

/// What is known of each target, by its number.
#[derive(Debug)]
pub struct Standings(Box<[Entry]>);

#[derive(Debug, Default)]
struct Entry {
    standing: AtomicU64,
    /// Pings that left so far. The row's own count goes down again when a ping that was opened cannot be sent.
    pings: AtomicU32,
    /// Late pongs so far.
    late: AtomicU32,
    /// The host's boot, as its pongs told it last; 0 = not known.
    boot: AtomicU32,
    /// How often that changed.
    boots: AtomicU32,
}

impl Standings {
    /// Room for `targets` targets, each pending.
    pub fn new(targets: u32) -> Self {
        Self((0..targets).map(|_| Entry::default()).collect())
    }

    /// The standing of a target.
    pub fn get(&self, target: u32) -> Standing {
        Standing::from_bits(self.0[target as usize].standing.load(Relaxed))
    }

    /// Pings of a target that left so far.
    pub fn pings(&self, target: u32) -> u32 {
        self.0[target as usize].pings.load(Relaxed)
    }

    /// Late pongs of a target so far.
    pub fn late(&self, target: u32) -> u32 {
        self.0[target as usize].late.load(Relaxed)
    }

    /// How often a target's host has booted anew so far.
    pub fn boots(&self, target: u32) -> u32 {
        self.0[target as usize].boots.load(Relaxed)
    }

    /// Stores a target's new standing. For the prober alone.
    pub fn set(&self, target: u32, standing: Standing) {
        self.0[target as usize]
            .standing
            .store(standing.to_bits(), Relaxed);
    }

    /// Counts a ping that left. For the prober alone.
    pub fn count_ping(&self, target: u32) {
        self.0[target as usize].pings.fetch_add(1, Relaxed);
    }

    /// Counts a late pong. For the prober alone.
    pub fn count_late(&self, target: u32) {
        self.0[target as usize].late.fetch_add(1, Relaxed);
    }

    /// Notes which boot of its host (0 = not known) a target's pong told of. For the prober alone.
    pub fn see_boot(&self, target: u32, boot: u32) {
        let entry = &self.0[target as usize];
        let before = entry.boot.load(Relaxed);
        if boot == 0 || boot == before {
            return;
        }
        entry.boot.store(boot, Relaxed);
        if before != 0 {
            entry.boots.fetch_add(1, Relaxed);
        }
    }

    /// Forgets a target: its number may be given to another. For the prober alone.
    pub fn clear(&self, target: u32) {
        let entry = &self.0[target as usize];
        entry.standing.store(Standing::default().to_bits(), Relaxed);
        entry.pings.store(0, Relaxed);
        for word in [&entry.late, &entry.boot, &entry.boots] {
            word.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_counted_when_it_is_another_than_before() {
        let standings = Standings::new(1);
        let boots = [0, 7, 7, 0, 7, 9, 0, 9, 7].map(|boot| {
            standings.see_boot(0, boot);
            standings.boots(0)
        });
        assert_eq!(boots, [0, 0, 0, 0, 0, 1, 1, 1, 2]);
        standings.clear(0);
        standings.see_boot(0, 5);
        assert_eq!(standings.boots(0), 0, "the first of another target");
    }
}
