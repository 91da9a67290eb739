//! `cargo xtask bench`: what heartprobe costs, beside a peer in the same run.
//!
//! Absolute figures on a shared machine mean little; each table holds what it is to be compared with.

mod cost;
mod fleet;
mod histogram;
mod janitor;
mod peer;
mod rate;
mod rtt;
mod scrape;
mod table;

use std::{process::ExitCode, time::Duration};

use heartprobe_tests::privilege;

use crate::cost::Baseline;

/// What to measure.
struct Plan {
    sizes: Vec<u32>,
    window: Duration,
    only: Option<String>,
}

const USAGE: &str = "usage: bench [--quick] [--targets N[,N…]] [--only rate|rtt|scrape]";

impl Plan {
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Self {
            sizes: vec![1_000, 10_000, 100_000],
            window: Duration::from_secs(15),
            only: None,
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => plan.window = Duration::from_secs(4),
                "--targets" => {
                    let sizes = arguments.next().ok_or(USAGE)?;
                    let sizes: Result<_, _> = sizes.split(',').map(str::parse).collect();
                    plan.sizes = sizes.map_err(|_| USAGE)?;
                }
                "--only" => {
                    let part = arguments.next().filter(|p| PARTS.contains(&p.as_str()));
                    plan.only = Some(part.ok_or(USAGE)?);
                }
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

    fn has(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

/// Cores that a machine may use by itself and still count as idle.
const QUIET: f64 = 0.2;

const PARTS: [&str; 3] = ["rate", "rtt", "scrape"];

fn main() -> ExitCode {
    let plan = match Plan::from_arguments(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    if let Err(missing) = privilege::check(&["ip", "fping", "gzip"]) {
        eprintln!("error: the bench needs network namespaces and eBPF: {missing}");
        return ExitCode::FAILURE;
    }
    let baseline = Baseline::measure(plan.window / 3);
    println!("{}\n", cost::machine());
    if baseline.cores > QUIET {
        println!(
            "The machine is {:.0} % of a core busy with other work: its own figures, and those of an idle machine, mean nothing.\n",
            baseline.cores * 100.0
        );
    }
    if plan.has("rate") {
        rate::run(&plan, baseline);
    }
    if plan.has("rtt") {
        rtt::run(&plan);
    }
    if plan.has("scrape") {
        scrape::run(&plan);
    }
    ExitCode::SUCCESS
}
