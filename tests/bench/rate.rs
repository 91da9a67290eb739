//! Rate and cost of heartprobe's own engines, at every fleet size.

use std::{thread, time::Duration};

use heartprobe_tests::daemon::Daemon;

use crate::{
    Plan,
    aims::Aims,
    cost::{self, Baseline, Cost, Machine, Memory},
    counts::Counts,
    fleet::{Engine, Fleet},
    histogram::Histogram,
    line::{self, Line, period},
    progress,
    table::{self, digits, megabytes},
};

/// A million for this long, whatever the window.
const LONG: Duration = Duration::from_mins(1);
const MILLION: u32 = 1_000_000;

/// What the daemon tells of itself beside what a [`Line`] holds.
pub struct Inside {
    pub line: Line,
    pub interval: Duration,
    /// Its processor time.
    pub own: Cost,
    /// Pings that were due and not sent.
    pub unsent: f64,
    /// Verdicts that changed in the window, though no host did.
    pub false_verdicts: f64,
    pub lag: Histogram,
    pub memory: Memory,
}

/// Measures every size and prints the tables and the aims.
pub fn run(plan: &Plan, baseline: Baseline) -> Vec<Line> {
    let second = Duration::from_secs(1);
    let mut runs: Vec<_> = plan.sizes.iter().map(|&size| (size, second)).collect();
    // As fleets of that size are pinged by default.
    if let Some(place) = plan.sizes.iter().position(|&size| size == 10_000) {
        runs.insert(place, (10_000, 5 * second));
    }
    let mut all = Vec::new();
    for engine in Engine::ALL {
        let fleet = Fleet::of(engine);
        for &(targets, interval) in runs.iter().filter(|run| run.0 <= engine.most()) {
            let window = if targets < MILLION { plan.window } else { LONG };
            all.push(measure(
                &fleet,
                engine,
                targets,
                interval,
                window.max(interval),
            ));
        }
    }
    let lines: Vec<_> = all.iter().map(|inside| inside.line.clone()).collect();
    println!("Rate and cost\n\n{}\n", line::table(&lines, baseline));
    println!(
        "Own is the processor time of the program. The machine's figure holds the fleet's answers too, and is without the {} % of a\n\
         core that the machine uses by itself (give or take {} %); - where that hides it.\n",
        digits(baseline.cores * 100.0),
        digits(baseline.noise * 50.0)
    );
    println!("What the daemon tells of these runs\n\n{}\n", details(&all));
    println!(
        "No host changes in a run, so any change of a verdict is false. Lag is that of each turn's oldest ping.\n"
    );
    println!("{}", Aims::of(&all, baseline));
    lines
}

fn details(all: &[Inside]) -> comfy_table::Table {
    let mut table = table::new(&[
        "",
        "targets",
        "each",
        "unsent",
        "false verdicts",
        "user µs/ping",
        "system µs/ping",
        "lag p50",
        "lag p99",
        "heap",
        "table",
    ]);
    for inside in all {
        let each = |seconds: f64| digits(seconds / inside.line.pings.max(1.0) * 1e6);
        table.add_row([
            inside.line.name.into(),
            inside.line.targets.to_string(),
            inside.line.each.clone(),
            digits(inside.unsent),
            digits(inside.false_verdicts),
            each(inside.own.user),
            each(inside.own.system),
            inside.lag.quantile(0.5),
            inside.lag.quantile(0.99),
            megabytes(inside.memory.own),
            megabytes(inside.memory.table),
        ]);
    }
    table
}

fn measure(
    fleet: &Fleet,
    engine: Engine,
    targets: u32,
    interval: Duration,
    window: Duration,
) -> Inside {
    progress(engine.name(), targets);
    let daemon = fleet.monitor(targets, engine, interval);
    warm_up(&daemon, targets, interval);
    let used = || cost::of_process(daemon.id()).unwrap_or_default();
    let before = Counts::of(&daemon);
    let (machine, own) = (Machine::now(), used());
    thread::sleep(window);
    let (busy, seconds, own) = (machine.busy(), machine.elapsed(), used().since(own));
    let after = Counts::of(&daemon);
    // The two scrapes are further apart than the window is long, by what it takes to read them.
    let rate = (after.judged - before.judged) / (after.at - before.at).as_secs_f64();
    Inside {
        line: Line {
            name: engine.name(),
            targets,
            each: period(interval.as_secs_f64()),
            pings: rate * seconds,
            lost: after.missed - before.missed,
            own: own.all(),
            machine: busy,
            seconds,
        },
        interval,
        own,
        unsent: after.unsent - before.unsent,
        false_verdicts: after.changes - before.changes,
        lag: after.lag.since(&before.lag),
        memory: Memory::of(daemon.id()).unwrap_or_default(),
    }
}

/// Waits until every host is known to be up, and for one interval more: a daemon's first pings wait for neighbours.
pub fn warm_up(daemon: &Daemon<'_>, targets: u32, interval: Duration) {
    daemon.until(
        "all are up",
        3 * interval + Duration::from_secs(30),
        |scrape| scrape.sum("heartprobe_targets", &[("state", "up")]) >= u64::from(targets),
    );
    thread::sleep(interval);
}
