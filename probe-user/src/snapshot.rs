//! What metrics, page and terminal read: one view of the fleet and all that is known of it.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use arc_swap::ArcSwap;
use probe_common::{ports::Ports, row::Row};

use crate::{
    changes::Changes,
    clock,
    core::verdict::State,
    fleet::{Class, Detail, Fleet, Service, Target},
    paths::{Paths, Worst},
    sessions::Sessions,
    standings::{Standings, Verdict},
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
    /// What is known of each service.
    pub sessions: Sessions,
    /// What became of pings by path.
    pub paths: Paths,
    /// The ports that pings leave from, once there are sockets.
    pub ports: OnceLock<Ports>,
    /// The last changes of state.
    pub changes: Changes,
}

/// The fleet as of one moment. Counters and verdicts are read as they stand when a target is looked at: reading takes
/// no lock and stops no ping.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// Who is probed.
    pub fleet: Arc<Fleet>,
    /// When it was taken, ns of the monotonic clock.
    at: u64,
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
    /// The verdict on it.
    pub verdict: Verdict,
    /// Pings missed in a row.
    pub missed: u32,
    /// Its pings that left so far.
    pub pings: u32,
    /// Its late pongs so far.
    pub late: u32,
    live: &'a Live,
    row: &'a Row,
}

/// Everything known of one service.
#[derive(Debug)]
pub struct ServiceReading<'a> {
    /// Which it is.
    pub service: &'a Service,
    /// The target that it is on.
    pub target: &'a Target,
    /// The number of that target's group.
    pub group: u32,
    /// The state of its session.
    pub state: State,
    /// Beats lost so far.
    pub lost: u32,
    /// How often its sender has begun anew so far.
    pub restarts: u32,
    at: u64,
    row: &'a Row,
}

impl ServiceReading<'_> {
    /// Its beats so far, each counted once.
    pub fn beats(&self) -> u32 {
        self.row.pongs()
    }

    /// How long ago its last beat came; `None` before the first.
    pub fn beat_age(&self) -> Option<Duration> {
        let heard = self.row.heard().at;
        (heard != 0).then(|| Duration::from_nanos(self.at.saturating_sub(heard)))
    }
}

impl Live {
    /// The state of a monitor that probes nobody yet, with room for so many targets and as many services as the table has rows
    /// beyond theirs, by so many paths.
    pub fn new(table: Arc<Table>, targets: usize, paths: u16) -> Self {
        let standings = Standings::new(targets as u32);
        let sessions = Sessions::new(table.rows().len() - targets, targets);
        let paths = Paths::new(targets, paths);
        Self {
            fleet: ArcSwap::default(),
            table,
            standings,
            sessions,
            paths,
            ports: OnceLock::new(),
            changes: Changes::default(),
        }
    }

    /// A snapshot of now.
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            fleet: self.fleet.load_full(),
            at: clock::monotonic(),
            live: self,
        }
    }
}

impl Snapshot<'_> {
    /// These targets, or every target in the order of its number.
    pub fn readings<'b>(&'b self, of: Option<&'b [u32]>) -> impl Iterator<Item = Reading<'b>> {
        let count = of.map_or(self.fleet.targets.len(), <[u32]>::len);
        (0..count).filter_map(move |at| self.reading(of.map_or(at as u32, |of| of[at])))
    }

    fn reading(&self, number: u32) -> Option<Reading<'_>> {
        let Live {
            table, standings, ..
        } = self.live;
        let target = self.fleet.targets.get(number as usize)?.as_ref()?;
        Some(Reading {
            number,
            target,
            class: self.fleet.class_of(target),
            verdict: standings.verdict(number),
            missed: standings.get(number).missed,
            pings: standings.pings(number),
            late: standings.late(number),
            live: self.live,
            row: &table.rows()[number as usize],
        })
    }

    /// The targets that have series of their own; `None`: all of them.
    pub fn detailed(&self) -> Option<Vec<u32>> {
        let is_exception = |reading: &Reading<'_>| {
            let usual = matches!(reading.verdict.state, State::Up | State::Pending);
            !usual || reading.worst_path().is_some()
        };
        match self.fleet.detail {
            Detail::All => None,
            Detail::Groups => Some(Vec::new()),
            Detail::Exceptions => {
                let exceptions = self.readings(None).filter(is_exception);
                Some(exceptions.map(|reading| reading.number).collect())
            }
        }
    }

    /// How many targets each group has in each state: `[group][state as usize]`.
    pub fn by_state(&self) -> Vec<[u64; State::ALL.len()]> {
        let mut counts = vec![[0; State::ALL.len()]; self.fleet.groups.len()];
        for (number, target) in self.fleet.iter() {
            let group = self.fleet.class_of(target).group as usize;
            counts[group][self.live.standings.verdict(number).state as usize] += 1;
        }
        counts
    }

    /// Every service in the order of its number.
    pub fn services(&self) -> impl Iterator<Item = ServiceReading<'_>> {
        let Live {
            table, sessions, ..
        } = self.live;
        self.fleet.services().filter_map(|(number, service)| {
            let target = self.fleet.host_of(service)?;
            Some(ServiceReading {
                service,
                target,
                group: self.fleet.class_of(target).group,
                state: sessions.state(number),
                lost: sessions.lost(number),
                restarts: sessions.restarts(number),
                at: self.at,
                row: sessions.row(table.rows(), number),
            })
        })
    }

    /// The services of a target.
    pub fn services_of(&self, target: u32) -> impl Iterator<Item = ServiceReading<'_>> {
        self.services()
            .filter(move |reading| reading.service.target == target)
    }

    /// How many services each group has in each state: `[group][state as usize]`.
    pub fn services_by_state(&self) -> Vec<[u64; State::ALL.len()]> {
        let mut counts = vec![[0; State::ALL.len()]; self.fleet.groups.len()];
        for reading in self.services() {
            counts[reading.group as usize][reading.state as usize] += 1;
        }
        counts
    }
}

impl Reading<'_> {
    /// Pings answered so far, late ones among them.
    pub fn pongs(&self) -> u32 {
        self.row.pongs()
    }

    /// How often its host has booted anew so far; `None` as long as it does not tell its boots.
    pub fn boots(&self) -> Option<u32> {
        let boots = self.live.standings.boots(self.number);
        (self.row.boot() != 0).then_some(boots)
    }

    /// CPU load and memory used, of 1, as the host told them last; `None` where it does not tell.
    pub fn health(&self) -> [Option<f64>; 2] {
        let health = self.row.health();
        let has_told = self.row.pong().0 != 0 || !self.class.pinged;
        let share = |told: u16| (has_told && told != u16::MAX).then(|| f64::from(told) / 10_000.0);
        [share((health >> 16) as u16), share(health as u16)]
    }

    /// The path that loses more of its pings than its others, if one does.
    pub fn worst_path(&self) -> Option<Worst> {
        self.live.paths.worst(self.number)
    }

    /// The port that its pings by a path leave from now; 0 if there is none.
    pub fn source_port(&self, path: u32) -> u16 {
        let ports = self.live.ports.get().copied().unwrap_or_default();
        let family = usize::from(self.target.address.is_some_and(|at| at.is_ipv6()));
        ports.port(family, self.row.round(), path)
    }

    /// The newest pong's round-trip time; `None` before the first.
    pub fn rtt(&self) -> Option<Duration> {
        let (seq, nanos) = self.row.pong();
        (seq != 0).then(|| Duration::from_nanos(nanos.into()))
    }
}
