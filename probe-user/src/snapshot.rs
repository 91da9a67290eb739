//! What metrics, page and terminal read: one view of the fleet and all that is known of it.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use probe_common::row::Row;

use crate::{
    changes::Changes,
    core::verdict::{Standing, State},
    fleet::{Class, Fleet, Target},
    standings::Standings,
    table::Table,
};

/// The live state that a snapshot is taken of; shared by the prober, which writes, and everyone who reads.
#[derive(Debug)]
pub struct Live {
    /// Who is probed now; a reload puts another in its place.
    pub fleet: ArcSwap<Fleet>,
    /// A row a target.
    pub table: Arc<Table>,
    /// A verdict a target.
    pub standings: Standings,
    /// The last changes of state.
    pub changes: Changes,
}

/// The fleet as of one moment. Counters and verdicts are read as they stand when a target is looked at: reading takes
/// no lock and stops no ping.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// Who is probed.
    pub fleet: Arc<Fleet>,
    live: &'a Live,
}

/// Everything known of one target.
#[derive(Debug)]
pub struct Reading<'a> {
    /// Its number.
    pub number: u32,
    /// Who it is.
    pub target: &'a Target,
    /// What it is judged by.
    pub class: &'a Class,
    /// Its verdict.
    pub standing: Standing,
    /// Its pings that left so far.
    pub pings: u32,
    /// Its late pongs so far.
    pub late: u32,
    row: &'a Row,
}

impl Live {
    /// The state of a monitor that probes nobody yet, with room for as many targets as the table has rows.
    pub fn new(table: Arc<Table>) -> Self {
        let standings = Standings::new(table.rows().len() as u32);
        Self {
            fleet: ArcSwap::default(),
            table,
            standings,
            changes: Changes::default(),
        }
    }

    /// A snapshot of now.
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            fleet: self.fleet.load_full(),
            live: self,
        }
    }
}

impl Snapshot<'_> {
    /// Every target in the order of its number.
    pub fn readings(&self) -> impl Iterator<Item = Reading<'_>> {
        let Live {
            table, standings, ..
        } = self.live;
        self.fleet.iter().map(|(number, target)| Reading {
            number,
            target,
            class: self.fleet.class_of(target),
            standing: standings.get(number),
            pings: standings.pings(number),
            late: standings.late(number),
            row: &table.rows()[number as usize],
        })
    }

    /// How many targets each group has in each state: `[group][state as usize]`.
    pub fn by_state(&self) -> Vec<[u64; State::ALL.len()]> {
        let mut counts = vec![[0; State::ALL.len()]; self.fleet.groups.len()];
        for (number, target) in self.fleet.iter() {
            let group = self.fleet.class_of(target).group as usize;
            counts[group][self.live.standings.get(number).state as usize] += 1;
        }
        counts
    }
}

impl Reading<'_> {
    /// Pings answered so far, late ones among them.
    pub fn pongs(&self) -> u32 {
        self.row.pongs()
    }

    /// The newest pong's round-trip time; `None` before the first.
    pub fn rtt(&self) -> Option<Duration> {
        let (seq, nanos) = self.row.pong();
        (seq != 0).then(|| Duration::from_nanos(nanos.into()))
    }
}
