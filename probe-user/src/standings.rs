//! Each target's verdict, written by the prober alone, read by everyone: metrics, page, terminal.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::core::verdict::{Standing, State};

/// The verdict on a target, by pings and beats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What it is held to be.
    pub state: State,
    /// Whether its beats arrive; `None` if it has no services.
    pub beats: Option<bool>,
}

impl Verdict {
    /// The bits of a standing's word that hold the verdict: the state by pings needs but three of its eight.
    const BITS: u64 = 0xf8;

    const fn to_bits(self) -> u64 {
        let beats = match self.beats {
            None => 0,
            Some(false) => 1 << 7,
            Some(true) => 1 << 7 | 1 << 3,
        };
        (self.state as u64) << 4 | beats
    }

    const fn from_bits(bits: u64) -> Self {
        Self {
            state: State::from_number((bits >> 4 & 7) as u8),
            beats: match (bits >> 7 & 1, bits >> 3 & 1) {
                (0, _) => None,
                (_, arrive) => Some(arrive != 0),
            },
        }
    }
}

/// What is known of each target, by its number.
#[derive(Debug)]
pub struct Standings(Box<[Entry]>);

#[derive(Debug, Default)]
struct Entry {
    /// By pings alone, with the verdict among its bits.
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

    /// How many targets there is room for.
    pub fn room(&self) -> u32 {
        self.0.len() as u32
    }

    /// The standing of a target, by pings alone.
    pub fn get(&self, target: u32) -> Standing {
        Standing::from_bits(self.word(target) & !Verdict::BITS)
    }

    /// The verdict on a target, by pings and beats.
    pub fn verdict(&self, target: u32) -> Verdict {
        Verdict::from_bits(self.word(target))
    }

    fn word(&self, target: u32) -> u64 {
        self.0[target as usize].standing.load(Relaxed)
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

    /// Stores a target's new standing and the verdict. For the prober alone.
    pub fn set(&self, target: u32, standing: Standing, verdict: Verdict) {
        let word = standing.to_bits() | verdict.to_bits();
        self.0[target as usize].standing.store(word, Relaxed);
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
    use crate::core::verdict::{Outcome, Policy};

    #[test]
    fn the_verdict_stands_beside_the_standing() {
        let standings = Standings::new(1);
        let mut standing = Standing::default();
        for outcome in [Outcome::Good, Outcome::Late, Outcome::Missed] {
            standing = standing.after(outcome, Policy::default());
            for state in State::ALL {
                for beats in [None, Some(false), Some(true)] {
                    let verdict = Verdict { state, beats };
                    standings.set(0, standing, verdict);
                    assert_eq!(standings.get(0), standing);
                    assert_eq!(standings.verdict(0), verdict);
                }
            }
        }
        standings.clear(0);
        assert_eq!(standings.verdict(0), Verdict::default());
    }

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
