//! `heartprobe simulate`: a fleet on this machine, and what is said of the monitor that probes it.

use std::{
    fs,
    process::{Command, Output},
    time::{Duration, Instant},
};

use heartprobe_tests::{
    daemon::{heartprobe, heartprobe_as_nobody},
    net::Net,
    process::{Process, poll},
    require_root,
};
use rustix::process::{Pid, Signal, kill_process};

/// A simulation of some seconds, and what each takes before and after; on a busy machine.
const WITHIN: Duration = Duration::from_mins(1);

fn simulate(arguments: &[&str]) -> Command {
    let mut command = heartprobe();
    command.arg("simulate").args(arguments);
    command
}

/// The line of the report that begins with this word.
fn line<'a>(report: &'a str, word: &str) -> &'a str {
    let line = report.lines().find(|line| line.starts_with(word));
    line.unwrap_or_else(|| panic!("no line `{word}`:\n{report}"))
}

/// The monitor that a simulation has started.
fn monitor(printed: &str) -> Option<Pid> {
    let rest = printed.split_once("monitor: process ")?.1;
    Pid::from_raw(rest.split(';').next()?.parse().ok()?)
}

/// Waits until this is printed, such as the head or a line of the table, and returns the monitor.
fn until_printed(process: &Process, text: &str) -> Pid {
    let started = poll(WITHIN, || {
        let printed = process.stdout();
        monitor(&printed).filter(|_| printed.contains(text))
    });
    started.unwrap_or_else(|| panic!("{}{}", process.stdout(), process.stderr()))
}

/// Whether a process has not ended. One that nobody has waited for yet has no command line any more.
fn is_running(process: Pid) -> bool {
    let file = format!("/proc/{}/cmdline", process.as_raw_nonzero());
    fs::read(file).is_ok_and(|line| !line.is_empty())
}

#[test]
fn every_fate_is_told_truly() {
    require_root!();
    let net = Net::new();
    let mut command = simulate(&[
        "--targets",
        "2000",
        "--interval",
        "500ms",
        "--for",
        "8s",
        "--look",
        "250ms",
        "--dead",
        "20",
        "--flapping",
        "20",
        "--lossy",
        "5%",
        "--loss",
        "20%",
        "--late",
        "20",
        "--outage",
        "100@1s+6s",
    ]);
    let mut process = Process::start(&net.monitor, &mut command);
    let code = process.exit(WITHIN).code();
    let report = process.stdout();
    let all = format!("{report}{}", process.stderr());
    assert_eq!(code, Some(0), "{all}");
    let fleet = line(&report, "fleet");
    for part in [
        "2000 hosts",
        "1740 well",
        "20 dead",
        "20 flapping",
        "100 lossy",
        "20 late",
        "100 in the outage",
    ] {
        assert!(fleet.contains(part), "{part}: {fleet}");
    }
    assert!(
        line(&report, "verdicts").contains("0 false, 0 not given"),
        "{all}"
    );
    let died = line(&report, "detection");
    let died = died
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u32>()
        .unwrap();
    assert!(died >= 100, "{all}");
    // Each state is seen in the lines before, and the monitor's own log is passed on.
    assert!(process.stderr().contains("probing 2000 targets"), "{all}");
    assert!(!is_running(monitor(&report).unwrap()));
}

#[test]
fn the_same_over_ipv6_and_by_sockets() {
    require_root!();
    let net = Net::new();
    let mut command = simulate(&[
        "--targets",
        "300",
        "--interval",
        "500ms",
        "--for",
        "4s",
        "--dead",
        "5",
        "--late",
        "5",
        "--ipv6",
        "--with",
        "engine: socket",
    ]);
    let mut process = Process::start(&net.monitor, &mut command);
    let code = process.exit(WITHIN).code();
    let report = process.stdout();
    assert_eq!(code, Some(0), "{report}{}", process.stderr());
    assert_eq!(
        line(&report, "engine"),
        "engine     transmit socket, receive xdp-native"
    );
}

#[test]
fn a_monitor_that_cannot_keep_up_is_told_and_the_exit_code_is_1() {
    require_root!();
    let net = Net::new();
    let mut command = simulate(&["--targets", "200", "--interval", "250ms", "--for", "4s"]);
    let mut process = Process::start(&net.monitor, &mut command);
    let monitor = until_printed(&process, "\n   1 s");
    // For some intervals it gets no processor at all.
    let stopped = Instant::now();
    kill_process(monitor, Signal::STOP).unwrap();
    poll(WITHIN, || {
        (stopped.elapsed() > Duration::from_secs(1)).then_some(())
    });
    kill_process(monitor, Signal::CONT).unwrap();
    let code = process.exit(WITHIN).code();
    let report = process.stdout();
    assert_eq!(code, Some(1), "{report}{}", process.stderr());
    let unsent = line(&report, "unsent").split_whitespace().nth(1).unwrap();
    assert_ne!(unsent, "0", "{report}");
    assert!(report.ends_with("not good: see above\n"), "{report}");
}

#[test]
fn a_monitor_that_does_not_start_ends_the_simulation() {
    require_root!();
    let net = Net::new();
    let mut process = Process::start(&net.monitor, &mut simulate(&["--with", "no-such-key: 1"]));
    assert_eq!(process.exit(WITHIN).code(), Some(1));
    for said in ["unknown key", "the monitor ended by itself"] {
        assert!(process.stderr().contains(said), "{}", process.stderr());
    }
}

#[test]
fn nothing_stays_behind_however_it_ends() {
    require_root!();
    for signal in [Signal::TERM, Signal::INT, Signal::KILL] {
        let net = Net::new();
        let mut process = Process::start(&net.monitor, &mut simulate(&["--targets", "200"]));
        let monitor = until_printed(&process, "pings/s");
        assert!(is_running(monitor));
        process.signal(signal);
        let status = process.exit(WITHIN);
        if signal != Signal::KILL {
            let report = process.stdout();
            assert!(report.contains("verdicts   0 false"), "{report}");
            assert_eq!(status.code(), Some(0), "{report}{}", process.stderr());
        }
        let gone = poll(WITHIN, || (!is_running(monitor)).then_some(()));
        assert!(gone.is_some(), "{signal:?}: the monitor runs on");
    }
}

#[test]
fn what_cannot_be_is_refused_and_what_is_missing_is_told() {
    let run = |arguments: &[&str]| -> Output { simulate(arguments).output().unwrap() };
    for (arguments, said) in [
        (&["--targets", "0"][..], "--targets"),
        (&["--dead", "60%", "--late", "60%"], "parts to play"),
        (&["--dead", "much"], "no share"),
        (&["--outage", "10@5s"], "no outage"),
        (&["--outage", "10@5s+1s"], "--outage: verdicts take up to"),
        (&["--interval", "100ms", "--timeout", "1s"], "--timeout"),
        (&["--delay", "2s"], "--delay"),
    ] {
        let refused = run(arguments);
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
    let config = run(&[
        "--targets",
        "5",
        "--with",
        "engine: socket",
        "--print-config",
    ]);
    assert!(config.status.success());
    let config = String::from_utf8(config.stdout).unwrap();
    assert!(
        config.starts_with("engine: socket\ndefaults: {interval: 1s"),
        "{config}"
    );

    require_root!();
    let refused = heartprobe_as_nobody().arg("simulate").output().unwrap();
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(error.contains("needs root"), "{error}");
}
