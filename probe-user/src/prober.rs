//! The prober: one thread that turns the schedule into pings, pongs into rows, and rows into verdicts.
//!
//! One turn of its loop takes orders, empties the sockets, judges the pings whose timeout has ended, and sends the pings
//! that are due. The order matters: after a stall the pongs that waited in the sockets, with the kernel's time on
//! them, are read before any ping of theirs is judged, so that a stalled monitor raises no false alarm.

mod outages;

use std::{
    io,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use probe_common::{
    address::Address,
    maps::{self, Settings},
    row::Answer,
    siphash::Key,
};

use self::outages::Outages;
use crate::{
    changes::Change,
    clock,
    core::{
        schedule::Schedule,
        verdict::{Outcome, State},
    },
    engine::{BATCH, Departure, SocketEngine},
    fleet::{Class, Fleet},
    flights::{Flight, Flights},
    metrics::Vitals,
    network::Link,
    snapshot::Live,
    tally::Tally,
    udp::Waker,
};

/// A ping that could not leave within this of its time is not sent at all: a burst would only distort what is measured.
const MOST_LAG: u64 = 200_000_000;

/// How long after a ping's timeout it is judged, ns: a pong that came in time may still be on its way through this box.
const GRACE: u64 = 5_000_000;

/// How long verdicts may wait for a turn that has pings to send, ns: else each slot of the schedule would wake the loop
/// twice, for its pings and, a timeout later, for their verdicts.
const PATIENCE: u64 = 5_000_000;

/// Without anything to do the loop turns as often as this, so that its health can be seen from outside.
const IDLE: u64 = 200_000_000;

/// What the daemon tells the prober.
#[derive(Debug)]
pub enum Order {
    /// Probe this fleet from now on. A target that both fleets have under one number is the same target.
    Fleet(Arc<Fleet>),
    /// Sign with the first key, accept both.
    Keys([Key; 2]),
    /// These are the links that targets are reached through now.
    Links(Vec<Link>),
    /// End.
    Stop,
}

/// The daemon's hold on the running prober.
#[derive(Debug)]
pub struct Handle {
    orders: mpsc::Sender<Order>,
    waker: Waker,
}

impl Handle {
    /// Gives an order; it is carried out in the loop's next turn. Nothing happens if the prober has ended.
    pub fn order(&self, order: Order) {
        if self.orders.send(order).is_ok() {
            self.waker.wake();
        }
    }
}

/// The prober's own state; [`Prober::start`] makes a thread of it.
pub struct Prober {
    live: Arc<Live>,
    vitals: Arc<Vitals>,
    settings: Settings,
    fleet: Arc<Fleet>,
    schedule: Schedule,
    flights: Flights,
    outages: Outages,
    engine: SocketEngine,
    classes: Vec<maps::Class>,
    links: Vec<Link>,
}

impl Prober {
    /// Opens the sockets. `settings` gets the ports that they were given.
    ///
    /// # Errors
    /// When the kernel refuses both an IPv4 and an IPv6 socket.
    pub fn new(
        live: Arc<Live>,
        vitals: Arc<Vitals>,
        tally: Arc<Tally>,
        mut settings: Settings,
    ) -> io::Result<Self> {
        let engine = SocketEngine::open(tally, vitals.clone())?;
        settings.ports = engine.ports()?;
        settings.rows = live.table.rows().len() as u32;
        Ok(Self {
            live,
            vitals,
            settings,
            fleet: Arc::default(),
            schedule: Schedule::new(),
            flights: Flights::default(),
            outages: Outages::default(),
            engine,
            classes: Vec::new(),
            links: Vec::new(),
        })
    }

    /// What the kernel's receiver must know of this prober.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Starts the thread. It ends with [`Order::Stop`], or with an error that leaves nothing to probe with.
    pub fn start(self) -> io::Result<(Handle, JoinHandle<io::Result<()>>)> {
        let (orders, inbox) = mpsc::channel();
        let handle = Handle {
            orders,
            waker: self.engine.waker(),
        };
        let thread = std::thread::Builder::new()
            .name("prober".into())
            .spawn(move || self.run(&inbox))?;
        Ok((handle, thread))
    }

    fn run(mut self, orders: &mpsc::Receiver<Order>) -> io::Result<()> {
        let mut due = Vec::new();
        loop {
            let now = clock::monotonic();
            self.vitals.turn();
            loop {
                match orders.try_recv() {
                    Ok(Order::Stop) | Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
                    Ok(order) => self.obey(order, now),
                    Err(mpsc::TryRecvError::Empty) => break,
                }
            }
            let rows = self.live.table.rows();
            let heard = self.engine.drain(rows, &self.classes, &self.settings)?;
            if let Some(from) = heard.lost_since {
                self.outages.lost_pongs(from, clock::monotonic());
            }
            self.evaluate(heard.until);
            self.ping(&mut due);
            self.vitals
                .set_fit(!self.links.is_empty() && !self.outages.last());
            self.engine.wait(self.next_turn())?;
        }
    }

    fn next_turn(&self) -> u64 {
        let idle = clock::monotonic() + IDLE;
        let evaluation = self.flights.next_end().map(|end| end + GRACE + PATIENCE);
        [self.schedule.next_due(), evaluation]
            .into_iter()
            .flatten()
            .fold(idle, u64::min)
    }

    fn obey(&mut self, order: Order, now: u64) {
        match order {
            Order::Fleet(fleet) => self.change_fleet(fleet, now),
            Order::Keys(keys) => self.settings.keys = keys,
            Order::Links(links) => self.change_links(links, now),
            Order::Stop => {}
        }
    }

    fn change_links(&mut self, links: Vec<Link>, now: u64) {
        let is_old = |old: &&Link| links.iter().all(|new| new.index != old.index);
        for gone in self.links.iter().filter(is_old) {
            // Pings that left by it and are out yet cannot be answered; later ones do not leave by it.
            self.outages.set_link(gone.index, false, now);
            self.outages.set_link(gone.index, true, now);
        }
        for link in &links {
            self.outages.set_link(link.index, link.works, now);
        }
        self.links = links;
    }

    /// Goes from one fleet to the next; targets that stay keep row, verdict and phase.
    fn change_fleet(&mut self, fleet: Arc<Fleet>, now: u64) {
        let old = std::mem::replace(&mut self.fleet, fleet.clone());
        for number in 0..old.targets.len().max(fleet.targets.len()) {
            let before = old.targets.get(number).and_then(Option::as_ref);
            let after = fleet.targets.get(number).and_then(Option::as_ref);
            let row = &self.live.table.rows()[number];
            let number = number as u32;
            if before.is_some() && after.is_none() {
                self.schedule.remove(number);
                self.live.standings.clear(number);
                row.clear();
            }
            let Some(target) = after else { continue };
            let (address, port) = target
                .address
                .map_or((Address::default(), 0), |at| (at.ip().into(), at.port()));
            if before.is_none() {
                row.assign(address, port, target.class);
            } else if row.address() != (address, port) {
                row.set_address(address, port);
            }
            row.set_class(target.class);
            let interval = fleet.class_of(target).interval.as_nanos() as u64;
            self.schedule.set(number, interval, now);
        }
        self.classes = fleet.classes.iter().map(Class::for_receiver).collect();
        self.vitals.set_groups(&fleet.groups);
        self.live.fleet.store(fleet);
    }

    /// Judges every ping whose timeout ended before `heard`, until when all pongs have been read: where more pongs wait than
    /// one turn reads, verdicts wait with them.
    fn evaluate(&mut self, heard: u64) {
        let heard = heard.saturating_sub(GRACE);
        if self.flights.next_end().is_none_or(|end| end > heard) {
            return;
        }
        let now = clock::monotonic();
        while let Some(flight) = self.flights.pop_ended(heard) {
            let row = &self.live.table.rows()[flight.target as usize];
            // The number may have been given to another target meanwhile, whose ping this is not.
            if !row.is_open(flight.seq) {
                continue;
            }
            let outcome = match row.answer(flight.seq) {
                Answer::Good => Outcome::Good,
                Answer::Late => Outcome::Late,
                Answer::None if self.outages.hid(row.hop(), flight.at, now) => Outcome::Unsent,
                Answer::None => Outcome::Missed,
            };
            self.judge(flight.target, outcome, now);
        }
        self.vitals
            .evaluation
            .observe(seconds(clock::monotonic() - now));
    }

    fn judge(&mut self, number: u32, outcome: Outcome, now: u64) {
        let Some(Some(target)) = self.fleet.targets.get(number as usize) else {
            return;
        };
        let class = self.fleet.class_of(target);
        let standings = &self.live.standings;
        match outcome {
            Outcome::Late => standings.count_late(number),
            Outcome::Missed => self.vitals.missed.inc(),
            Outcome::Good | Outcome::Unsent => {}
        }
        let before = standings.get(number);
        let after = before.after(outcome, class.policy);
        if after == before {
            return;
        }
        standings.set(number, after);
        if after.state != before.state {
            self.vitals.count_change(class.group, after.state);
            let (from, to, missed) = (before.state, after.state, after.missed);
            // That a new target is up is what everyone expects: it is counted, not told.
            if (from, to) != (State::Pending, State::Up) {
                let change = Change {
                    target: number,
                    from,
                    to,
                    missed,
                    at: now,
                };
                self.live.changes.push(change);
            }
        }
    }

    /// Sends every ping that is due.
    fn ping(&mut self, due: &mut Vec<(u32, u64)>) {
        let now = clock::monotonic();
        due.clear();
        self.schedule.due(now, |target, at| due.push((target, at)));
        let Some(&(_, first)) = due.first() else {
            return;
        };
        self.vitals.lag.observe(seconds(now.saturating_sub(first)));
        for batch in due.chunks(BATCH) {
            for &(number, at) in batch {
                let row = &self.live.table.rows()[number as usize];
                let too_late = now.saturating_sub(at) > MOST_LAG;
                if too_late || !self.engine.stage(number, row, &self.settings) {
                    self.unsent(number, now);
                }
            }
            self.flush();
        }
    }

    fn flush(&mut self) {
        let at = clock::monotonic();
        let mut failed = Vec::new();
        let rows = self.live.table.rows();
        self.engine.flush(|Departure { target, seq, left }| {
            let row = &rows[target as usize];
            if left {
                let class = &self.classes[usize::from(row.class())];
                self.live.standings.count_ping(target);
                self.flights
                    .push(class.timeout_ns.into(), Flight { target, seq, at });
            } else {
                row.take_back(seq);
                failed.push(target);
            }
        });
        for target in failed {
            self.unsent(target, at);
        }
    }

    fn unsent(&mut self, number: u32, now: u64) {
        self.vitals.unsent.inc();
        self.judge(number, Outcome::Unsent, now);
    }
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
