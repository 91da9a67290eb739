//! Table 1: pings a second and what one costs, beside `fping`.

use std::{
    thread,
    time::{Duration, Instant},
};

use heartprobe_tests::{daemon::Daemon, metrics::Scrape};

use crate::{
    Plan,
    cost::{self, Baseline, Machine},
    fleet::{Fleet, Receive},
    histogram::Histogram,
    peer,
    table::{self, digits},
};

/// Until every host is known to be up and caches are warm.
const WARM_UP: Duration = Duration::from_secs(4);

/// One prober at one size.
pub struct Line {
    pub what: String,
    pub targets: u32,
    /// Pings sent in the window, and those of them that were not answered.
    pub pings: f64,
    pub lost: f64,
    /// Pings that were due and not sent.
    pub unsent: f64,
    /// Processor seconds of the program, those of them in user space, and of the whole machine.
    pub own: f64,
    pub user: f64,
    pub machine: f64,
    pub seconds: f64,
    pub lag: String,
}

/// Measures every size and prints the table.
pub fn run(plan: &Plan, baseline: Baseline) {
    let fleet = Fleet::new();
    let mut table = table::new(&[
        "",
        "targets",
        "pings/s",
        "lost",
        "unsent",
        "CPU µs/ping",
        "user",
        "system",
        "% of a core",
        "machine µs/ping",
        "lag p99",
    ]);
    for &targets in &plan.sizes {
        for receive in Receive::ALL {
            table.add_row(heartprobe(&fleet, targets, receive, plan.window).cells(baseline));
        }
        table.add_row(peer::fping(&fleet, targets, plan.window).cells(baseline));
    }
    println!("Rate and cost: each target once a second\n\n{table}\n");
    println!(
        "The machine's figure holds the fleet's answers, and is without the {} % of a core that the machine uses by itself (give or\n\
         take {} %); - where that hides it. Aim: 100,000 targets with nothing lost, under 60 % of a core for heartprobe.\n",
        digits(baseline.cores * 100.0),
        digits(baseline.noise * 50.0)
    );
}

impl Line {
    fn cells(&self, baseline: Baseline) -> [String; 11] {
        let each = |seconds: f64| digits(seconds / self.pings.max(1.0) * 1e6);
        let machine = self.machine - baseline.cores * self.seconds;
        let hidden = machine < 2.0 * baseline.noise * self.seconds;
        [
            self.what.clone(),
            self.targets.to_string(),
            format!("{:.0}", self.pings / self.seconds),
            format!("{:.0}", self.lost),
            format!("{:.0}", self.unsent),
            each(self.own),
            each(self.user),
            each(self.own - self.user),
            digits(self.own / self.seconds * 100.0),
            if hidden { "-".into() } else { each(machine) },
            self.lag.clone(),
        ]
    }
}

fn heartprobe(fleet: &Fleet, targets: u32, receive: Receive, window: Duration) -> Line {
    let daemon = fleet.monitor(targets, receive);
    thread::sleep(WARM_UP);
    let before = Counts::of(&daemon);
    let (machine, own) = (
        Machine::now(),
        cost::of_process(daemon.id()).unwrap_or_default(),
    );
    thread::sleep(window);
    let own = cost::of_process(daemon.id()).unwrap_or_default().since(own);
    let (busy, seconds) = (machine.busy(), machine.elapsed());
    let after = Counts::of(&daemon);
    // The two scrapes are further apart than the window is long, by what it takes to read them.
    let rate = (after.pings - before.pings) / (after.at - before.at).as_secs_f64();
    Line {
        what: receive.name().into(),
        targets,
        pings: rate * seconds,
        lost: after.lost - before.lost,
        unsent: after.unsent - before.unsent,
        own: own.all(),
        user: own.user,
        machine: busy,
        seconds,
        lag: after.lag.since(&before.lag).quantile(0.99),
    }
}

/// What the daemon has counted since its start.
struct Counts {
    at: Instant,
    pings: f64,
    lost: f64,
    unsent: f64,
    lag: Histogram,
}

impl Counts {
    fn of(daemon: &Daemon<'_>) -> Self {
        let text = daemon.metrics();
        let at = Instant::now();
        let scrape = Scrape::parse(&text);
        let all = |name: &str| {
            scrape
                .all(name, &[])
                .map(|sample| sample.value)
                .sum::<f64>()
        };
        Self {
            at,
            pings: all("heartprobe_target_pings_total"),
            lost: all("heartprobe_pings_missed_total"),
            unsent: all("heartprobe_pings_unsent_total"),
            lag: Histogram::of(&scrape, "heartprobe_ping_lag_seconds"),
        }
    }
}
