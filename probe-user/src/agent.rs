//! `heartprobe agent`: beats for the services of this host while they work, answers pings, and tells how both go.
//!
//! One loop owns all that is sent; each check has a task of its own, so that none holds up another or the beats.

mod metrics;
mod monitor;
mod service;
pub mod trial;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use probe_common::{siphash::Key, wire::Message};
use sd_notify::NotifyState;
use tokio::{
    net::TcpListener,
    signal::unix::Signal,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use self::{metrics::Metrics, monitor::Monitor, service::Service};
use crate::{
    clock,
    config::agent::{self as config, OWN},
    health::{self, Health},
    outlet::Outlet,
    pulse::{Pulse, Vitals},
    random,
    reflector::{HostReflector, Places},
};

/// How often health is looked at, and systemd's watchdog told if that is not sooner.
const TURN: Duration = Duration::from_secs(1);

/// Results of checks that may wait for the loop.
const REPORTS: usize = 64;

/// A running agent.
pub struct Agent {
    file: PathBuf,
    /// Interfaces at which the kernel answers pings whatever the configuration says.
    xdp: Vec<String>,
    places: Option<Places>,
    reflector: Option<HostReflector>,
    outlet: Outlet,
    health: Health,
    vitals: Vitals,
    beat: Interval,
    monitors: Vec<Monitor>,
    /// The agent's own beats are the first.
    services: Vec<Service>,
    checks: JoinSet<()>,
    reports: mpsc::Receiver<Report>,
    metrics: Metrics,
}

/// What a check has found: the service's index, and why it does not work if it does not.
type Report = (usize, Result<(), String>);

impl Agent {
    /// Opens the sockets and begins to check. `file` is where the configuration is read again; at the interfaces `xdp` the kernel
    /// answers pings whatever it says.
    pub async fn start(
        config: config::Agent,
        file: PathBuf,
        xdp: Vec<String>,
    ) -> anyhow::Result<Self> {
        let mut health = Health::default();
        let vitals = Vitals {
            health: health.look(),
            boot: health::boot(),
        };
        let (_, reports) = mpsc::channel(1);
        let mut agent = Self {
            file,
            xdp,
            places: None,
            reflector: None,
            outlet: Outlet::open(config.keys).await,
            health,
            vitals,
            beat: interval(config.beat_interval),
            monitors: Vec::new(),
            services: Vec::new(),
            checks: JoinSet::new(),
            reports,
            metrics: Metrics::new(),
        };
        agent.adopt(config)?;
        Ok(agent)
    }

    /// Runs until told to stop; `hangup` has it read its configuration again.
    pub async fn run(
        mut self,
        mut stop: mpsc::Receiver<()>,
        mut hangup: Signal,
        web: Option<TcpListener>,
    ) -> anyhow::Result<()> {
        if let Some(listener) = web {
            tracing::info!("serving metrics on {}", listener.local_addr()?);
            tokio::spawn(self.metrics.serve(listener));
        }
        let watchdog = sd_notify::watchdog_enabled();
        let mut turn = interval(watchdog.map_or(TURN, |limit| TURN.min(limit / 2)));
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        notify(&[NotifyState::Ready]);
        loop {
            tokio::select! {
                _ = stop.recv() => break,
                _ = hangup.recv() => self.reload(),
                _ = turn.tick() => {
                    self.turn()?;
                    if watchdog.is_some() {
                        notify(&[NotifyState::Watchdog]);
                    }
                }
                _ = self.beat.tick() => self.beat_all(),
                Some((service, outcome)) = self.reports.recv() => self.note(service, outcome),
                (message, from) = self.outlet.receive() => self.acked(&message, from),
            }
        }
        notify(&[NotifyState::Stopping]);
        self.reflector.map_or(Ok(()), HostReflector::stop)
    }

    /// What is to be done every second.
    fn turn(&mut self) -> anyhow::Result<()> {
        self.vitals.health = self.health.look();
        if let Some(reflector) = self.reflector.take_if(|reflector| reflector.has_ended()) {
            reflector.stop()?;
            anyhow::bail!("the reflector has ended");
        }
        if let Some(reflector) = &mut self.reflector {
            reflector.refresh(self.vitals.health)?;
        }
        let now = Instant::now();
        for service in &mut self.services {
            service.tell_if_overdue(now, &self.metrics);
        }
        // A monitor whose name was resolved just now need not wait for the next beat. The others get it too: a number that they
        // do not see counts as lost.
        let new = |monitor: &Monitor| monitor.was_sent_nothing() && monitor.address().is_some();
        if self.monitors.iter().any(new) {
            self.beat(|_| true);
        }
        Ok(())
    }

    fn beat_all(&mut self) {
        let now = Instant::now();
        for monitor in &mut self.monitors {
            monitor.tell_if_silent(now, self.beat.period());
        }
        self.beat(|_| true);
    }

    /// Sends every monitor a beat of those of the services that work.
    fn beat(&mut self, which: impl Fn(usize) -> bool) {
        let now = Instant::now();
        let services = self.services.iter_mut().enumerate();
        for (_, service) in services.filter(|(i, service)| which(*i) && service.is_alive(now)) {
            let beat = service.pulse.next(clock::monotonic(), self.vitals);
            for monitor in &mut self.monitors {
                if monitor.send(&self.outlet, &beat, now) {
                    self.metrics.beats(&service.name, monitor.name()).inc();
                }
            }
        }
    }

    /// Takes in what a check has found. One that passes again has its service beat at once.
    fn note(&mut self, index: usize, outcome: Result<(), String>) {
        let Some(service) = self.services.get_mut(index) else {
            return;
        };
        if service.note(outcome, Instant::now(), &self.metrics) {
            self.beat(|i| i == index);
        }
    }

    fn acked(&mut self, message: &Message, from: SocketAddr) {
        let mut services = self.services.iter();
        let Some(service) = services.find(|service| service.pulse.is_answered_by(message)) else {
            return;
        };
        let now = Instant::now();
        for monitor in self.monitors.iter_mut().filter(|m| m.is_at(from)) {
            monitor.acked(now);
            self.metrics.acked(&service.name, monitor.name());
        }
    }

    fn reload(&mut self) {
        let loaded = config::load(&self.file).map_err(anyhow::Error::from);
        match loaded.and_then(|config| self.adopt(config)) {
            Ok(()) => tracing::info!("the configuration is reloaded"),
            Err(error) => tracing::error!("the configuration is as it was: {error:#}"),
        }
    }

    /// Does from now on what the configuration says. Services and monitors that stay go on as they are.
    ///
    /// # Errors
    /// Where pings cannot be answered as it says; nothing has changed then.
    fn adopt(&mut self, mut config: config::Agent) -> anyhow::Result<()> {
        for interface in &self.xdp {
            let known = &mut config.reflect.get_or_insert_default().xdp;
            if !known.contains(interface) {
                known.push(interface.clone());
            }
        }
        let own = self.service(OWN, &config)?;
        let mut services = vec![own];
        for wanted in &config.services {
            services.push(self.service(&wanted.name, &config)?);
        }
        self.reflect(config.reflect, config.keys)?;
        self.outlet.keys = config.keys;

        // The tasks of before end with the set.
        let mut checks = JoinSet::new();
        let (tell, reports) = mpsc::channel(REPORTS);
        for (index, (service, wanted)) in
            { services.iter_mut().skip(1).zip(config.services) }.enumerate()
        {
            service.watch(wanted, index + 1, tell.clone(), &mut checks);
        }
        (self.checks, self.reports) = (checks, reports);

        let mut before = std::mem::take(&mut self.monitors);
        let monitors = config.monitors.into_iter().map(|name| {
            let known = before
                .iter()
                .position(|monitor| monitor.name() == &*name.text);
            known.map_or_else(
                || Monitor::new(name, config.ack),
                |at| before.swap_remove(at).with_acks(config.ack),
            )
        });
        self.monitors = monitors.collect();
        self.services = services;
        if self.beat.period() != config.beat_interval {
            self.beat = interval(config.beat_interval);
        }
        // A machine that was suspended owes nobody the beats of that time.
        self.beat
            .set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.metrics.keep(
            |service| self.services.iter().any(|known| known.name == service),
            |monitor| self.monitors.iter().any(|known| known.name() == monitor),
        );
        tracing::info!(
            "beats of {} services go to {} monitors as host {}",
            self.services.len(),
            self.monitors.len(),
            config.host
        );
        Ok(())
    }

    /// A service of this name, with the numbers and the standing that it has already.
    fn service(&self, name: &str, config: &config::Agent) -> anyhow::Result<Service> {
        let epoch = random::epoch().context("drawing an epoch")?;
        let pulse = Pulse::new(&config.host, name, config.session, config.ack, epoch);
        let known = self.services.iter().find(|known| known.name == name);
        Ok(match known {
            Some(known) => known.with_pulse(pulse.after(&known.pulse)),
            None => Service::new(name, pulse),
        })
    }

    /// Answers pings at these places; where that fails, at those of before.
    fn reflect(&mut self, places: Option<Places>, keys: [Key; 2]) -> anyhow::Result<()> {
        if self.places == places {
            return self
                .reflector
                .as_mut()
                .map_or(Ok(()), |reflector| reflector.set_keys(keys));
        }
        // First, for both may want the same port.
        if let Some(reflector) = self.reflector.take() {
            reflector.stop()?;
        }
        let health = self.vitals.health;
        let start = |places: Option<&Places>, keys| {
            let started = places.map(|places| HostReflector::start(places, keys, health));
            started.transpose()
        };
        match start(places.as_ref(), keys) {
            Ok(reflector) => {
                (self.reflector, self.places) = (reflector, places);
                Ok(())
            }
            Err(error) => {
                let before = self.places.take();
                self.reflector = start(before.as_ref(), self.outlet.keys)?;
                self.places = before;
                Err(error).context("answering pings (reflect: off leaves that to another)")
            }
        }
    }
}

/// Tells systemd, where it has started this.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("cannot tell systemd: {error}");
    }
}
