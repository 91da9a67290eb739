//! The prober: one thread that turns the schedule into pings, pongs into rows, and rows into verdicts.
//!
//! One turn of its loop takes orders, empties the sockets, judges the pings whose timeout has ended, and sends the pings
//! that are due. The order matters: after a stall the pongs that waited in the sockets, with the kernel's time on
//! them, are read before any ping of theirs is judged, so that a stalled monitor raises no false alarm.

mod outages;

use std::{
    collections::VecDeque,
    hint::black_box,
    io,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use probe_common::{
    address::Address,
    maps::{self, Settings},
    ports::Ports,
    row::{Answer, Row},
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
    engine::{BATCH, Departure, KernelEngine, PumpError, Pumps, SocketEngine},
    fleet::{Class, Fleet, Step},
    flights::{Flight, Flights},
    kernel::TransmitError,
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
const PATIENCE: u64 = 20_000_000;

/// Without anything to do the loop turns as often as this, so that its health can be seen from outside.
const IDLE: u64 = 200_000_000;

/// Steps to a new fleet that one turn of the loop takes: less than a millisecond's.
const STEPS: usize = 2048;

/// Pings that the kernel is handed at a time: few enough that the time before is that of all.
const SHARE: usize = 1024;

/// How pings leave.
#[derive(Debug, Default)]
pub struct Transmission {
    /// The first of the monitor's ports; `None`: wherever there are enough free ones in a row.
    pub first_port: Option<u16>,
    /// Over how many of them a target's pings go in turn, see [`Ports::paths`].
    pub paths: u16,
    /// The kernel engine's, where there is one.
    pub pumps: Option<Pumps>,
}

/// What the daemon tells the prober.
#[derive(Debug)]
pub enum Order {
    /// Probe this fleet from now on: these steps lead to it from the one before.
    Fleet(Arc<Fleet>, Vec<Step>),
    /// Sign with the first key, accept both.
    Keys([Key; 2]),
    /// These are the links that targets are reached through now, and the index of the one that each number in a row's
    /// [`hop`](Row::hop) stands for.
    Links(Vec<Link>, Arc<[u32]>),
    /// Pings of the sockets bear this type of service or traffic class.
    TrafficClass(u8),
    /// Have the kernel send by this interface, which has this Ethernet address, if it can; the answer tells why not.
    Open {
        /// Its index.
        interface: u32,
        /// Its address.
        mac: [u8; 6],
        /// Gets the answer.
        answer: mpsc::SyncSender<Result<(), TransmitError>>,
    },
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
    sockets: SocketEngine,
    kernel: Option<KernelEngine>,
    classes: Vec<maps::Class>,
    links: Vec<Link>,
    /// What is still to be done until the fleet is probed as it is now.
    steps: VecDeque<Step>,
    /// Index of the interface by number of next hop.
    interfaces: Arc<[u32]>,
    /// The targets that are due, and room for more.
    due: Vec<u32>,
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
        transmission: Transmission,
    ) -> io::Result<Self> {
        let sockets = SocketEngine::open(transmission.first_port, tally, vitals.clone())?;
        settings.ports = Ports {
            first: sockets.ports()?,
            paths: transmission.paths,
            ..Ports::default()
        };
        let _ = live.ports.set(settings.ports);
        settings.rows = live.table.rows().len() as u32;
        Ok(Self {
            live,
            kernel: transmission
                .pumps
                .map(|pumps| KernelEngine::new(pumps, vitals.clone())),
            vitals,
            settings,
            fleet: Arc::default(),
            schedule: Schedule::new(),
            flights: Flights::default(),
            outages: Outages::default(),
            sockets,
            classes: Vec::new(),
            links: Vec::new(),
            steps: VecDeque::new(),
            interfaces: Arc::default(),
            due: Vec::new(),
        })
    }

    /// What the kernel's receiver must know of this prober.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Starts the thread. It ends with [`Order::Stop`], or with an error that leaves nothing to probe with.
    pub fn start(self) -> io::Result<(Handle, JoinHandle<anyhow::Result<()>>)> {
        let (orders, inbox) = mpsc::channel();
        let handle = Handle {
            orders,
            waker: self.sockets.waker(),
        };
        let thread = std::thread::Builder::new()
            .name("prober".into())
            .spawn(move || self.run(&inbox))?;
        Ok((handle, thread))
    }

    fn run(mut self, orders: &mpsc::Receiver<Order>) -> anyhow::Result<()> {
        loop {
            let now = clock::monotonic();
            self.vitals.turn();
            loop {
                match orders.try_recv() {
                    Ok(Order::Stop) | Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
                    Ok(order) => self.obey(order, now)?,
                    Err(mpsc::TryRecvError::Empty) => break,
                }
            }
            for _ in 0..STEPS {
                let Some(step) = self.steps.pop_front() else {
                    break;
                };
                self.take(step, now);
            }
            let rows = self.live.table.rows();
            let heard = self.sockets.drain(rows, &self.classes, &self.settings)?;
            if let Some(from) = heard.lost_since {
                self.outages.lost_pongs(from, clock::monotonic());
            }
            self.evaluate(heard.until);
            self.ping()?;
            self.vitals
                .set_fit(!self.links.is_empty() && !self.outages.last());
            self.sockets.wait(self.next_turn())?;
        }
    }

    fn next_turn(&self) -> u64 {
        if !self.steps.is_empty() {
            return 0;
        }
        let idle = clock::monotonic() + IDLE;
        let evaluation = self.flights.next_end().map(|end| end + GRACE + PATIENCE);
        [self.schedule.next_due(), evaluation]
            .into_iter()
            .flatten()
            .fold(idle, u64::min)
    }

    fn obey(&mut self, order: Order, now: u64) -> Result<(), PumpError> {
        match order {
            Order::Fleet(fleet, steps) => self.change_fleet(fleet, steps),
            Order::Keys(keys) => self.settings.keys = keys,
            Order::Links(links, interfaces) => {
                self.interfaces = interfaces;
                self.change_links(links, now);
            }
            Order::TrafficClass(traffic_class) => self.sockets.set_traffic_class(traffic_class),
            Order::Open {
                interface,
                mac,
                answer,
            } => {
                let kernel = self.kernel.as_mut();
                let opened = kernel.map_or(Ok(Ok(())), |kernel| kernel.open(interface, mac))?;
                // Whoever asked may have given up.
                let _ = answer.send(opened);
            }
            Order::Stop => {}
        }
        Ok(())
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
        if let Some(kernel) = &mut self.kernel {
            kernel.keep(&links);
        }
        self.links = links;
    }

    /// Begins to go from one fleet to the next. The classes of the one before are still there under their numbers, so until its
    /// step is taken a target is pinged as it was.
    fn change_fleet(&mut self, fleet: Arc<Fleet>, steps: Vec<Step>) {
        self.classes = fleet.classes.iter().map(Class::for_receiver).collect();
        self.vitals.set_groups(&fleet.groups);
        self.steps.extend(steps);
        let old = std::mem::replace(&mut self.fleet, fleet.clone());
        let shown = self.live.fleet.swap(fleet);
        // To free a million targets takes longer than a ping may be late.
        std::thread::spawn(move || drop((old, shown)));
    }

    /// Brings one target's row, verdict and phase to the new fleet; all others keep theirs.
    fn take(&mut self, step: Step, now: u64) {
        let (Step::Add(number) | Step::Change(number) | Step::Remove(number)) = step;
        let row = &self.live.table.rows()[number as usize];
        if matches!(step, Step::Remove(_)) {
            self.schedule.remove(number);
            self.live.standings.clear(number);
            self.live.paths.clear(number);
            row.clear();
        }
        // If a later fleet has it no more, the step that removes it follows.
        let Some(Some(target)) = self.fleet.targets.get(number as usize) else {
            return;
        };
        let (address, port) = target
            .address
            .map_or((Address::default(), 0), |at| (at.ip().into(), at.port()));
        match step {
            Step::Add(_) => row.assign(address, port, target.class),
            Step::Change(_) => {
                row.set_class(target.class);
                if row.address() != (address, port) {
                    row.set_address(address, port);
                }
            }
            // Its number has been given anew: that is a step of its own.
            Step::Remove(_) => return,
        }
        let interval = self.fleet.class_of(target).interval.as_nanos() as u64;
        self.schedule.set(number, interval, now);
    }

    /// Judges every ping whose timeout ended before `heard`, until when all pongs have been read: where more pongs wait than
    /// one turn reads, verdicts wait with them.
    fn evaluate(&mut self, heard: u64) {
        let heard = heard.saturating_sub(GRACE);
        if self.flights.next_end().is_none_or(|end| end > heard) {
            return;
        }
        let now = clock::monotonic();
        let live = self.live.clone();
        let rows = live.table.rows();
        let mut ended = Vec::with_capacity(BATCH);
        loop {
            ended.extend(std::iter::from_fn(|| self.flights.pop_ended(heard)).take(BATCH));
            if ended.is_empty() {
                break;
            }
            fetch(&live, ended.iter().map(|flight| flight.target));
            for flight in ended.drain(..) {
                self.end(flight, &rows[flight.target as usize], now);
            }
        }
        self.vitals
            .evaluation
            .observe(seconds(clock::monotonic() - now));
    }

    /// Judges a ping whose timeout has ended.
    fn end(&mut self, flight: Flight, row: &Row, now: u64) {
        // The number may have been given to another target meanwhile, whose ping this is not.
        if !row.is_open(flight.seq) {
            return;
        }
        let interface = || {
            self.interfaces
                .get(row.hop() as usize)
                .copied()
                .unwrap_or(0)
        };
        let outcome = match row.answer(flight.seq) {
            Answer::Good => Outcome::Good,
            Answer::Late => Outcome::Late,
            Answer::None if self.outages.hid(interface(), flight.at, now) => Outcome::Unsent,
            Answer::None => Outcome::Missed,
        };
        let path = self.settings.ports.path(flight.seq);
        match outcome {
            Outcome::Missed => self.live.paths.note(flight.target, path, true),
            Outcome::Good | Outcome::Late => self.live.paths.note(flight.target, path, false),
            Outcome::Unsent => {}
        }
        self.judge(flight.target, row.class(), outcome, now);
    }

    /// A target's class is known from its row too, which is at hand, and from no other fleet than this one or those before,
    /// whose classes it has.
    fn judge(&mut self, number: u32, class: u16, outcome: Outcome, now: u64) {
        let class = &self.fleet.classes[usize::from(class)];
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
        let paths = u32::from(self.settings.ports.paths).max(1);
        if after.missed > before.missed && after.missed.is_multiple_of(paths) {
            // Every path was tried: a firewall on the way may hold on to stale sessions.
            self.live.table.rows()[number as usize].next_round();
        }
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
    fn ping(&mut self) -> Result<(), PumpError> {
        let now = clock::monotonic();
        let mut due = std::mem::take(&mut self.due);
        let (mut first, mut too_late) = (None, Vec::new());
        self.schedule.due(now, |target, at| {
            first.get_or_insert(at);
            if now.saturating_sub(at) > MOST_LAG {
                too_late.push(target);
            } else {
                due.push(target);
            }
        });
        if let Some(first) = first {
            self.vitals.lag.observe(seconds(now.saturating_sub(first)));
        }
        for target in too_late {
            self.unsent(target, now);
        }
        for share in due.chunks(SHARE) {
            self.send(share)?;
        }
        due.clear();
        self.due = due;
        Ok(())
    }

    /// Sends a ping to each of these targets: by the kernel what it can send, the rest by sockets.
    fn send(&mut self, targets: &[u32]) -> Result<(), PumpError> {
        let rows = self.live.table.rows();
        let standings = &self.live.standings;
        let (mut unsent, mut nowhere) = (Vec::new(), Vec::new());
        let mut depart = |Departure { target, seq, left }, at| {
            let row = &rows[target as usize];
            if left {
                let class = &self.classes[usize::from(row.class())];
                standings.count_ping(target);
                self.flights
                    .push(class.timeout_ns.into(), Flight { target, seq, at });
            } else {
                row.take_back(seq);
                unsent.push(target);
            }
        };
        let mut rest = targets.to_vec();
        if let Some(kernel) = &mut self.kernel {
            fetch(&self.live, targets.iter().copied());
            let at = clock::monotonic();
            kernel.send(rows, &mut rest, |departure| depart(departure, at))?;
        }
        for batch in rest.chunks(BATCH) {
            for &target in batch {
                let row = &rows[target as usize];
                if !self.sockets.stage(target, row, &self.settings) {
                    nowhere.push(target);
                }
            }
            let at = clock::monotonic();
            self.sockets.flush(|departure| depart(departure, at));
        }
        let now = clock::monotonic();
        for target in unsent.into_iter().chain(nowhere) {
            self.unsent(target, now);
        }
        Ok(())
    }

    fn unsent(&mut self, number: u32, now: u64) {
        self.vitals.unsent.inc();
        let class = self.live.table.rows()[number as usize].class();
        self.judge(number, class, Outcome::Unsent, now);
    }
}

/// Has rows and standings come into the CPU's cache side by side: whoever needs them one after the other waits for each.
fn fetch(live: &Live, targets: impl Iterator<Item = u32>) {
    let rows = live.table.rows();
    for target in targets {
        black_box(rows[target as usize].sent());
        black_box(live.standings.get(target));
    }
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
