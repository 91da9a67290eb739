//! What is known of each service beside its row, written by the prober alone, read by everyone: metrics, page, terminal.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use probe_common::row::Row;

use crate::core::verdict::State;

/// What is known of each service, by its number.
#[derive(Debug)]
pub struct Sessions {
    entries: Box<[Entry]>,
    /// The number of the first service's row; those before are targets'.
    first_row: usize,
}

#[derive(Debug, Default)]
struct Entry {
    state: AtomicU8,
    /// Beats that never came, though later ones did.
    lost: AtomicU32,
    /// How often its sender began anew.
    restarts: AtomicU32,
}

impl Sessions {
    /// Room for `services` services, whose rows are those from `first_row` on.
    pub fn new(services: usize, first_row: usize) -> Self {
        Self {
            entries: (0..services).map(|_| Entry::default()).collect(),
            first_row,
        }
    }

    /// The number of a service's row.
    pub fn row_number(&self, service: u32) -> u32 {
        (self.first_row + service as usize) as u32
    }

    /// A service's row.
    pub fn row<'a>(&self, rows: &'a [Row], service: u32) -> &'a Row {
        &rows[self.first_row + service as usize]
    }

    /// The state of a service.
    pub fn state(&self, service: u32) -> State {
        State::from_number(self.entries[service as usize].state.load(Relaxed))
    }

    /// Beats of a service lost so far.
    pub fn lost(&self, service: u32) -> u32 {
        self.entries[service as usize].lost.load(Relaxed)
    }

    /// How often the sender of a service has begun anew so far.
    pub fn restarts(&self, service: u32) -> u32 {
        self.entries[service as usize].restarts.load(Relaxed)
    }

    /// Stores a service's new state. For the prober alone.
    pub fn set_state(&self, service: u32, state: State) {
        self.entries[service as usize]
            .state
            .store(state as u8, Relaxed);
    }

    /// So many beats of a service are lost by now; a count never falls. For the prober alone.
    pub fn set_lost(&self, service: u32, lost: u32) {
        self.entries[service as usize].lost.fetch_max(lost, Relaxed);
    }

    /// Counts a sender that began anew. For the prober alone.
    pub fn count_restart(&self, service: u32) {
        self.entries[service as usize]
            .restarts
            .fetch_add(1, Relaxed);
    }

    /// Forgets a service: its number may be given to another. For the prober alone.
    pub fn clear(&self, service: u32) {
        let entry = &self.entries[service as usize];
        entry.state.store(State::Pending as u8, Relaxed);
        entry.lost.store(0, Relaxed);
        entry.restarts.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_known_by_its_number_and_its_row_lies_behind_those_of_targets() {
        let sessions = Sessions::new(2, 5);
        let rows: Vec<Row> = (0..7).map(|_| Row::default()).collect();
        sessions.row(&rows, 1).assign_service([1, 2], 0);
        assert_eq!(rows[6].identity(), [1, 2]);
        assert_eq!(sessions.row_number(1), 6);
        sessions.set_state(1, State::Dead);
        sessions.set_lost(1, 5);
        sessions.set_lost(1, 4);
        sessions.count_restart(1);
        let told = |service| {
            (
                sessions.state(service),
                sessions.lost(service),
                sessions.restarts(service),
            )
        };
        assert_eq!(told(1), (State::Dead, 5, 1));
        sessions.clear(1);
        assert_eq!(told(1), told(0));
    }
}
