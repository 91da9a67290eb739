//! Table 1: pings a second and what one costs, beside `fping`.

use std::{thread, time::Duration};

use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};
use heartprobe_tests::metrics::Scrape;

use crate::{
    Plan,
    cost::{self, Machine},
    fleet::Fleet,
    peer,
};

/// Until sockets, caches and neighbours have settled.
const WARM_UP: Duration = Duration::from_secs(3);

pub struct Line {
    pub what: String,
    pub targets: usize,
    pub rate: f64,
    pub lost: u64,
    /// Processor seconds of the program and of the whole machine, and its share of user space.
    pub own: f64,
    pub user: f64,
    pub machine: f64,
    pub pings: f64,
    pub seconds: f64,
    pub lag: String,
}

pub fn run(plan: &Plan) {
    let fleet = Fleet::new();
    let mut lines = Vec::new();
    for &targets in &plan.sizes {
        for xdp in ["auto", "off"] {
            lines.push(heartprobe(&fleet, targets, xdp, plan.window));
        }
        lines.extend(peer::fping(&fleet, targets, plan.window));
    }
    println!("Pings once a second, fleet and monitor on this machine (the reflector's cost is in the machine's)");
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header([
        "", "targets", "pings/s", "lost", "µs CPU/ping", "of it user", "µs machine/ping", "% of a core", "lag p99",
    ]);
    for line in lines {
        let each = |seconds: f64| format!("{:.2}", seconds / line.pings * 1e6);
        table.add_row([
            line.what.clone(),
            line.targets.to_string(),
            format!("{:.0}", line.rate),
            line.lost.to_string(),
            each(line.own),
            each(line.user),
            each(line.machine),
            format!("{:.1}", line.own / line.seconds * 100.0),
            line.lag.clone(),
        ]);
    }
    println!("{table}");
    println!("aim: 100,000 targets at 1 s with nothing lost, under 60 % of one core for the daemon\n");
}

fn heartprobe(fleet: &Fleet, targets: usize, xdp: &str, window: Duration) -> Line {
    let daemon = fleet.monitor(targets, xdp);
    thread::sleep(WARM_UP);
    let pid = daemon.id();
    let before = Counts::read(fleet);
    let (machine, own) = (Machine::now(), cost::of_process(pid).unwrap_or_default());
    thread::sleep(window);
    let own = cost::of_process(pid).unwrap_or_default().since(own);
    let machine = machine.busy();
    // Pings that are out when the counts are read are neither lost nor answered: none is after its timeout.
    let after = Counts::read(fleet);
    let pings = after.sent - before.sent;
    Line {
        what: format!("heartprobe, {}", if xdp == "auto" { "XDP receives" } else { "sockets receive" }),
        targets,
        rate: pings / window.as_secs_f64(),
        lost: after.missed,
        own: own.all(),
        user: own.user,
        machine,
        pings,
        seconds: window.as_secs_f64(),
        lag: after.lag,
    }
}

/// What the daemon has counted so far.
struct Counts {
    sent: f64,
    missed: u64,
    lag: String,
}

impl Counts {
    fn read(fleet: &Fleet) -> Self {
        let scrape = Scrape::parse(&fleet.group_metrics());
        let value = |name: &str| scrape.all(name, &[]).map(|sample| sample.value).sum::<f64>();
        let not_up: f64 = scrape
            .all("heartprobe_targets", &[])
            .filter(|sample| sample.label("state") != Some("up"))
            .map(|sample| sample.value)
            .sum();
        let fates = value("heartprobe_pongs_total");
        let late = scrape.metric("heartprobe_pongs_total", &[("fate", "ok")]).unwrap_or(0.0);
        Self {
            sent: late,
            missed: not_up as u64 + (fates - late) as u64 + value("heartprobe_pings_unsent_total") as u64,
            lag: quantile(&scrape, "heartprobe_ping_lag_seconds", &[], 0.99),
        }
    }
}

/// The upper bound of the bucket in which this share of a histogram's observations is reached.
pub fn quantile(scrape: &Scrape, name: &str, labels: &[(&str, &str)], share: f64) -> String {
    let bucket = format!("{name}_bucket");
    let buckets: Vec<_> = scrape.all(&bucket, labels).collect();
    let total = buckets.last().map_or(0.0, |last| last.value);
    let reached = buckets.iter().find(|sample| sample.value >= share * total);
    match reached.and_then(|sample| sample.label("le")) {
        None | Some("+Inf") => "above all".into(),
        Some(bound) => format!("≤ {}", seconds(bound.parse().unwrap_or(0.0))),
    }
}

fn seconds(time: f64) -> String {
    match time {
        t if t < 1e-3 => format!("{:.0} µs", t * 1e6),
        t if t < 1.0 => format!("{:.0} ms", t * 1e3),
        t => format!("{t:.0} s"),
    }
}
