//! The clients in `examples/`: what they send is what heartprobe reads.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use std::{fs, path::PathBuf, process::Command, time::Duration};

use heartprobe_tests::{beats::Hearing, config::SLACK, process::Process};
use probe_common::{
    siphash::{Key, identity},
    wire::{HEALTH_UNKNOWN, Message},
};
use tempfile::TempDir;

const KEY: &str = "00ff102030405060708090a0b0c0d0ef\n";

fn key() -> Key {
    Key::from_bytes(u128::from_str_radix(KEY.trim(), 16).unwrap().to_be_bytes())
}

fn example(name: &str) -> Command {
    Command::new(
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../examples")
            .join(name),
    )
}

/// A folder with the key file in it, and the file's path.
fn key_file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, KEY).unwrap();
    (folder, file)
}

/// Names of every length that the last word of a hash can have, beyond ASCII, and one whose identity holds a line's end.
fn names() -> Vec<String> {
    let mut names: Vec<String> = (1..=9).map(|length| "abcdefghi"[..length].into()).collect();
    names.push("größe \"x\" %s \\".into());
    let with_line_end = (0..).map(|number| format!("service-{number}"));
    let breaks = |name: &String| identity(name).to_be_bytes().contains(&b'\n');
    names.extend(with_line_end.into_iter().find(breaks));
    names
}

/// The one message that heartprobe would send in its place, but for epoch, time and what the example does not know.
fn expected(beat: &Message, host: &str, service: &str) -> Message {
    let (host, service) = (identity(host), identity(service));
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    Message {
        boot: identity(boot_id.trim()) as u32,
        health: HEALTH_UNKNOWN,
        ..Message::beat(host, service, 1, beat.epoch, beat.time)
    }
}

/// The box's monotonic time, ns.
fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn sends_the_bytes_of_heartprobe(example_name: &str) {
    let (_folder, file) = key_file();
    let monitor = Hearing::with_key(key());
    for name in names() {
        let mut command = example(example_name);
        command.args(["--to", &monitor.at().to_string(), "--service", &name]);
        command.args(["--host", "web-1", "--key"]).arg(&file);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
        // Its tag has been checked with the key.
        let (beat, _) = monitor.beat();
        assert_eq!(beat, expected(&beat, "web-1", &name), "{name}");
        assert_ne!(beat.epoch, 0);
        // The time that this box is up may count times of sleep, too.
        assert!(
            beat.time + 60_000_000_000 > now(),
            "{} of {}",
            beat.time,
            now()
        );
        assert!(monitor.beat_within(Duration::from_millis(1)).is_none());
    }
}

#[test]
fn python_sends_the_bytes_of_heartprobe() {
    sends_the_bytes_of_heartprobe("beat.py");
}

#[test]
fn bash_sends_the_bytes_of_heartprobe() {
    sends_the_bytes_of_heartprobe("beat.sh");
}

#[test]
fn without_a_key_it_is_the_key_of_zeros_and_without_a_host_this_hosts_name() {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    for program in ["beat.py", "beat.sh"] {
        let monitor = Hearing::new();
        let mut command = example(program);
        command.args(["--to", &monitor.at().to_string(), "--service", "a"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
        let (beat, _) = monitor.beat();
        assert_eq!(beat, expected(&beat, &name, "a"), "{program}");
    }
}

fn python_with_ack(monitor: &Hearing, timeout: &str) -> Process {
    let mut command = example("beat.py");
    command.args(["--to", &monitor.at().to_string(), "--service", "a"]);
    Process::start_here(command.args(["--ack", "--ack-timeout", timeout]))
}

#[test]
fn python_takes_a_true_ack_alone() {
    let monitor = Hearing::new();
    let mut python = python_with_ack(&monitor, "2");
    let (beat, from) = monitor.beat();
    assert!(beat.wants_ack());
    let wrong = Message {
        epoch: beat.epoch ^ 1,
        ..beat.ack()
    };
    for message in [beat, wrong] {
        monitor.send(&message, from);
    }
    let (second, from) = monitor.beat();
    assert_eq!((second.seq, second.epoch), (2, beat.epoch));
    monitor.ack(&second, from);
    assert_eq!(python.exit(SLACK).code(), Some(0), "{}", python.stderr());
}

#[test]
fn python_gives_up_after_three() {
    let monitor = Hearing::new();
    let mut python = python_with_ack(&monitor, "0.05");
    assert_eq!(
        python.exit(SLACK * 2).code(),
        Some(1),
        "{}",
        python.stderr()
    );
    assert!(
        python.stderr().contains("no ack from"),
        "{}",
        python.stderr()
    );
    let numbers: Vec<u32> = (0..3).map(|_| monitor.beat().0.seq).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn bash_says_how_it_is_used() {
    for arguments in [
        &["--to", "127.0.0.1:9"][..],
        &["--to"],
        &["--service", "a", "b"],
    ] {
        let output = example("beat.sh").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stderr.starts_with(b"usage:"), "{output:?}");
    }
}
