//! `cargo xtask bench`: what heartprobe costs, beside its peers in the same run.
//!
//! Absolute figures on a shared machine mean little; each table holds what it is to be compared with.

mod agent;
mod aims;
mod beats;
mod cost;
mod counts;
mod fleet;
mod histogram;
mod janitor;
mod line;
mod million;
mod outage;
mod peers;
mod plot;
mod rate;
mod rtt;
mod scrape;
mod table;

use std::{env, fs, path::PathBuf, process::ExitCode, time::Duration};

use heartprobe_tests::privilege;

use crate::cost::Baseline;

/// What to measure.
struct Plan {
    sizes: Vec<u32>,
    window: Duration,
    only: Option<String>,
    plot: Option<PathBuf>,
}

const USAGE: &str = "usage: bench [--quick] [--targets N[,N…]] [--only rate|peers|outage|rtt|scrape|beats|agent|million|kernel] [--plot FILE.svg]";

impl Plan {
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Self {
            sizes: vec![1_000, 10_000, 100_000, fleet::MOST],
            window: Duration::from_secs(15),
            only: None,
            plot: None,
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => {
                    plan.window = Duration::from_secs(3);
                    plan.sizes.retain(|&size| size <= 100_000);
                }
                "--targets" => {
                    let sizes = arguments.next().ok_or(USAGE)?;
                    let sizes: Result<_, _> = sizes.split(',').map(str::parse).collect();
                    plan.sizes = sizes.map_err(|_| USAGE)?;
                }
                "--only" => {
                    let part = arguments.next().filter(|p| PARTS.contains(&p.as_str()));
                    plan.only = Some(part.ok_or(USAGE)?);
                }
                "--plot" => plan.plot = Some(arguments.next().ok_or(USAGE)?.into()),
                _ => return Err(USAGE.into()),
            }
        }
        if plan
            .sizes
            .iter()
            .all(|size| (1..=fleet::MOST).contains(size))
        {
            Ok(plan)
        } else {
            Err(format!("--targets takes 1 to {}", fleet::MOST))
        }
    }

    /// Whether it has time for the largest fleets.
    fn is_full(&self) -> bool {
        self.only.is_some() || self.sizes.iter().any(|&size| size > 100_000)
    }

    fn has(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

/// Tells whoever waits what is being measured.
fn progress(what: &str, targets: u32) {
    eprintln!("measuring {what}: {targets} targets");
}

const PARTS: [&str; 8] = [
    "rate", "peers", "outage", "rtt", "scrape", "beats", "agent", "million",
];

fn main() -> ExitCode {
    let plan = match Plan::from_arguments(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    if env::var_os("HEARTPROBE_BIN").is_none() {
        eprintln!(
            "error: without HEARTPROBE_BIN a debug build would be measured; run: cargo xtask bench"
        );
        return ExitCode::FAILURE;
    }
    if let Err(missing) = privilege::check(&["ethtool", "ip", "fping", "gzip"]) {
        eprintln!("error: the bench needs network namespaces and eBPF: {missing}");
        return ExitCode::FAILURE;
    }
    let baseline = Baseline::measure(plan.window / 3);
    println!("{}\n", cost::machine());
    if !baseline.is_quiet() {
        println!(
            "The machine is {:.0} % of a core busy with other work: its own figures, and those of an idle machine, mean nothing.\n",
            baseline.cores * 100.0
        );
    }
    let mut lines = Vec::new();
    if plan.has("rate") {
        lines.extend(rate::run(&plan, baseline));
    }
    if plan.has("peers") {
        lines.extend(peers::run(&plan, baseline));
    }
    if let Some(path) = &plan.plot
        && let Err(error) = fs::write(path, plot::draw(&lines, baseline))
    {
        eprintln!("error: {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    if plan.has("outage") {
        outage::run(&plan);
    }
    if plan.has("rtt") {
        rtt::run(&plan);
    }
    if plan.has("scrape") {
        scrape::run(&plan);
    }
    if plan.has("beats") {
        beats::run(&plan, baseline);
    }
    if plan.has("agent") {
        agent::run(&plan);
    }
    if plan.has("million") && plan.is_full() {
        million::run();
    }
    ExitCode::SUCCESS
}
