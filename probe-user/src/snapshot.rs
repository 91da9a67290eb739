//! What metrics, page and terminal read: one view of the fleet and all that is known of it.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use arc_swap::ArcSwap;
use probe_common::{clock::Exchange, ports::Ports, row::Row};

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
    wall: Wall,
}

/// The monitor's own real-time clock.
#[derive(Clone, Copy, Debug)]
struct Wall {
    /// What leads to it from the monotonic one, see [`clock::offset`].
    offset: u64,
    /// Whether it is right.
    right: bool,
}

/// How long each way of a ping takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ways {
    /// From the monitor to the host.
    pub forward: Duration,
    /// And back.
    pub back: Duration,
}

/// A pong that tells no time may be newer than the last one that did by this, so that none is missed while it is written.
const FRESH: u32 = 1;

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
    wall: Wall,
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
            wall: Wall {
                offset: clock::offset(),
                right: clock::is_synchronised(),
            },
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
            wall: self.wall,
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

    /// By how much its host's clock is ahead of this box's, ns, to half of its round-trip time; `None` where it does not tell
    /// its time.
    pub fn clock_offset(&self) -> Option<i64> {
        Some(self.exchange()?.offset(self.wall.offset))
    }

    /// How long each way took last; `None` where the two clocks do not tell: this box's is not synchronised, or the two are apart
    /// by more than a ping takes.
    pub fn ways(&self) -> Option<Ways> {
        let exchange = self.exchange().filter(|_| self.wall.right)?;
        let [forward, back] = exchange.ways(self.wall.offset)?.map(Duration::from_nanos);
        Some(Ways { forward, back })
    }

    /// What the host's newest pong told of its time.
    fn exchange(&self) -> Option<Exchange> {
        let told = self.live.table.clocks()[self.number as usize].get()?;
        let (newest, _) = self.row.pong();
        (newest.wrapping_sub(told.seq) <= FRESH).then_some(told)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{core::verdict::Policy, fleet::Group};

    #[test]
    fn ways_are_told_by_two_right_clocks_and_fresh_times_alone() {
        let class = Class {
            group: 0,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            late_after: Duration::from_millis(250),
            policy: Policy::default(),
            confirm_interval: None,
            pinged: true,
            services: [].into(),
        };
        let target = Target {
            name: None,
            address: None,
            class: 0,
        };
        let group = Group {
            name: "a".into(),
            labels: Vec::new(),
            gone: false,
        };
        let live = Live::new(Arc::new(Table::in_memory(1).unwrap()), 1, 1);
        live.fleet.store(Arc::new(Fleet {
            groups: vec![group],
            classes: vec![class],
            targets: vec![Some(target)],
            ..Fleet::default()
        }));
        let told = |right| {
            let mut snapshot = live.snapshot();
            snapshot.wall = Wall {
                offset: 1_000_000,
                right,
            };
            let reading = snapshot.reading(0).unwrap();
            (reading.clock_offset(), reading.ways())
        };
        assert_eq!(told(true), (None, None), "nothing was told");

        let (row, clock) = (&live.table.rows()[0], &live.table.clocks()[0]);
        let pong = |received| {
            let seq = row.open();
            row.record(seq, 900, false, u32::MAX, 0);
            if let Some(exchange) = Exchange::new(seq, 50, received, received, 900) {
                clock.set(exchange);
            }
        };
        pong(1_000_050 + 300);
        let ways = Ways {
            forward: Duration::from_nanos(300),
            back: Duration::from_nanos(600),
        };
        assert_eq!(told(true), (Some(-150), Some(ways)));
        assert_eq!(told(false), (Some(-150), None), "this box's clock is free");
        pong(1_000_050 + 1_000);
        assert_eq!(told(true), (Some(550), None), "the way back is negative");
        pong(0);
        pong(0);
        assert_eq!(told(true), (None, None), "it tells none any more");
    }
}
