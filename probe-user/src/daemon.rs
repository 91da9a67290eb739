//! `heartprobe run`: what follows the world (configuration, names, network) and tells the prober.

mod adoption;
mod hops;
mod interfaces;
mod room;
mod route;
mod transmission;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::{
    signal::unix::Signal,
    sync::mpsc,
    task::{JoinError, JoinHandle},
};

use self::{adoption::Adoption, hops::Hops, interfaces::Interfaces, room::Room};
use crate::{
    config::{self, Config, Engine, Transmit},
    fleet::{Adopted, Class, Detail, Fleet, renumber},
    kernel::{Kernel, Want},
    metrics::Exporter,
    monitor::Monitor,
    network::{self, Follower},
    prober::{Hearing, Order},
    resolve::{Names, Unresolved},
    table::Table,
    tally::Source,
    web::Reload,
};

/// How often the daemon looks whether its prober lives, and which neighbours are to be checked.
const LOOK: Duration = Duration::from_millis(250);

/// How often an interface that could not have an engine is asked again: its driver may have been set up anew.
const AGAIN: Duration = Duration::from_secs(5);

/// How often services that were heard of are taken in, all at once: a large fleet takes some time to be made anew.
const ADOPT: Duration = Duration::from_secs(1);

/// The names after a look-up, whether any address changed, and which names have none.
type Refreshed = (Names, bool, Vec<(Box<str>, Unresolved)>);

/// A look-up under way.
type Refresh = JoinHandle<Refreshed>;

/// A running `heartprobe run`.
pub struct Daemon {
    path: PathBuf,
    monitor: Monitor,
    interfaces: Interfaces,
    /// Those that targets are reached through, by index.
    used: Vec<u32>,
    fleet: Arc<Fleet>,
    follower: Follower,
    hops: Hops,
    /// Whether it was told that targets are routed by other tables.
    told_elsewhere: bool,
    names: Option<Names>,
    /// How pings leave, as the first configuration had it.
    transmit: Transmit,
    /// What the kernel counts, where it receives.
    kernel: Option<Arc<dyn Source>>,
    room: Room,
    adoption: Adoption,
    /// Where beats come to, as the first configuration had it.
    beat_port: u16,
}

impl Daemon {
    /// Starts to probe what `config` says, which was read from `path`.
    ///
    /// # Errors
    /// When a name does not exist, or the sockets that pings need are not to be had. What is merely better with
    /// privilege is left out with a warning.
    pub async fn start(config: Config, path: PathBuf) -> anyhow::Result<Self> {
        let mut names = Names::new()?;
        look_up_all(&config, &path, &mut names).await?;
        let (xdp, interfaces, keys, keyed, transmit, beats, services) = (
            config.xdp,
            config.interfaces.clone(),
            config.keys,
            config.keyed,
            config.transmit.clone(),
            config.beats,
            config.services(),
        );
        let fleet = config.fleet(|name| names.address(name));
        let room = Room::of(&fleet, services, beats.adopt as usize);
        let mut kernel = load_kernel(xdp, room, transmit.engine)?;
        let transmission = transmission::start(kernel.as_mut(), &transmit)?;
        let has_pumps = transmission.pumps.is_some();
        let table = match &kernel {
            Some(kernel) => kernel.table(),
            None => Table::in_memory(room.rows()),
        }
        .context("mapping the table")?;
        let counters = kernel
            .as_ref()
            .map(|kernel| kernel.counters() as Arc<dyn Source>);
        let (strangers, adoption) = Adoption::new(beats);
        let hearing = Hearing {
            port: beats.port,
            needed: services > 0 || beats.adopt > 0,
            kernel: kernel.as_mut().and_then(Kernel::take_services),
            strangers: Some(strangers),
        };
        let monitor = Monitor::start(
            table,
            room.targets,
            keys,
            room.groups,
            transmission,
            hearing,
        )?;
        let mut daemon = Self {
            path,
            monitor,
            interfaces: Interfaces::new(kernel, xdp.unwrap_or_default(), interfaces, has_pumps),
            used: Vec::new(),
            fleet: Arc::default(),
            follower: network::follow().await?,
            hops: Hops::new(
                if has_pumps { room.hops() } else { 1 },
                transmit.traffic_class(),
            ),
            told_elsewhere: false,
            names: Some(names),
            transmit,
            kernel: counters,
            room,
            adoption,
            beat_port: beats.port,
        };
        if !keyed {
            tracing::warn!(
                "no keys in the configuration: pings and pongs carry the all-zero key, which anybody can forge"
            );
        }
        let fleet = daemon.renumbered(fleet, &[])?;
        daemon
            .monitor
            .order(Order::TrafficClass(daemon.transmit.traffic_class()));
        while let Ok(heard) = daemon.follower.neighbours.try_recv() {
            daemon.hear(heard);
        }
        daemon.probe(fleet).await?;
        if daemon.transmit.engine == Engine::Kernel {
            daemon.interfaces.check_kernel_sends()?;
        }
        daemon.monitor.vitals.reloaded(true);
        tracing::info!(
            "probing {} targets in {} groups",
            daemon.fleet.len(),
            daemon.fleet.groups.len()
        );
        Ok(daemon)
    }

    /// What scrapes read.
    pub fn exporter(&self) -> Exporter {
        self.monitor.exporter(self.kernel.clone())
    }

    /// Follows the world until the prober ends, which it does not by itself: with the reason.
    pub async fn follow(
        &mut self,
        reloads: &mut mpsc::Receiver<Reload>,
        hangup: &mut Signal,
    ) -> anyhow::Result<()> {
        let mut refresh: Option<Refresh> = None;
        let mut look = tokio::time::interval(LOOK);
        let mut again = tokio::time::interval(AGAIN);
        let mut adopt = tokio::time::interval(ADOPT);
        loop {
            let due = self.names.as_ref().and_then(Names::next_due);
            tokio::select! {
                _ = look.tick() => {
                    anyhow::ensure!(!self.monitor.has_ended(), "the prober ended");
                    let netlink = &mut self.follower.netlink;
                    self.hops.check(Instant::now(), |interface, at| netlink.check(interface, at));
                }
                Ok(()) = self.follower.network.changed() => self.route().await,
                Some(heard) = self.follower.neighbours.recv() => self.hear(heard),
                _ = again.tick() => self.serve(),
                _ = adopt.tick() => self.adopt().await?,
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {
                    refresh = self.names.take().map(|names| tokio::spawn(look_up(names)));
                }
                Some(done) = answered(&mut refresh) => {
                    refresh = None;
                    self.refreshed(done?).await?;
                }
                _ = hangup.recv() => {
                    self.wait_for_names(&mut refresh).await?;
                    let _ = self.reload().await;
                }
                Some(answer) = reloads.recv() => {
                    self.wait_for_names(&mut refresh).await?;
                    let result = self.reload().await.map_err(|error| format!("{error:#}"));
                    // Whoever asked may have gone away meanwhile.
                    let _ = answer.send(result);
                }
            }
        }
    }

    /// Ends the prober.
    pub fn stop(self) -> anyhow::Result<()> {
        self.monitor.stop()
    }

    async fn wait_for_names(&mut self, refresh: &mut Option<Refresh>) -> anyhow::Result<()> {
        match refresh.take() {
            Some(handle) => self.refreshed(handle.await?).await,
            None => Ok(()),
        }
    }

    async fn refreshed(&mut self, (names, changed, failures): Refreshed) -> anyhow::Result<()> {
        for (name, failure) in failures {
            tracing::warn!("{name}: {failure}");
        }
        if changed {
            let fleet = self.fleet.at_addresses(|name| names.address(name));
            self.probe(fleet).await?;
        }
        self.names = Some(names);
        Ok(())
    }

    /// Reads the configuration anew. With an error in it nothing changes.
    async fn reload(&mut self) -> anyhow::Result<()> {
        let result = self.try_reload().await;
        self.monitor.vitals.reloaded(result.is_ok());
        match &result {
            Ok(()) => tracing::info!("configuration read anew: {} targets", self.fleet.len()),
            Err(error) => {
                tracing::error!("configuration not read anew, nothing changed: {error:#}");
            }
        }
        result
    }

    async fn try_reload(&mut self) -> anyhow::Result<()> {
        let config = config::load(&self.path)?;
        let mut names = self.names.take().map_or_else(Names::new, Ok)?;
        let found = look_up_all(&config, &self.path, &mut names).await;
        if found.is_err() {
            names.set(self.fleet.host_names());
        }
        let (keys, traffic_class) = (config.keys, config.transmit.traffic_class());
        self.transmit.dscp = config.transmit.dscp;
        if self.transmit != config.transmit {
            tracing::warn!(
                "another engine, other pumps or other source ports take a restart: they stay as they were"
            );
        }
        if self.beat_port != config.beats.port {
            tracing::warn!("another services.port takes a restart: it stays as it was");
        }
        let beats = config.beats;
        let fleet = config.fleet(|name| names.address(name));
        self.names = Some(names);
        found?;
        let adopted = self.adoption.after(beats, &self.fleet, &self.monitor.live);
        let fleet = self.renumbered(fleet, &adopted)?;
        self.adoption.set(adopted, beats);
        // The kernel's receiver first: it has to know a key before a ping is signed with it.
        self.monitor.settings.keys = keys;
        self.hops.set_traffic_class(traffic_class);
        self.probe(fleet).await?;
        self.monitor.order(Order::Keys(keys));
        self.monitor.order(Order::TrafficClass(traffic_class));
        Ok(())
    }

    /// Takes in the services that were heard of since the last time.
    async fn adopt(&mut self) -> anyhow::Result<()> {
        if !self.adoption.hear() {
            return Ok(());
        }
        match self.renumbered((*self.fleet).clone(), self.adoption.services()) {
            Ok(fleet) => self.probe(fleet).await,
            Err(error) => {
                tracing::warn!("services that nobody configured are not adopted: {error:#}");
                self.adoption.stop();
                Ok(())
            }
        }
    }

    /// A newly configured fleet, with these services adopted, by the numbers of the one before, if there is room for it.
    fn renumbered(&self, mut fleet: Fleet, adopted: &[Adopted]) -> anyhow::Result<Fleet> {
        fleet.add_hosts(adopted);
        let mut fleet = renumber(fleet, &self.fleet);
        fleet.place_services(&self.fleet, adopted);
        self.room.check(&fleet)?;
        Ok(fleet)
    }

    async fn probe(&mut self, fleet: Fleet) -> anyhow::Result<()> {
        let classes: Vec<_> = fleet.classes.iter().map(Class::for_receiver).collect();
        self.interfaces
            .set(&self.monitor.settings, &classes)
            .context("telling the kernel's programs what to receive")?;
        let old = std::mem::replace(&mut self.fleet, Arc::new(fleet));
        if self.fleet.detail != old.detail {
            tracing::info!(
                "metrics.detail: {}",
                match self.fleet.detail {
                    Detail::All => "all: every target has series of its own",
                    Detail::Exceptions =>
                        "exceptions: only targets that are not up have series of their own",
                    Detail::Groups => "groups: no target has series of its own",
                }
            );
        }
        // First the ears, then the first ping.
        self.route().await;
        self.monitor.probe(&old, self.fleet.clone());
        Ok(())
    }
}

/// Waits for the look-up under way; `None` if there is none.
async fn answered(refresh: &mut Option<Refresh>) -> Option<Result<Refreshed, JoinError>> {
    match refresh {
        Some(handle) => Some(handle.await),
        None => None,
    }
}

async fn look_up(mut names: Names) -> Refreshed {
    let (changed, failures) = names.refresh().await;
    (names, changed, failures)
}

/// Looks up every name. That one does not exist is an error of the configuration; that DNS does not answer is none: the name
/// is looked up again later.
async fn look_up_all(
    config: &Config,
    path: &Path,
    names: &mut Names,
) -> Result<(), config::Errors> {
    for (name, failure) in names.check(config, path).await? {
        tracing::warn!("{name}: {failure}; it is not probed until DNS answers");
    }
    Ok(())
}

fn load_kernel(xdp: Option<Want>, room: Room, engine: Engine) -> anyhow::Result<Option<Kernel>> {
    if xdp.is_none() {
        tracing::info!("xdp: off: pongs are timed at the sockets");
        return Ok(None);
    }
    match Kernel::load(room.of_kernel()) {
        Ok(kernel) => Ok(Some(kernel)),
        Err(error) if engine == Engine::Kernel => Err(error).context("engine: kernel"),
        Err(error) => {
            tracing::warn!("pings leave by sockets, and pongs are timed there: {error}");
            Ok(None)
        }
    }
}
