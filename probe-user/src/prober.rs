//! The prober: one thread that turns the schedule into pings, pongs into rows, and rows into verdicts.
//!
//! One turn of its loop takes orders, empties the sockets, judges the pings whose timeout has ended and the services whose
//! session may have, and sends the pings that are due: those that confirm a silence, and those of the schedule. The order
//! matters: after a stall the pongs that waited in the sockets, with the kernel's time on them, are read before any ping of
//! theirs is judged, so that a stalled monitor raises no false alarm.

mod confirm;
mod ears;
mod hosts;
mod judge;
mod orders;
mod outages;
mod send;
mod services;
mod sessions;

use std::{
    collections::VecDeque,
    hint::black_box,
    io,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use anyhow::Context as _;
use probe_common::{
    maps::{self, Settings},
    ports::Ports,
};

pub use self::orders::{Handle, Order};
use self::{confirm::Confirmations, ears::Ears, outages::Outages, services::Services};
use crate::{
    clock,
    core::schedule::Schedule,
    engine::{BeatSockets, KernelEngine, Pumps, SocketEngine},
    fleet::{Adopted, Fleet, Step},
    flights::Flights,
    kernel::Directory,
    metrics::Vitals,
    network::Link,
    snapshot::Live,
    tally::Tally,
};

/// How long after a ping's timeout it is judged, ns: a pong that came in time may still be on its way through this box.
const GRACE: u64 = 5_000_000;

/// How long verdicts may wait for a turn that has pings to send, ns: else each slot of the schedule would wake the loop
/// twice, for its pings and, a timeout later, for their verdicts.
const PATIENCE: u64 = 32_000_000;

/// Without anything to do the loop turns as often as this, so that its health can be seen from outside.
const IDLE: u64 = 200_000_000;

/// Steps to a new fleet that one turn of the loop takes: less than a millisecond's.
const STEPS: usize = 2048;

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

/// How beats are heard.
#[derive(Debug, Default)]
pub struct Hearing {
    /// The UDP port that they come to; 0: any.
    pub port: u16,
    /// Whether there is nothing to do without it: else a port that is taken is told, and beats are not heard.
    pub needed: bool,
    /// The kernel's directory of services, where it takes beats in.
    pub kernel: Option<Directory>,
    /// Gets whoever beats with a right tag and is not known, if those are wanted.
    pub strangers: Option<tokio::sync::mpsc::Sender<Adopted>>,
}

/// The prober's own state; [`Prober::start`] makes a thread of it.
pub struct Prober {
    live: Arc<Live>,
    vitals: Arc<Vitals>,
    settings: Settings,
    fleet: Arc<Fleet>,
    schedule: Schedule,
    flights: Flights,
    confirmations: Confirmations,
    outages: Outages,
    ears: Ears,
    sockets: SocketEngine,
    beats: Option<BeatSockets>,
    services: Services,
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

impl Hearing {
    fn open(&self, tally: Arc<Tally>, vitals: Arc<Vitals>) -> anyhow::Result<Option<BeatSockets>> {
        match BeatSockets::open(self.port, tally, vitals) {
            Ok(sockets) => Ok(Some(sockets)),
            Err(error) if self.needed => Err(error).with_context(|| {
                format!(
                    "hearing beats on UDP port {} (choose another with services.port)",
                    self.port
                )
            }),
            Err(error) => {
                tracing::info!("beats are not heard: UDP port {}: {error}", self.port);
                Ok(None)
            }
        }
    }
}

impl Prober {
    /// Opens the sockets. `settings` gets the ports that they were given.
    ///
    /// # Errors
    /// When the kernel refuses both an IPv4 and an IPv6 socket, or the port for beats, where that is needed.
    pub fn new(
        live: Arc<Live>,
        vitals: Arc<Vitals>,
        tally: Arc<Tally>,
        mut settings: Settings,
        transmission: Transmission,
        hearing: Hearing,
    ) -> anyhow::Result<Self> {
        let sockets = SocketEngine::open(transmission.first_port, tally.clone(), vitals.clone())
            .context("opening the sockets that pings leave by")?;
        let beats = hearing.open(tally, vitals.clone())?;
        settings.ports = Ports {
            first: sockets.ports()?,
            paths: transmission.paths,
            beats: beats.as_ref().map_or(Ok(0), BeatSockets::port)?,
        };
        let _ = live.ports.set(settings.ports);
        settings.rows = live.standings.room();
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
            confirmations: Confirmations::default(),
            outages: Outages::default(),
            ears: Ears::default(),
            sockets,
            beats,
            services: Services::new(hearing.kernel, hearing.strangers),
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
            // Before the first order it knows no group.
            if self.steps.is_empty() && !self.fleet.groups.is_empty() {
                self.vitals.set_ready();
            }
            let table = &self.live.table;
            let heard = self.sockets.drain(table, &self.classes, &self.settings)?;
            if let Some(from) = heard.lost_since {
                self.outages.lost_pongs(from, clock::monotonic());
            }
            let beats_heard = self.hear(clock::monotonic())?;
            self.evaluate(heard.until);
            self.judge_sessions(beats_heard);
            self.confirm(heard.until)?;
            self.ping()?;
            // Whoever pings nobody needs no link to ping by.
            let has_links = !self.links.is_empty() || self.schedule.next_due().is_none();
            self.vitals.set_fit(has_links && !self.outages.last());
            let beats = self.beats.as_ref().map(BeatSockets::watch);
            self.sockets.wait(beats, self.next_turn())?;
        }
    }

    fn next_turn(&self) -> u64 {
        if !self.steps.is_empty() {
            return 0;
        }
        let idle = clock::monotonic() + IDLE;
        let evaluation = self.flights.next_end().map(|end| end + GRACE + PATIENCE);
        let confirmation = self.confirmations.next_turn();
        [
            self.schedule.next_due(),
            evaluation,
            confirmation,
            self.services.next_look(),
        ]
        .into_iter()
        .flatten()
        .fold(idle, u64::min)
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
