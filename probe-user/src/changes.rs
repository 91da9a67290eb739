//! The last changes of state, for whoever tells them on: the log, the terminal, the page.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::core::verdict::State;

/// How many changes are kept; an outage of more hosts at once is told as a number.
const KEPT: usize = 4096;

/// A change of state of a target, or of a service on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The target's number.
    pub target: u32,
    /// The service's number, if it is that one's.
    pub service: Option<u32>,
    /// The service that a target's change is due to: one that is silent, or, where pings are missed, one whose beats arrive.
    pub because: Option<u32>,
    /// What it was held to be.
    pub from: State,
    /// What it is held to be now.
    pub to: State,
    /// Pings missed in a row at that moment.
    pub missed: u32,
    /// When, ns of the monotonic clock.
    pub at: u64,
}

/// The last changes in their order, and how many there were in all.
#[derive(Debug, Default)]
pub struct Changes(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    last: VecDeque<Change>,
    total: u64,
}

impl Changes {
    /// Notes a change.
    pub fn push(&self, change: Change) {
        let mut kept = self.lock();
        if kept.last.len() == KEPT {
            kept.last.pop_front();
        }
        kept.last.push_back(change);
        kept.total += 1;
    }

    /// The changes after the first `seen`, oldest first, as far as they are kept; and how many there were in all.
    pub fn since(&self, seen: u64) -> (Vec<Change>, u64) {
        let kept = self.lock();
        let new = (kept.total.saturating_sub(seen) as usize).min(kept.last.len());
        (
            kept.last
                .iter()
                .skip(kept.last.len() - new)
                .copied()
                .collect(),
            kept.total,
        )
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(target: u32) -> Change {
        Change {
            target,
            service: None,
            because: None,
            from: State::Up,
            to: State::Critical,
            missed: 2,
            at: 0,
        }
    }

    #[test]
    fn a_reader_sees_each_change_once() {
        let changes = Changes::default();
        changes.push(change(1));
        changes.push(change(2));
        let (new, seen) = changes.since(0);
        assert_eq!(new.iter().map(|c| c.target).collect::<Vec<_>>(), [1, 2]);
        changes.push(change(3));
        let (new, seen) = changes.since(seen);
        assert_eq!(new, [change(3)]);
        assert!(changes.since(seen).0.is_empty());
    }

    #[test]
    fn an_outage_of_many_is_told_as_a_number() {
        let changes = Changes::default();
        (0..10_000).for_each(|target| changes.push(change(target)));
        let (new, total) = changes.since(0);
        assert_eq!((new.len(), total), (KEPT, 10_000));
        assert_eq!(new[0].target, 10_000 - KEPT as u32);
    }
}
