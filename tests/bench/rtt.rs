//! Table 2: the round-trip time as XDP takes it, beside the one that the sockets take, idle and busy.
//!
//! All see the same fleet over the same wire; what differs is where the pong's time is taken.

use std::{process::Command, thread, time::Duration};

use heartprobe_tests::process::Process;

use crate::{
    Plan, cost,
    fleet::{Engine, Fleet},
    histogram::Histogram,
    peers::fping,
    table::{self, time},
};

/// Small enough that an idle machine is idle.
const TARGETS: u32 = 1_000;

/// Until the first pings, which wait for the neighbour's address, are over.
const WARM_UP: Duration = Duration::from_secs(3);

/// Between two pings of a target.
const EACH: Duration = Duration::from_secs(1);

const SHARES: [f64; 4] = [0.5, 0.9, 0.99, 1.0];

/// Measures all ways, idle and busy, and prints the table.
pub fn run(plan: &Plan) {
    let mut table = table::new(&["", "cores", "pongs", "mean", "p50", "p90", "p99", "max"]);
    for busy in [false, true] {
        let cores = if busy { "busy" } else { "idle" };
        let mut add = |name: &str, count: f64, mean: f64, quantiles: [String; 4]| {
            let row = [name.into(), cores.into(), format!("{count:.0}"), time(mean)];
            table.add_row(row.into_iter().chain(quantiles));
        };
        for engine in Engine::ALL {
            let times = heartprobe(engine, busy, plan.window);
            let quantiles = SHARES.map(|share| times.quantile(share));
            add(engine.name(), times.count(), times.mean(), quantiles);
        }
        let fleet = Fleet::without_reflector();
        let _work = work(&fleet, busy, plan.window);
        let times = fping::round_trips(&fleet, TARGETS, plan.window);
        let last = times.len().saturating_sub(1) as f64;
        let quantiles = SHARES.map(|share| {
            let seconds = times.get((share * last) as usize);
            seconds.map_or("-".into(), |&seconds| time(seconds))
        });
        let count = times.len() as f64;
        add("fping", count, times.iter().sum::<f64>() / count, quantiles);
    }
    println!("Round-trip times: {TARGETS} targets once a second\n\n{table}\n");
    println!(
        "heartprobe's mean is exact, its percentiles are bounds of its histogram's buckets; fping's are of every answer. Busy:\n\
         {} processes of ordinary priority that only count.\n",
        cost::cores()
    );
}

fn heartprobe(engine: Engine, busy: bool, window: Duration) -> Histogram {
    let fleet = Fleet::of(engine);
    let daemon = fleet.monitor(TARGETS, engine, EACH);
    let _work = work(&fleet, busy, window);
    thread::sleep(WARM_UP);
    let times = || Histogram::of(&daemon.scrape(), "heartprobe_rtt_seconds");
    let before = times();
    thread::sleep(window);
    times().since(&before)
}

/// Other work of ordinary priority on every core, if wanted; it ends when it is dropped. In the namespace, so that it ends
/// with the bench in any case.
fn work(fleet: &Fleet, wanted: bool, window: Duration) -> Vec<Process> {
    let most = (WARM_UP + 3 * window).as_secs();
    let count = if wanted { cost::cores() } else { 0 };
    let start = |_| {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(format!("ulimit -t {most}; while :; do :; done"));
        Process::start(&fleet.net.fleet, &mut shell)
    };
    (0..count).map(start).collect()
}
