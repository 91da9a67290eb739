//! A running monitor: the prober's thread and all that others read of it. `run` and `demo` differ in what they add.

use std::{
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context;
use probe_common::{maps::Settings, siphash::Key};

use crate::{
    changes::Change,
    core::verdict::State,
    fleet::{Fleet, difference},
    kernel::TransmitError,
    metrics::{Exporter, Vitals},
    prober::{Handle, Hearing, Order, Prober, Transmission},
    random,
    snapshot::Live,
    table::Table,
    tally::{Source, Tally},
};

/// How often new changes of state are looked for to be logged.
const LOOK: Duration = Duration::from_millis(200);

/// Changes logged line by line in one look; of an outage of more the rest is told as a number.
const LINES: usize = 20;

/// Groups that there is room for beyond the first configuration's, for later ones.
pub const SPARE_GROUPS: usize = 64;

/// The prober's thread and what it shares.
pub struct Monitor {
    /// Fleet, rows, verdicts.
    pub live: Arc<Live>,
    /// The engine's own health.
    pub vitals: Arc<Vitals>,
    /// What the sockets received.
    pub tally: Arc<Tally>,
    /// What the kernel's receiver must know.
    pub settings: Settings,
    prober: Handle,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Monitor {
    /// Starts a prober on this table, which probes nobody yet: the first `targets` rows are targets', the rest services'.
    ///
    /// # Errors
    /// When the sockets cannot be opened.
    pub fn start(
        table: Table,
        targets: usize,
        keys: [Key; 2],
        groups: usize,
        transmission: Transmission,
        hearing: Hearing,
    ) -> anyhow::Result<Self> {
        let live = Arc::new(Live::new(Arc::new(table), targets, transmission.paths));
        let vitals = Arc::new(Vitals::new());
        let tally = Arc::new(Tally::new(groups));
        let settings = Settings {
            keys,
            epoch: random::epoch().context("drawing an epoch")?,
            ..Settings::default()
        };
        let prober = Prober::new(
            live.clone(),
            vitals.clone(),
            tally.clone(),
            settings,
            transmission,
            hearing,
        )?;
        let settings = *prober.settings();
        let (prober, thread) = prober.start().context("starting the prober's thread")?;
        Ok(Self {
            live,
            vitals,
            tally,
            settings,
            prober,
            thread,
        })
    }

    /// Gives the prober an order.
    pub fn order(&self, order: Order) {
        self.prober.order(order);
    }

    /// Probes `new` from now on in place of `old`. Whoever reads sees it at once: who is new in it is pending until the prober
    /// has come to that, and whose number rested was forgotten when the number became free.
    pub fn probe(&self, old: &Fleet, new: Arc<Fleet>) {
        let steps = difference(old, &new);
        self.live.fleet.store(new.clone());
        self.order(Order::Fleet(new, steps));
    }

    /// Has the kernel send by this interface, which has this Ethernet address, if it can.
    ///
    /// # Errors
    /// With why it cannot.
    pub fn open(&self, interface: u32, mac: [u8; 6]) -> Result<(), TransmitError> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.order(Order::Open {
            interface,
            mac,
            answer,
        });
        // A prober that has ended is noticed by whoever waits for that.
        answered.recv().unwrap_or(Err(TransmitError::Silent))
    }

    /// What scrapes read: of the sockets, and of the kernel where it receives.
    pub fn exporter(&self, kernel: Option<Arc<dyn Source>>) -> Exporter {
        let sockets: Arc<dyn Source> = self.tally.clone();
        Exporter {
            live: self.live.clone(),
            vitals: self.vitals.clone(),
            sources: [Some(sockets), kernel].into_iter().flatten().collect(),
        }
    }

    /// Whether the prober's thread has ended, which it does only when told to or when it cannot go on.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the prober and waits for it.
    ///
    /// # Errors
    /// With what ended it, if it had not been told to.
    pub fn stop(self) -> anyhow::Result<()> {
        self.prober.order(Order::Stop);
        match self.thread.join() {
            Ok(ended) => ended.context("the prober could not go on"),
            Err(_) => anyhow::bail!("the prober's thread panicked"),
        }
    }
}

/// Logs every change of state until it is dropped.
pub async fn log_changes(live: Arc<Live>) {
    let mut seen = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        let (changes, total) = live.changes.since(seen);
        let fleet = live.fleet.load();
        for change in changes.iter().take(LINES) {
            log_change(&fleet, change);
        }
        match total - seen {
            new if new > LINES as u64 => tracing::warn!("and {} more changes", new - LINES as u64),
            _ => {}
        }
        seen = total;
    }
}

fn log_change(fleet: &Fleet, change: &Change) {
    let Some(Some(target)) = fleet.targets.get(change.target as usize) else {
        return;
    };
    let (group, label) = (&fleet.group_of(target).name, target.label());
    let (from, to) = (change.from.name(), change.to.name());
    if let Some(number) = change.service {
        let Some(Some(service)) = fleet.services.get(number as usize) else {
            return;
        };
        let name = &service.name;
        if change.to == State::Up {
            tracing::info!("{group} {label} {name}: {from} -> {to}: its beats come");
            return;
        }
        let why = match change.to {
            State::Dead => "no beat for its session timeout",
            State::Unknown => "this box cannot hear its beats",
            _ => "its beats are overdue",
        };
        tracing::warn!("{group} {label} {name}: {from} -> {to}: {why}");
        return;
    }
    if change.to.is_up() {
        tracing::info!("{group} {label}: {from} -> {to}");
        return;
    }
    let why = reason(fleet, change);
    tracing::warn!("{group} {label}: {from} -> {to}{why}");
}

/// What led to a verdict that is no good one.
fn reason(fleet: &Fleet, change: &Change) -> String {
    let service = change
        .because
        .and_then(|number| fleet.services.get(number as usize)?.as_ref());
    let name = service.map(|service| &service.name);
    let missed = change.missed;
    match (change.to, name) {
        (State::Zombie, Some(name)) => {
            format!(", the host lives, but no beats of {name} come")
        }
        (_, Some(name)) if missed > 0 => format!(
            ", {missed} missed in a row, but beats of {name} arrive: a firewall or the path keeps pings back"
        ),
        (_, Some(name)) => format!(", no beats of {name} come"),
        (_, None) => format!(", {missed} missed in a row"),
    }
}
