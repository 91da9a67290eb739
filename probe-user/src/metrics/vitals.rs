//! The engine's own health: written by the prober, where each costs an atomic or two, and read by scrapes.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    proto::MetricFamily,
};

use super::{
    engine::Engine,
    errno,
    register::register,
    rejection::Rejection,
    state_changes::{GroupChanges, StateChanges},
};
use crate::{core::verdict::State, fleet::Group};

/// From 10 µs, the slack of a timer, to 1 s, a stall.
const LAG_BOUNDS: [f64; 11] = [
    0.000_01, 0.000_1, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0,
];

/// From 1 µs, a few verdicts, to 100 ms, a stall.
const EVALUATION_BOUNDS: [f64; 10] = [
    0.000_001, 0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1,
];

/// The engine's own health.
pub struct Vitals {
    /// How late behind its schedule a ping left, s.
    pub lag: Histogram,
    /// What one round of verdicts took, s.
    pub evaluation: Histogram,
    /// Pings that were due and were not sent.
    pub unsent: IntCounter,
    /// Pings whose pong did not come within the timeout.
    pub missed: IntCounter,
    /// Packets that the kernel dropped because a socket's buffer was full.
    pub overflows: IntCounter,
    /// Acks sent for beats that asked for one.
    pub acks: IntCounter,
    send_errors: Vec<IntCounter>,
    rejections: Vec<IntCounter>,
    fit: IntGauge,
    reload_successful: IntGauge,
    reloaded_at: IntGauge,
    engines: ArcSwap<Vec<Engine>>,
    changes: StateChanges,
    registry: Registry,
    started: Instant,
    /// When the prober's loop last turned, ns since `started`; 0: not yet.
    turned: AtomicU64,
    ready: AtomicBool,
}

impl Vitals {
    /// Nothing counted yet; the monitor is not fit until it is set to be.
    pub fn new() -> Self {
        let registry = Registry::new();
        let build = IntGaugeVec::new(
            Opts::new(
                "heartprobe_build_info",
                "1; the version of heartprobe and the digest of its eBPF sources.",
            ),
            &["version", "ebpf"],
        );
        let build = register(&registry, build);
        build
            .with_label_values(&[env!("CARGO_PKG_VERSION"), env!("HEARTPROBE_EBPF_DIGEST")])
            .set(1);
        let counters = |name, help, label, values: &mut dyn Iterator<Item = &'static str>| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label]);
            let counters = register(&registry, counters);
            // All of them are there from the start: an increase from nothing is one that PromQL does not see.
            values
                .map(|value| counters.with_label_values(&[value]))
                .collect()
        };
        let counter = |name, help| register(&registry, IntCounter::new(name, help));
        let gauge = |name, help| register(&registry, IntGauge::new(name, help));
        let histogram = |name, help, bounds: &[f64]| {
            let opts = HistogramOpts::new(name, help).buckets(bounds.to_vec());
            register(&registry, Histogram::with_opts(opts))
        };
        Self {
            lag: histogram(
                "heartprobe_ping_lag_seconds",
                "How late behind the schedule pings leave.",
                &LAG_BOUNDS,
            ),
            evaluation: histogram(
                "heartprobe_evaluation_seconds",
                "What one round of verdicts takes.",
                &EVALUATION_BOUNDS,
            ),
            missed: counter(
                "heartprobe_pings_missed_total",
                "Pings whose pong did not come within the timeout.",
            ),
            unsent: counter(
                "heartprobe_pings_unsent_total",
                "Pings that were due and were not sent.",
            ),
            overflows: counter(
                "heartprobe_receive_overflows_total",
                "Packets dropped by the kernel because the buffer of a socket was full.",
            ),
            acks: counter(
                "heartprobe_acks_total",
                "Acks sent for beats that asked for one.",
            ),
            send_errors: counters(
                "heartprobe_send_errors_total",
                "Errors from sending pings, by errno.",
                "errno",
                &mut errno::NAMES
                    .iter()
                    .map(|&(_, name)| name)
                    .chain([errno::OTHER]),
            ),
            rejections: counters(
                "heartprobe_rejections_total",
                "ICMP errors that came back for pings, by reason.",
                "reason",
                &mut Rejection::ALL.iter().map(|reason| reason.name()),
            ),
            fit: gauge(
                "heartprobe_monitor_fit",
                "1 while the monitor itself is able to judge.",
            ),
            reload_successful: gauge(
                "heartprobe_config_last_reload_successful",
                "Whether the configuration was read well the last time.",
            ),
            reloaded_at: gauge(
                "heartprobe_config_last_reload_success_timestamp_seconds",
                "When the configuration was last read well, Unix time.",
            ),
            engines: ArcSwap::default(),
            changes: StateChanges::default(),
            registry,
            started: Instant::now(),
            turned: AtomicU64::new(0),
            ready: AtomicBool::new(false),
        }
    }

    /// Sending a ping ended in `errno`.
    pub fn send_error(&self, errno: i32) {
        let known = errno::NAMES.iter().position(|&(number, _)| number == errno);
        self.send_errors[known.unwrap_or(errno::NAMES.len())].inc();
    }

    /// A ping came back.
    pub fn rejected(&self, reason: Rejection) {
        self.rejections[reason as usize].inc();
    }

    /// Whether the monitor itself can judge.
    pub fn set_fit(&self, fit: bool) {
        self.fit.set(fit.into());
    }

    /// The configuration was read, at start or anew, well or not.
    pub fn reloaded(&self, well: bool) {
        self.reload_successful.set(well.into());
        if well {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            self.reloaded_at
                .set(now.unwrap_or_default().as_secs() as i64);
        }
    }

    /// These engines are at work now, an entry an interface.
    pub fn set_engines(&self, engines: Vec<Engine>) {
        self.engines.store(Arc::new(engines));
    }

    /// The engines at work.
    pub fn engines(&self) -> Arc<Vec<Engine>> {
        self.engines.load_full()
    }

    /// These are the fleet's groups now, by their numbers. A group that was there before keeps its counts.
    pub fn set_groups(&self, groups: &[Group]) {
        self.changes.set_groups(groups);
    }

    /// A target of the group with this number came into `state`.
    pub fn count_change(&self, group: u32, state: State) {
        self.changes.count(group, state);
    }

    /// Changes of state by group.
    pub fn changes(&self) -> Arc<Vec<GroupChanges>> {
        self.changes.groups()
    }

    /// The prober's loop turns. It must at least twice a second, busy or not.
    pub fn turn(&self) {
        let now = self.started.elapsed().as_nanos() as u64;
        self.turned.store(now.max(1), Relaxed);
    }

    /// The prober has come to a fleet whole: it pings and hears all of it.
    pub fn set_ready(&self) {
        self.ready.store(true, Relaxed);
    }

    /// Whether it has at all.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    /// How long before `now` the prober's loop last turned, or, before its first turn, the monitor started.
    pub fn idle_for(&self, now: Instant) -> Duration {
        let turned = self.started + Duration::from_nanos(self.turned.load(Relaxed));
        now.saturating_duration_since(turned)
    }

    /// What is in the registry; engines and changes of state are not.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}

impl Default for Vitals {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vitals").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    fn text(vitals: &Vitals) -> String {
        TextEncoder::new()
            .encode_to_string(&vitals.gather())
            .unwrap()
    }

    #[test]
    fn what_is_counted_is_shown() {
        let vitals = Vitals::new();
        vitals.lag.observe(0.0015);
        vitals.unsent.inc();
        vitals.overflows.inc_by(3);
        vitals.set_fit(true);
        vitals.send_error(libc::ENETUNREACH);
        vitals.send_error(libc::EXFULL);
        for reason in Rejection::ALL {
            vitals.rejected(reason);
        }
        let text = text(&vitals);
        for line in [
            "heartprobe_ping_lag_seconds_bucket{le=\"0.001\"} 0",
            "heartprobe_ping_lag_seconds_bucket{le=\"0.002\"} 1",
            "heartprobe_pings_unsent_total 1",
            "heartprobe_receive_overflows_total 3",
            "heartprobe_monitor_fit 1",
            "heartprobe_send_errors_total{errno=\"ENETUNREACH\"} 1",
            "heartprobe_send_errors_total{errno=\"ENOBUFS\"} 0",
            "heartprobe_send_errors_total{errno=\"other\"} 1",
            "heartprobe_rejections_total{reason=\"port-unreachable\"} 1",
            "heartprobe_rejections_total{reason=\"other\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} not in\n{text}");
        }
    }

    #[test]
    fn a_failed_reload_keeps_the_time_of_the_last_good_one() {
        let vitals = Vitals::new();
        vitals.reloaded(true);
        let at = vitals.reloaded_at.get();
        assert!(at > 1_700_000_000);
        vitals.reloaded_at.set(at - 60);
        vitals.reloaded(false);
        assert_eq!(
            (vitals.reload_successful.get(), vitals.reloaded_at.get()),
            (0, at - 60)
        );
    }

    #[test]
    fn idle_since_the_last_turn() {
        let vitals = Vitals::new();
        let minute = Duration::from_mins(1);
        assert_eq!(vitals.idle_for(vitals.started + minute), minute);
        vitals.turn();
        assert!(vitals.idle_for(vitals.started + minute) < minute);
        assert_eq!(vitals.idle_for(vitals.started), Duration::ZERO);
    }
}
