//! The pings that a pump hands to the transmit program, and what became of each: one batch a CPU.
//!
//! The pump writes the targets and runs the program, which takes them one by one; both on one CPU, so there is no lock. The
//! program notes the ping that it opened for each; two programs at the kernel's tracepoints then note what the
//! interface answered, so that a ping that never left is known for one:
//!
//! ```text
//! due       a b c d e f g h              e has no next hop: it got no ping
//!                         ^ taken
//! pings     a b c d f g
//!               ^ settled ^ opened       the interface has answered for a and b so far
//! ```

use core::{array, sync::atomic::Ordering::Relaxed};

use crate::word::AtomicU32;

/// Targets that a batch has room for: as many as make it four pages.
pub const ROOM: usize = 1020;

/// In place of a target: the frame leaves as user space made it, to see whether the interface takes it.
pub const TRIAL: u32 = u32::MAX;

/// Bytes of metadata before the frames that a pump has the program run over: by them it knows a live frame.
pub const LIVE_MARK: usize = 4;

/// The most frames that the kernel hands to an interface at a time (`DEV_MAP_BULK_SIZE` of net/xdp.h).
const BULK: u32 = 16;

/// One CPU's pings.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Batch {
    interface: AtomicU32,
    targets: AtomicU32,
    taken: AtomicU32,
    opened: AtomicU32,
    settled: AtomicU32,
    refusal: AtomicU32,
    reserved: [u32; 10],
    due: [AtomicU32; ROOM],
    pings: [Ping; ROOM],
}

const _: () = assert!(size_of::<Batch>() == 4 * 4096);

/// A ping that was opened.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Ping {
    target: AtomicU32,
    seq: AtomicU32,
    /// Why the interface dropped it: an errno, 0 = it did not.
    error: AtomicU32,
}

/// What became of a target of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The ping of this sequence number left.
    Left(u32),
    /// The ping of this sequence number was opened, but the interface dropped it, for this errno.
    Dropped(u32, u32),
    /// No ping was opened.
    Untouched,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            interface: AtomicU32::default(),
            targets: AtomicU32::default(),
            taken: AtomicU32::default(),
            opened: AtomicU32::default(),
            settled: AtomicU32::default(),
            refusal: AtomicU32::default(),
            reserved: [0; 10],
            due: array::from_fn(|_| AtomicU32::default()),
            pings: array::from_fn(|_| Ping::default()),
        }
    }
}

/// The transmit program's side.
impl Batch {
    /// Index of the interface that all leave by.
    #[inline(always)]
    pub fn interface(&self) -> u32 {
        self.interface.load(Relaxed)
    }

    /// The next target, if there is one left.
    #[inline(always)]
    pub fn take(&self) -> Option<u32> {
        let taken = self.taken.load(Relaxed);
        if taken >= self.targets.load(Relaxed) {
            return None;
        }
        let due = self.due.get(taken as usize)?;
        self.taken.store(taken + 1, Relaxed);
        Some(due.load(Relaxed))
    }

    /// Where the next ping is to be noted.
    #[inline(always)]
    pub fn free(&self) -> Option<&Ping> {
        self.pings.get(self.opened.load(Relaxed) as usize)
    }

    /// Notes a ping in the free place, just before its frame is handed to the interface.
    #[inline(always)]
    pub fn note(&self, free: &Ping, target: u32, seq: u32) {
        free.target.store(target, Relaxed);
        free.seq.store(seq, Relaxed);
        free.error.store(0, Relaxed);
        self.opened.store(self.opened.load(Relaxed) + 1, Relaxed);
    }
}

/// The tracepoints' side. They hear of others' frames too, but never while one of this batch is on its way: from the program
/// to the interface nothing else that hands over frames runs on the CPU.
impl Batch {
    /// The interface took `sent` frames and dropped as many as `dropped` after them, for `errno`.
    #[inline(always)]
    pub fn settle(&self, sent: u32, dropped: u32, errno: u32) {
        let settled = self.settled.load(Relaxed);
        let on_the_way = self.opened.load(Relaxed).wrapping_sub(settled);
        if sent > BULK || dropped > BULK || sent + dropped > on_the_way {
            return;
        }
        for i in 0..BULK {
            if i < dropped
                && let Some(ping) = self.pings.get((settled + sent + i) as usize)
            {
                ping.error.store(errno, Relaxed);
            }
        }
        self.settled.store(settled + sent + dropped, Relaxed);
    }

    /// The newest ping could not be handed to the interface: target and sequence number of what is to be taken back.
    #[inline(always)]
    pub fn refuse(&self, errno: u32) -> Option<(u32, u32)> {
        let newest = self.opened.load(Relaxed).wrapping_sub(1);
        let ping = self.pings.get(newest as usize)?;
        if newest < self.settled.load(Relaxed) {
            return None;
        }
        self.opened.store(newest, Relaxed);
        self.refusal.store(errno, Relaxed);
        Some((ping.target.load(Relaxed), ping.seq.load(Relaxed)))
    }
}

/// The pump's side.
impl Batch {
    /// Begins anew with as many of `targets` as there is [`ROOM`] for.
    pub fn fill(&self, interface: u32, targets: &[u32]) {
        for word in [&self.taken, &self.opened, &self.settled, &self.refusal] {
            word.store(0, Relaxed);
        }
        self.interface.store(interface, Relaxed);
        for (to, target) in self.due.iter().zip(targets) {
            to.store(*target, Relaxed);
        }
        self.targets.store(targets.len().min(ROOM) as u32, Relaxed);
    }

    /// Ends the batch: how many targets the program has taken. It takes no more.
    pub fn close(&self) -> u32 {
        self.targets.store(0, Relaxed);
        self.taken.load(Relaxed)
    }

    /// Why a ping could not be handed to the interface: an errno, 0 = all were.
    pub fn refusal(&self) -> u32 {
        self.refusal.load(Relaxed)
    }

    /// Whether the interface has answered for every ping.
    pub fn is_settled(&self) -> bool {
        self.settled.load(Relaxed) == self.opened.load(Relaxed)
    }

    /// What became of each of `targets`, with which the batch was filled.
    pub fn outcomes<'a>(&'a self, targets: &'a [u32]) -> impl Iterator<Item = (u32, Outcome)> + 'a {
        let opened = self.opened.load(Relaxed) as usize;
        // The pings are in the order of the targets that got one.
        let mut pings = self.pings.iter().take(opened).peekable();
        targets.iter().map(move |&target| {
            let is_its = |ping: &&Ping| ping.target.load(Relaxed) == target;
            let outcome = match pings.next_if(is_its) {
                None => Outcome::Untouched,
                Some(ping) => match (ping.seq.load(Relaxed), ping.error.load(Relaxed)) {
                    (seq, 0) => Outcome::Left(seq),
                    (seq, errno) => Outcome::Dropped(seq, errno),
                },
            };
            (target, outcome)
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{boxed::Box, vec, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    fn batch() -> Box<Batch> {
        Box::default()
    }

    fn open(batch: &Batch, seq: u32) -> u32 {
        let target = batch.take().unwrap();
        batch.note(batch.free().unwrap(), target, seq);
        target
    }

    fn outcomes(batch: &Batch, targets: &[u32]) -> Vec<Outcome> {
        let outcomes = batch.outcomes(targets).enumerate();
        let told = outcomes.map(|(i, (target, outcome))| {
            assert_eq!(target, targets[i]);
            outcome
        });
        told.collect()
    }

    #[test]
    fn no_more_is_taken_than_there_is_room_for() {
        let batch = batch();
        let targets: Vec<u32> = (0..2 * ROOM as u32).collect();
        batch.fill(1, &targets);
        for target in 0..ROOM as u32 {
            assert_eq!(open(&batch, 1), target);
        }
        assert_eq!(batch.take(), None);
        assert!(batch.free().is_none());
    }

    #[test]
    fn frames_of_others_settle_nothing() {
        let batch = batch();
        batch.fill(1, &[7, 8]);
        batch.settle(1, 0, 0);
        assert_eq!(batch.refuse(1), None);
        open(&batch, 5);
        batch.settle(0, 2, 1);
        assert!(!batch.is_settled());
        batch.settle(1, 0, 0);
        assert!(batch.is_settled());
        assert_eq!(batch.refuse(1), None, "the interface has it");
        assert_eq!(
            outcomes(&batch, &[7, 8]),
            [Outcome::Left(5), Outcome::Untouched]
        );
    }

    /// What the program and the kernel do with one target.
    #[derive(Clone, Copy, Debug)]
    enum Fate {
        Skipped,
        Refused,
        Sent,
        Dropped,
    }

    proptest! {
        /// Whatever becomes of each ping, each target is told its own outcome.
        #[test]
        fn each_target_is_told_its_own_outcome(fates in proptest::collection::vec(prop_oneof![
            2 => Just(Fate::Skipped),
            1 => Just(Fate::Refused),
            8 => Just(Fate::Sent),
            2 => Just(Fate::Dropped),
        ], 0..200)) {
            let batch = batch();
            // Each target is there once, as in a tick; the numbers are out of order.
            let targets: Vec<u32> = (0..fates.len() as u32).map(|i| i * 7 % 1009).collect();
            batch.fill(3, &targets);
            // The kernel answers in bulks, first for those sent.
            let (mut sent, mut dropped) = (0, 0);
            let mut expected = vec![];
            for (seq, &fate) in (1..).zip(&fates) {
                let full = sent + dropped == BULK;
                if full || matches!(fate, Fate::Sent if dropped > 0) {
                    batch.settle(sent, dropped, 28);
                    (sent, dropped) = (0, 0);
                }
                match fate {
                    Fate::Skipped => { batch.take().unwrap(); }
                    Fate::Refused => {
                        let target = open(&batch, seq);
                        prop_assert_eq!(batch.refuse(100), Some((target, seq)));
                    }
                    Fate::Sent => { open(&batch, seq); sent += 1; }
                    Fate::Dropped => { open(&batch, seq); dropped += 1; }
                }
                expected.push(match fate {
                    Fate::Skipped | Fate::Refused => Outcome::Untouched,
                    Fate::Sent => Outcome::Left(seq),
                    Fate::Dropped => Outcome::Dropped(seq, 28),
                });
            }
            batch.settle(sent, dropped, 28);
            prop_assert!(batch.is_settled());
            prop_assert_eq!(batch.take(), None);
            prop_assert_eq!(outcomes(&batch, &targets), expected);
            let refused = fates.iter().any(|fate| matches!(fate, Fate::Refused));
            prop_assert_eq!(batch.refusal() != 0, refused);
        }
    }
}
