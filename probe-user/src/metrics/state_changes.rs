//! Changes of state, counted by group and state.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;

use crate::{core::verdict::State, fleet::Group};

/// How often targets of each group came into each state.
#[derive(Debug, Default)]
pub struct StateChanges(ArcSwap<Vec<GroupChanges>>);

/// The counts of one group.
#[derive(Clone, Debug)]
pub struct GroupChanges {
    /// The value of the `group` label.
    pub name: Arc<str>,
    /// Whether a reload removed the group: it is shown no more.
    pub gone: bool,
    counts: Arc<[AtomicU64; State::ALL.len()]>,
}

impl StateChanges {
    /// These are the groups now, by their numbers. A group that was there before keeps its counts.
    pub fn set_groups(&self, groups: &[Group]) {
        let old = self.0.load();
        let kept: HashMap<&str, _> = old.iter().map(|g| (&*g.name, &g.counts)).collect();
        let new = groups.iter().map(|group| GroupChanges {
            name: group.name.clone(),
            gone: group.gone,
            counts: kept
                .get(&*group.name)
                .map_or_else(Arc::default, |&counts| counts.clone()),
        });
        self.0.store(Arc::new(new.collect()));
    }

    /// A target of the group with this number came into `state`.
    pub fn count(&self, group: u32, state: State) {
        if let Some(group) = self.0.load().get(group as usize) {
            group.counts[state as usize].fetch_add(1, Relaxed);
        }
    }

    /// The groups with their counts.
    pub fn groups(&self) -> Arc<Vec<GroupChanges>> {
        self.0.load_full()
    }
}

impl GroupChanges {
    /// How often a target came into `state`.
    pub fn count(&self, state: State) -> u64 {
        self.counts[state as usize].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> Group {
        Group {
            name: name.into(),
            labels: Vec::new(),
            gone: false,
        }
    }

    fn counts(changes: &StateChanges) -> Vec<(String, u64)> {
        let groups = changes.groups();
        groups
            .iter()
            .map(|group| (group.name.to_string(), group.count(State::Dead)))
            .collect()
    }

    #[test]
    fn a_reload_keeps_the_counts_of_groups_that_stay() {
        let changes = StateChanges::default();
        changes.set_groups(&[group("web"), group("db")]);
        changes.count(0, State::Dead);
        changes.count(1, State::Dead);
        changes.count(1, State::Dead);
        changes.count(1, State::Up);
        changes.set_groups(&[group("db"), group("mail")]);
        changes.count(0, State::Dead);
        assert_eq!(counts(&changes), [("db".into(), 3), ("mail".into(), 0)]);
    }

    #[test]
    fn a_group_that_is_not_known_yet_is_not_counted() {
        let changes = StateChanges::default();
        changes.count(7, State::Up);
        assert!(changes.groups().is_empty());
    }
}
