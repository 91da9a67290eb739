//! Table 1: pings a second and what one costs, beside `fping`.

use std::{thread, time::Duration};

use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};
use heartprobe_tests::daemon::Daemon;

use crate::{
    Plan,
    cost::{self, Machine},
    fleet::{Fleet, Receive},
    peer,
    quantile::quantile,
};

/// Until every host is known to be up and caches are warm.
const WARM_UP: Duration = Duration::from_secs(4);

/// One prober at one size.
pub struct Line {
    pub what: String,
    pub targets: usize,
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
pub fn run(plan: &Plan) {
    let fleet = Fleet::new();
    let mut lines = Vec::new();
    for &targets in &plan.sizes {
        for receive in [Receive::Xdp, Receive::Sockets] {
            lines.push(heartprobe(&fleet, targets, receive, plan.window));
        }
        lines.push(peer::fping(&fleet, targets, plan.window));
    }
    println!("each target once a second; the fleet's answers are part of the machine's cost");
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header([
        "",
        "targets",
        "pings/s",
        "lost",
        "unsent",
        "CPU µs/ping",
        "of it user",
        "machine µs/ping",
        "% of a core",
        "lag p99",
    ]);
    for line in &lines {
        let each = |seconds: f64| format!("{:.2}", seconds / line.pings.max(1.0) * 1e6);
        table.add_row([
            line.what.clone(),
            line.targets.to_string(),
            format!("{:.0}", line.pings / line.seconds),
            format!("{:.0}", line.lost),
            format!("{:.0}", line.unsent),
            each(line.own),
            each(line.user),
            each(line.machine),
            format!("{:.1}", line.own / line.seconds * 100.0),
            line.lag.clone(),
        ]);
    }
    println!("{table}");
    println!("aim: 100,000 targets with nothing lost, under 60 % of one core for heartprobe\n");
}

fn heartprobe(fleet: &Fleet, targets: usize, receive: Receive, window: Duration) -> Line {
    let _reflector = fleet.reflector(receive);
    let daemon = fleet.monitor(targets, receive);
    thread::sleep(WARM_UP);
    // Counts first and costs after them, both times: so the window is the same for both, with one scrape in it.
    let before = Counts::of(&daemon);
    let (machine, own) = (
        Machine::now(),
        cost::of_process(daemon.id()).unwrap_or_default(),
    );
    thread::sleep(window);
    let after = Counts::of(&daemon);
    let own = cost::of_process(daemon.id()).unwrap_or_default().since(own);
    let seconds = machine.elapsed();
    let machine = machine.busy();
    Line {
        what: format!("heartprobe, {}", receive.name()),
        targets,
        pings: after.pings - before.pings,
        lost: after.lost - before.lost,
        unsent: after.unsent - before.unsent,
        own: own.all(),
        user: own.user,
        machine,
        seconds,
        lag: after.lag,
    }
}

/// What the daemon has counted since its start.
struct Counts {
    pings: f64,
    lost: f64,
    unsent: f64,
    lag: String,
}

impl Counts {
    fn of(daemon: &Daemon<'_>) -> Self {
        let scrape = daemon.scrape();
        let all = |name: &str| {
            scrape
                .all(name, &[])
                .map(|sample| sample.value)
                .sum::<f64>()
        };
        Self {
            pings: all("heartprobe_target_pings_total"),
            lost: all("heartprobe_pings_missed_total"),
            unsent: all("heartprobe_pings_unsent_total"),
            lag: quantile(&scrape, "heartprobe_ping_lag_seconds", &[], 0.99),
        }
    }
}
