//! What a daemon under load has counted.

use std::time::Instant;

use heartprobe_tests::{daemon::Daemon, metrics::Scrape};

use crate::histogram::Histogram;

/// What the daemon has counted since its start.
pub struct Counts {
    /// When it was asked.
    pub at: Instant,
    /// Pings whose fate is known.
    pub judged: f64,
    /// Of these, those without a pong.
    pub missed: f64,
    /// Pings that were due and did not leave.
    pub unsent: f64,
    /// Changes of verdicts.
    pub changes: f64,
    /// How late behind the schedule pings left, s.
    pub lag: Histogram,
    /// Services that are up now.
    pub services_up: u64,
}

impl Counts {
    /// As of now.
    pub fn of(daemon: &Daemon<'_>) -> Self {
        let text = daemon.metrics();
        let at = Instant::now();
        let scrape = Scrape::parse(&text);
        let all = |name: &str| scrape.sum(name, &[]) as f64;
        let missed = all("heartprobe_pings_missed_total");
        let answered = ["ok", "late"].map(|fate| scrape.fate(fate) as f64);
        Self {
            at,
            judged: answered.iter().sum::<f64>() + missed,
            missed,
            unsent: all("heartprobe_pings_unsent_total"),
            changes: scrape.changes() as f64,
            lag: Histogram::of(&scrape, "heartprobe_ping_lag_seconds"),
            services_up: scrape.sum("heartprobe_services", &[("state", "up")]),
        }
    }
}
