//! `fping`: many hosts, again and again.

use std::{fmt::Write as _, fs, process::Command, time::Duration};

use heartprobe_tests::process::{Process, poll};
use tempfile::NamedTempFile;

use crate::{
    cost::{self, Cost, Machine},
    fleet::{Block, Fleet, blocks},
    line::{Line, period},
};

/// Pings a second. fping tells pings apart by 16 bits, and uses a number again after 10 s only: it ends with an error if it runs
/// out. For the same reason it takes no more than 65,536 hosts.
const MOST_RATE: u32 = 6_000;

/// Pings as many of the fleet as it can for about `window`, once a second each, or as often as it can.
pub fn measure(fleet: &Fleet, targets: u32, window: Duration) -> Result<Line, String> {
    let each = 1.0_f64.max(f64::from(targets) / f64::from(MOST_RATE));
    let rounds = (window.as_secs_f64() / each).ceil().max(2.0);
    let list = hosts_file(targets);
    let mut command = command(&list, targets, each, rounds);
    command.arg("-q");
    let machine = Machine::now();
    let mut process = Process::start(&fleet.net.monitor, &mut command);
    let mut own = Cost::default();
    let ended = poll(window * 10 + Duration::from_mins(1), || {
        own = cost::of_process(process.id()).unwrap_or(own);
        process.ended()
    });
    let seconds = machine.elapsed();
    let machine = machine.busy();
    if ended.is_none() {
        return Err("it does not end".into());
    }
    let (sent, received) = { process.stderr() }
        .lines()
        .filter_map(counts)
        .fold((0.0, 0.0), |(sent, received), (s, r)| {
            (sent + s, received + r)
        });
    if sent == 0.0 {
        return Err(super::last_line(&process.stderr()));
    }
    Ok(Line {
        name: "fping",
        targets,
        each: period(each),
        pings: sent,
        lost: sent - received,
        own: own.all(),
        machine,
        seconds,
    })
}

/// Round-trip times in seconds of hosts that are pinged once a second for about `window`, the shortest first.
pub fn round_trips(fleet: &Fleet, targets: u32, window: Duration) -> Vec<f64> {
    let list = hosts_file(targets);
    let mut command = command(&list, targets, 1.0, window.as_secs_f64());
    let mut process = Process::start(&fleet.net.monitor, &mut command);
    let ended = poll(window * 2 + Duration::from_mins(1), || process.ended());
    assert!(ended.is_some(), "fping does not end");
    let mut times: Vec<_> = process.stdout().lines().filter_map(round_trip).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// A file for its `-f`.
fn hosts_file(targets: u32) -> NamedTempFile {
    let mut text = String::new();
    for host in blocks(targets).into_iter().flat_map(Block::hosts) {
        let _ = writeln!(text, "{host}");
    }
    let list = NamedTempFile::new().expect("room for a list");
    fs::write(list.path(), text).expect("room for a list");
    list
}

/// So many rounds, each of `period` seconds.
fn command(list: &NamedTempFile, targets: u32, period: f64, rounds: f64) -> Command {
    // Its own pace between two pings, so that a round fills the period and no burst overruns its buffer.
    let pace = format!("{:.4}", 900.0 * period / f64::from(targets));
    let [milliseconds, rounds] = [period * 1e3, rounds].map(|number| format!("{number:.0}"));
    let mut command = Command::new("fping");
    command
        .args(["-p", &milliseconds, "-t", "900", "-i", &pace, "-c", &rounds])
        .arg("-f")
        .arg(list.path());
    command
}

/// What a line tells of one answer: `198.19.0.1 : [0], 64 bytes, 0.031 ms (0.031 avg, 0% loss)`.
fn round_trip(line: &str) -> Option<f64> {
    let (_, rest) = line.split_once(" bytes, ")?;
    let (time, _) = rest.split_once(" ms (")?;
    Some(time.parse::<f64>().ok()? / 1e3)
}

/// What a line of its summary tells: `198.19.0.1 : xmt/rcv/%loss = 4/4/0%, min/avg/max = …`.
fn counts(line: &str) -> Option<(f64, f64)> {
    let mut numbers = line.split_once("%loss = ")?.1.split('/');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_from_what_it_prints() {
        let line = "198.18.0.2 : [0], 64 bytes, 1.25 ms (1.25 avg, 0% loss)";
        assert_eq!(round_trip(line), Some(0.001_25));
        assert_eq!(
            round_trip("198.18.0.3 : [0], timed out (NaN avg, 100% loss)"),
            None
        );
        let line = "198.19.0.1 : xmt/rcv/%loss = 4/3/25%, min/avg/max = 0.1/0.2/0.3";
        assert_eq!(counts(line), Some((4.0, 3.0)));
    }
}
