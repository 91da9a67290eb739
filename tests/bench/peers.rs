//! The peers, from Debian's packages: what others take to ping the same fleet. They ping by ICMP, which the fleet's own kernel
//! answers.

mod blackbox;
mod exporter;
pub mod fping;
mod masscan;
mod scanner;
mod smokeping;
mod zmap;

use std::{process::Command, time::Duration};

use heartprobe_tests::privilege;

use crate::{
    Plan,
    cost::Baseline,
    fleet::Fleet,
    line::{self, Line},
    progress,
};

/// One of them.
struct Peer {
    program: &'static str,
    /// How many targets it is given each second.
    sizes: &'static [u32],
    measure: fn(&Fleet, u32, Duration) -> Result<Line, String>,
}

const PEERS: [Peer; 5] = [
    Peer {
        program: "fping",
        sizes: &[1_000, 10_000, 65_000],
        measure: fping::measure,
    },
    Peer {
        program: "zmap",
        sizes: &[1_000, 10_000, 100_000],
        measure: zmap::measure,
    },
    Peer {
        program: "masscan",
        sizes: &[1_000, 10_000, 100_000],
        measure: masscan::measure,
    },
    Peer {
        program: smokeping::PROGRAM,
        sizes: &[10, 100, 1_000],
        measure: smokeping::measure,
    },
    Peer {
        program: blackbox::PROGRAM,
        sizes: &[10, 100, 1_000],
        measure: blackbox::measure,
    },
];

const NOTE: &str = "\
- zmap and masscan ask an address once, so they are given so many addresses a second in place of so many targets. Their
  figures end with the last ping: the time in which they wait for late answers is not in them.
- masscan does not always end when it is told to. It is killed then, and up to a hundred answers that it had not written down
  count as lost.
- fping numbers its pings with 16 bits and uses a number again after 10 s: it is given the shortest period that it can keep.
- prometheus-blackbox-exporter is asked by a loop over connections that stay open, as Prometheus would; what that takes is not in
  its own figures, but in the machine's.";

/// Measures all that are here and prints the table.
pub fn run(plan: &Plan, baseline: Baseline) -> Vec<Line> {
    let fleet = Fleet::without_reflector();
    let (mut lines, mut versions, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for peer in PEERS {
        if let Err(reason) = privilege::check(&[peer.program]) {
            missing.push(format!("{}: not measured: {reason}", peer.program));
            continue;
        }
        versions.push(format!("{} {}", peer.program, version(peer.program)));
        for &targets in peer.sizes {
            progress(peer.program, targets);
            match (peer.measure)(&fleet, targets, plan.window) {
                Ok(line) => lines.push(line),
                Err(reason) => missing.push(format!(
                    "{}, {targets} targets: not measured: {reason}",
                    peer.program
                )),
            }
        }
    }
    println!(
        "Peers: {}\n\n{}\n",
        versions.join(", "),
        line::table(&lines, baseline)
    );
    for reason in missing {
        println!("- {reason}");
    }
    println!("{NOTE}\n");
    lines
}

/// What a program said last, for a reason.
fn last_line(said: &str) -> String {
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    last.unwrap_or("it says nothing")
        .chars()
        .take(200)
        .collect()
}

/// The first word with which it tells its version.
fn version(program: &str) -> String {
    let Ok(output) = Command::new(program).arg("--version").output() else {
        return String::new();
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let is_version =
        |word: &&str| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit());
    said.split_whitespace()
        .find(is_version)
        .unwrap_or_default()
        .trim_end_matches(',')
        .into()
}
