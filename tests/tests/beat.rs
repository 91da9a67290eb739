//! `heartprobe beat`, with a socket in the monitor's place.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use std::{fs, net::UdpSocket, path::Path, process::Command, time::Duration};

use heartprobe_tests::{
    beats::Hearing,
    config::SLACK,
    daemon::heartprobe,
    metrics::Scrape,
    net::Net,
    process::{Process, poll},
    require_root,
};
use probe_common::{
    siphash::{Key, identity},
    wire::Message,
};
use rustix::process::Signal;

/// Longer than any look-up of a name takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// `heartprobe beat` for the service `job` of `web-1` to these monitors.
fn beat(to: &[&Hearing], arguments: &[&str]) -> Command {
    let mut command = heartprobe();
    command.args(["beat", "--service", "job", "--host", "web-1"]);
    for monitor in to {
        command.args(["--to", &monitor.at().to_string()]);
    }
    command.args(arguments);
    command
}

/// Runs it to its end; its exit code and what it said.
fn code(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn one_beat_says_who_beats() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, "000102030405060708090a0b0c0d0e0f\n").unwrap();
    let monitor = Hearing::with_key(Key::from_bytes(std::array::from_fn(|i| i as u8)));
    let mut command = beat(&[&monitor], &["--session-timeout", "26h", "--key"]);
    let (code, said) = code(command.arg(&file));
    assert_eq!(code, Some(0), "{said}");
    let (beat, _) = monitor.beat();
    assert_eq!(beat.received, identity("web-1"));
    assert_eq!(beat.sent, identity("job"));
    assert_eq!((beat.seq, beat.target, beat.flags), (1, 0, 0));
    assert_eq!(beat.session, 26 * 3600 * 1000);
    assert!(beat.epoch != 0 && beat.time != 0 && beat.boot != 0);
    assert!(beat.health & 0xffff <= 10_000, "memory is known at once");
    assert!(monitor.beat_within(Duration::from_millis(1)).is_none());
}

#[test]
fn every_monitor_must_ack_and_only_a_true_ack_counts() {
    let [one, other] = [Hearing::new(), Hearing::new()];
    let mut sender = Process::start_here(&mut beat(
        &[&one, &other],
        &["--ack", "--ack-timeout", "3s"],
    ));
    let (first, from) = one.beat();
    assert!(first.wants_ack());
    one.ack(&first, from);
    let (beat, from) = other.beat();
    assert_eq!(beat.epoch, first.epoch);
    let wrong = [
        beat,
        Message {
            epoch: beat.epoch ^ 1,
            ..beat.ack()
        },
        Message {
            seq: beat.seq + 1,
            ..beat.ack()
        },
        Message {
            sent: beat.sent ^ 1,
            ..beat.ack()
        },
        Message {
            received: beat.received ^ 1,
            ..beat.ack()
        },
    ];
    for wrong in &wrong {
        other.send(wrong, from);
    }
    // From elsewhere, and with another key.
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let ack = beat.ack().encode(&Key::default()).to_bytes();
    stranger.send_to(&ack, from).unwrap();
    let forged = beat.ack().encode(&Key::from_bytes([1; 16])).to_bytes();
    stranger.send_to(&forged, from).unwrap();

    let (second, from) = other.until("the second", |beat| beat.seq == 2);
    other.ack(&second, from);
    assert_eq!(sender.exit(SLACK).code(), Some(0), "{}", sender.stderr());
    assert!(
        one.beat_within(Duration::from_millis(1)).is_none(),
        "it had acked the first"
    );
    assert_eq!(sender.stderr(), "", "cron mails what is printed");
}

#[test]
fn without_an_ack_three_beats_are_sent_and_the_code_is_1() {
    let monitor = Hearing::new();
    let (code, said) = code(&mut beat(&[&monitor], &["--ack", "--ack-timeout", "50ms"]));
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&format!("no ack from {}", monitor.at())),
        "{said}"
    );
    let numbers: Vec<u32> = (0..3).map(|_| monitor.beat().0.seq).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(monitor.beat_within(Duration::from_millis(1)).is_none());
}

/// A beat to a name that does not resolve, from where no question leaves the machine.
fn beat_to_nobody(net: &Net, arguments: &[&str]) -> Process {
    let mut command = heartprobe();
    command.args(["beat", "--service", "a", "--to", "no-such-host.invalid"]);
    Process::start(&net.monitor, command.args(arguments))
}

#[test]
fn a_name_that_does_not_resolve_is_told() {
    require_root!();
    let net = Net::new();
    let mut sender = beat_to_nobody(&net, &[]);
    assert_eq!(sender.exit(PATIENCE).code(), Some(1));
    let said = sender.stderr();
    assert!(
        said.contains("cannot resolve no-such-host.invalid"),
        "{said}"
    );
}

#[test]
fn what_is_wrong_is_refused_before_anything_is_sent() {
    let monitor = Hearing::new();
    for wrong in [
        &["--interval", "5"][..],
        &["--interval", "1ms"],
        &["--session-timeout", "8d"],
        &["--count", "3"],
        &["--key", "/nonexistent/key"],
        &["--to", "192.0.2.0/24"],
        &["--service", ""],
    ] {
        let (code, said) = code(&mut beat(&[&monitor], wrong));
        assert_eq!(code, Some(2), "{wrong:?}\n{said}");
    }
    assert!(monitor.beat_within(Duration::from_millis(1)).is_none());
}

#[test]
fn beats_at_an_interval_are_counted() {
    let monitor = Hearing::new();
    let counted = ["--interval", "20ms", "--count", "5"];
    let (code, said) = code(&mut beat(&[&monitor], &counted));
    assert_eq!(code, Some(0), "{said}");
    let beats: Vec<Message> = (0..5).map(|_| monitor.beat().0).collect();
    for (beat, seq) in beats.iter().zip(1..) {
        assert_eq!((beat.seq, beat.epoch), (seq, beats[0].epoch));
    }
    assert!(beats.windows(2).all(|pair| pair[0].time < pair[1].time));
    assert!(monitor.beat_within(Duration::from_millis(1)).is_none());

    let mut endless = Process::start_here(&mut beat(&[&monitor], &["--interval", "20ms"]));
    monitor.until("the third", |beat| beat.seq == 3);
    endless.signal(Signal::TERM);
    assert_eq!(endless.exit(SLACK).code(), Some(0), "{}", endless.stderr());
}

#[test]
fn the_textfile_goes_on_from_run_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("job.prom");
    let path = file.to_str().unwrap();
    let monitor = Hearing::new();
    let at = monitor.at().to_string();
    let labels = [("service", "job"), ("monitor", &*at)];
    let read = || Scrape::parse(&fs::read_to_string(&file).unwrap());

    let arguments = ["--ack", "--textfile", path];
    let mut acked = Process::start_here(&mut beat(&[&monitor], &arguments));
    let (first, from) = monitor.beat();
    monitor.ack(&first, from);
    assert_eq!(acked.exit(SLACK).code(), Some(0));
    let scrape = read();
    assert_eq!(scrape.count("heartprobe_beat_sent_total", &labels), Some(1));
    assert_eq!(
        scrape.count("heartprobe_beat_acked_total", &labels),
        Some(1)
    );
    let last_ack = "heartprobe_beat_last_ack_timestamp_seconds";
    let time = scrape.metric(last_ack, &labels).unwrap();
    assert!(time > 1.7e9);

    let arguments = ["--ack", "--ack-timeout", "20ms", "--textfile", path];
    assert_eq!(code(&mut beat(&[&monitor], &arguments)).0, Some(1));
    let scrape = read();
    assert_eq!(scrape.count("heartprobe_beat_sent_total", &labels), Some(4));
    assert_eq!(
        scrape.count("heartprobe_beat_acked_total", &labels),
        Some(1)
    );
    assert_eq!(
        scrape.metric(last_ack, &labels),
        Some(time),
        "it is not forgotten"
    );
}

/// A script that writes its process id and what it gets of signals to the file.
fn script(file: &Path, rest: &str) -> Vec<String> {
    let file = file.display();
    let script = format!("trap 'echo TERM >> {file}; exit 9' TERM; echo $$ > {file}; {rest}");
    ["--interval", "20ms", "--", "sh", "-c", &script]
        .map(Into::into)
        .into()
}

#[test]
fn around_a_command_it_beats_until_the_end_and_has_its_code() {
    let monitor = Hearing::new();
    for (script, expected) in [
        ("exit 0", 0),
        ("sleep 0.2; exit 7", 7),
        ("kill -KILL $$", 137),
    ] {
        let around = ["--interval", "20ms", "--", "sh", "-c", script];
        let (code, said) = code(&mut beat(&[&monitor], &around));
        assert_eq!(code, Some(expected), "{script}\n{said}");
    }
    monitor.until("beats during the sleep", |beat| beat.seq >= 3);
    monitor.forget();
    let none = code(&mut beat(&[&monitor], &["--", "/nonexistent/command"]));
    assert_eq!(none.0, Some(127), "{}", none.1);
    assert!(
        none.1.contains("cannot run /nonexistent/command"),
        "{}",
        none.1
    );
    assert!(monitor.beat_within(Duration::from_millis(1)).is_none());
}

#[test]
fn signals_are_for_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    let monitor = Hearing::new();
    let around = script(&file, "while :; do sleep 0.02; done");
    let around: Vec<&str> = around.iter().map(String::as_str).collect();
    let mut wrapper = Process::start_here(&mut beat(&[&monitor], &around));
    let log = || fs::read_to_string(&file).unwrap_or_default();
    assert!(poll(SLACK, || log().ends_with('\n').then_some(())).is_some());
    monitor.beat();
    wrapper.signal(Signal::TERM);
    assert_eq!(wrapper.exit(SLACK).code(), Some(9), "{}", wrapper.stderr());
    assert!(log().ends_with("TERM\n"), "{}", log());
}

#[test]
fn a_monitor_that_cannot_be_reached_does_not_stop_the_command() {
    require_root!();
    let net = Net::new();
    let around = ["--interval", "20ms", "--", "sh", "-c", "sleep 0.2; exit 4"];
    let mut wrapper = beat_to_nobody(&net, &around);
    assert_eq!(
        wrapper.exit(PATIENCE).code(),
        Some(4),
        "{}",
        wrapper.stderr()
    );
}
