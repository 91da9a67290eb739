//! The peer: Debian's `fping`, which pings by ICMP.

use std::{fmt::Write as _, fs, process::Command, time::Duration};

use heartprobe_tests::process::{Process, poll};

use crate::{
    cost::{self, Cost, Machine},
    fleet::{Fleet, hosts},
    rate::Line,
};

/// fping tells pings apart by 16 bits, and uses a number again after 10 s only: it ends with an error if it runs out.
const MOST: usize = 65_000;
const MOST_RATE: usize = 6_000;

/// Pings as many of the fleet as it can for about `window`, once a second each, or as often as it can.
pub fn fping(fleet: &Fleet, targets: usize, window: Duration) -> Line {
    let targets = targets.min(MOST);
    let period = 1.0_f64.max(targets as f64 / MOST_RATE as f64);
    let rounds = (window.as_secs_f64() / period).ceil().max(2.0);
    let list = tempfile::NamedTempFile::new().expect("room for a list");
    let mut text = String::new();
    for host in hosts().take(targets) {
        let _ = writeln!(text, "{host}");
    }
    fs::write(list.path(), text).expect("room for a list");
    // Its own pace between two pings, so that a round fills the period and no burst overruns its buffer.
    let pace = format!("{:.4}", 900.0 * period / targets as f64);
    let [milliseconds, rounds] = [period * 1e3, rounds].map(|number| format!("{number:.0}"));
    let mut command = Command::new("fping");
    command.args([
        "-q",
        "-p",
        &milliseconds,
        "-t",
        "900",
        "-i",
        &pace,
        "-c",
        &rounds,
    ]);
    command.arg("-f").arg(list.path());
    let machine = Machine::now();
    let mut process = Process::start(&fleet.net.monitor, &mut command);
    let mut own = Cost::default();
    let ended = poll(window * 10 + Duration::from_mins(1), || {
        own = cost::of_process(process.id()).unwrap_or(own);
        process.ended()
    });
    let seconds = machine.elapsed();
    let machine = machine.busy();
    assert!(ended.is_some(), "fping does not end");
    let said = poll(Duration::from_secs(5), || {
        let said = process.stderr();
        (said.lines().filter(|line| line.contains("xmt/rcv")).count() >= targets).then_some(said)
    });
    let (sent, received) = said
        .unwrap_or_else(|| process.stderr())
        .lines()
        .filter_map(counts)
        .fold((0.0, 0.0), |(sent, received), (s, r)| {
            (sent + s, received + r)
        });
    let what = if period > 1.0 {
        format!("fping, each {period:.1} s: the most it can")
    } else {
        "fping".to_owned()
    };
    Line {
        what,
        targets,
        pings: sent,
        lost: sent - received,
        unsent: 0.0,
        own: own.all(),
        user: own.user,
        machine,
        seconds,
        lag: "-".into(),
    }
}

/// What a line of its summary tells: `198.19.0.1 : xmt/rcv/%loss = 4/4/0%, min/avg/max = …`.
fn counts(line: &str) -> Option<(f64, f64)> {
    let mut numbers = line.split_once("%loss = ")?.1.split('/');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
