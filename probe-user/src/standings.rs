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

    /// Forgets a target: its number may be given to another. For the prober alone.
    pub fn clear(&self, target: u32) {
        let entry = &self.0[target as usize];
        entry.standing.store(Standing::default().to_bits(), Relaxed);
        entry.pings.store(0, Relaxed);
        entry.late.store(0, Relaxed);
    }
}
