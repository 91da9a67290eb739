//! The commands beside `run`, `agent` and `beat`: reflect, ping, keygen, check-config, demo, version.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use std::{fs, net::UdpSocket, path::Path, process::Output, time::Duration};

use heartprobe_tests::{
    behaviour::silent,
    bpf::xdp_mode,
    config::{SLACK, after, fleet},
    daemon::{Daemon, State, folder, heartprobe, heartprobe_as_nobody},
    http,
    metrics::Scrape,
    net::{Namespace, Net, WIRE},
    peer::Host,
    process::{Process, poll},
    require_root,
};
use probe_common::siphash::Key;
use rustix::process::Signal;

const HOST: &str = "198.19.0.1";

/// Runs a command to its end, without a network.
fn run(arguments: &[&str]) -> Output {
    heartprobe().args(arguments).output().unwrap()
}

/// Starts a command inside the namespace.
fn start(namespace: &Namespace, arguments: &[&str]) -> Process {
    Process::start(namespace, heartprobe().args(arguments))
}

/// Waits until a process has logged this.
fn until_said(process: &Process, text: &str) {
    let said = || process.stderr().contains(text).then_some(());
    poll(SLACK * 3, said).unwrap_or_else(|| panic!("not said: {text}\n{}", process.stderr()));
}

/// Makes a key file in the folder, and returns the key in it.
fn keygen(file: &Path) -> Key {
    let made = run(&["keygen"]);
    assert!(made.status.success(), "{made:?}");
    fs::write(file, &made.stdout).unwrap();
    let digits = String::from_utf8(made.stdout).unwrap();
    let digits = digits.trim();
    assert_eq!(digits.len(), 32, "{digits}");
    Key::from_bytes(u128::from_str_radix(digits, 16).unwrap().to_be_bytes())
}

#[test]
fn a_reflector_answers_from_the_very_address_that_was_pinged() {
    require_root!();
    let net = Net::new();
    let _reflector = start(&net.fleet, &["reflect"]);
    // All of them are addresses of this one host.
    let targets = [
        HOST,
        "198.19.77.7",
        "198.18.0.2",
        "2001:db8:1::1",
        "2001:db8:1::77",
        "2001:db8::2",
    ];
    let daemon = Daemon::run(&net.monitor, &fleet(&targets));
    for target in targets {
        daemon.until_state(target, State::Up);
        daemon.holds(target, State::Up, 2);
    }
    assert_eq!(daemon.scrape().fate("forged"), 0);
}

#[test]
fn a_reflector_in_the_kernel_answers_a_whole_prefix() {
    require_root!();
    let net = Net::new();
    let mut reflector = start(&net.fleet, &["reflect", "--xdp", WIRE]);
    until_said(&reflector, "the kernel answers on hp0, XDP generic");
    assert_eq!(xdp_mode(&net.fleet).as_deref(), Some("generic"));
    // For sockets the pongs' checksums have to be right, too.
    for xdp in ["auto", "off"] {
        a_whole_prefix_is_up(&net, xdp);
    }
    reflector.signal(Signal::TERM);
    assert_eq!(
        reflector.exit(SLACK).code(),
        Some(0),
        "{}",
        reflector.stderr()
    );
    assert_eq!(xdp_mode(&net.fleet), None);
}

#[test]
fn a_reflector_in_the_driver_answers_a_whole_prefix() {
    require_root!();
    let net = Net::new();
    let native = ["reflect", "--xdp", WIRE, "--xdp-mode", "native"];
    let reflector = start(&net.fleet, &native);
    until_said(&reflector, "the kernel answers on hp0, XDP native");
    assert_eq!(xdp_mode(&net.fleet).as_deref(), Some("native"));
    a_whole_prefix_is_up(&net, "auto");

    // A veth delivers what XDP sent natively at its other end only where an XDP program is: another reflector, which lets
    // pongs pass.
    let passing = start(&net.monitor, &native);
    until_said(&passing, "the kernel answers on hp0, XDP native");
    a_whole_prefix_is_up(&net, "off");
}

fn a_whole_prefix_is_up(net: &Net, xdp: &str) {
    let targets = fleet(&["198.18.64.0/26", "2001:db8:2::/122"]);
    let daemon = Daemon::run(&net.monitor, &format!("xdp: {xdp}\n{targets}"));
    daemon.until(&format!("all are up (xdp: {xdp})"), after(4), |scrape| {
        scrape.count("heartprobe_targets", &[("group", "test"), ("state", "up")])
            == Some(scrape.all("heartprobe_target_state", &[]).count() as u64)
    });
    assert_eq!(daemon.scrape().fate("forged"), 0);
}

#[test]
fn a_keyed_fleet_answers_its_own_monitor_alone() {
    require_root!();
    let net = Net::new();
    let folder = folder();
    let key = folder.path().join("key");
    keygen(&key);
    let _reflector = start(&net.fleet, &["reflect", "--key", key.to_str().unwrap()]);
    {
        let stranger = Daemon::run(&net.monitor, &fleet(&[HOST]));
        let dead = stranger.until_state(HOST, State::Dead);
        assert_eq!(dead.fate("forged"), 0, "a stranger gets no answer at all");
    }
    let config = format!("keys: {{current: key}}\n{}", fleet(&[HOST]));
    let daemon = Daemon::run_in(folder, &net.monitor, &config);
    daemon.until_state(HOST, State::Up);
    daemon.holds(HOST, State::Up, 3);
}

#[test]
fn keys_rotate_without_a_gap() {
    require_root!();
    let net = Net::new();
    let folder = folder();
    let [old, new] = ["old", "new"].map(|name| folder.path().join(name));
    keygen(&old);
    keygen(&new);
    let path = |key: &Path| key.to_str().unwrap().to_owned();
    // One host has both keys, as in the middle of a rotation: it takes either, and answers with the ping's.
    let _both = start(
        &net.fleet,
        &["reflect", "--key", &path(&new), "--key", &path(&old)],
    );
    let with = |keys: &str| format!("keys: {{{keys}}}\n{}", fleet(&[HOST]));
    let daemon = Daemon::run_in(folder, &net.monitor, &with("current: old"));
    daemon.until_state(HOST, State::Up);
    daemon.reload(&with("current: new, previous: old"));
    daemon.holds(HOST, State::Up, 6);
    daemon.reload(&with("current: new"));
    daemon.holds(HOST, State::Up, 6);
    let scrape = daemon.scrape();
    assert_eq!((scrape.missed(HOST), scrape.fate("forged")), (Some(0), 0));
}

#[test]
fn a_pong_with_the_previous_key_counts_during_a_rotation_and_not_after() {
    require_root!();
    let net = Net::new();
    let folder = folder();
    let old = keygen(&folder.path().join("old"));
    keygen(&folder.path().join("new"));
    let host = Host::with_key(&net.fleet, HOST, old);
    let with = |keys: &str| format!("keys: {{{keys}}}\n{}", fleet(&[HOST]));
    let daemon = Daemon::run_in(folder, &net.monitor, &with("current: old"));
    daemon.until_state(HOST, State::Up);
    let heard = host.pings();
    daemon.reload(&with("current: new"));
    daemon.until_state(HOST, State::Dead);
    assert!(host.pings() <= heard + 8, "the old key signs no more");
}

#[test]
fn keygen_makes_another_key_each_time() {
    let [one, other] = [run(&["keygen"]), run(&["keygen"])].map(|made| made.stdout);
    assert_eq!(one.len(), 33, "32 hex digits and a line's end");
    assert_ne!(one, other);
}

#[test]
fn ping_prints_each_pong_and_a_summary_and_says_by_its_code_whether_all_answered() {
    require_root!();
    let net = Net::new();
    let _hosts = [HOST, "2001:db8:1::1"].map(|host| Host::start(&net.fleet, host));
    let mute = Host::start(&net.fleet, "198.19.0.2");
    mute.now(silent());
    let ping = |hosts: &[&str]| {
        let mut command = heartprobe_as_nobody();
        command
            .args([
                "ping",
                "--count",
                "3",
                "--interval",
                "100ms",
                "--timeout",
                "500ms",
            ])
            .args(hosts);
        let mut process = Process::start(&net.monitor, &mut command);
        let code = process.exit(Duration::from_secs(10)).code();
        (code, process.stdout())
    };

    let (code, printed) = ping(&[HOST, "2001:db8:1::1"]);
    assert_eq!(code, Some(0), "{printed}");
    for host in [HOST, "2001:db8:1::1"] {
        let pongs = printed
            .lines()
            .filter(|line| line.contains(host) && line.contains("seq="))
            .count();
        assert_eq!(pongs, 3, "{printed}");
    }

    let (code, printed) = ping(&[HOST, "198.19.0.2"]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(
        printed.contains("100% loss") || printed.contains("100% lost"),
        "{printed}"
    );

    let (code, printed) = ping(&["not a host"]);
    assert_eq!(code, Some(2), "{printed}");
}

#[test]
fn check_config_accepts_what_run_accepts_and_refuses_what_it_refuses() {
    let folder = folder();
    let file = folder.path().join("heartprobe.yml");
    let check = |config: &str| {
        fs::write(&file, config).unwrap();
        run(&["check-config", "--config.file", file.to_str().unwrap()])
    };
    let good = check(&fleet(&[HOST, "198.19.1.0/24"]));
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    let said = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(
        said.contains("257") || said.contains("255"),
        "it counts the targets: {said}"
    );
    // Four frames of 110 bytes and as many back, each second of 30 days; thirteen series for each target.
    assert!(said.contains("2.3 GB"), "a host's month: {said}");
    assert!(said.contains("3315, and 41 for each of 1 groups"), "{said}");
    assert!(!said.contains("confirmation"), "{said}");
    let beating = "groups: [{name: a, pings: off, session_timeout: 15s, services: [agent, {name: backup, session_timeout: 26h, beat_interval: 1h}], targets: [laptop-1, laptop-2]}]";
    let said = String::from_utf8_lossy(&check(beating).stdout).into_owned();
    let has_line = |words: &[&str]| {
        let fits = |line: &str| line.split_whitespace().eq(words.iter().copied());
        said.lines().any(fits)
    };
    assert!(has_line(&["a", "agent", "2", "5s", "10s", "15s"]), "{said}");
    assert!(
        has_line(&["a", "backup", "2", "1h", "2h", "1day2h"]),
        "{said}"
    );
    assert!(
        said.contains("0.4 packets/s, 352.5 bit/s of beats"),
        "{said}"
    );
    assert!(said.contains("and 24 for 4 services"), "{said}");
    let confirmed = "groups: [{name: a, confirm_interval: 500ms, targets: [198.19.1.0/24]}]";
    let said = String::from_utf8_lossy(&check(confirmed).stdout).into_owned();
    assert!(
        said.contains("6s250ms") && said.contains("6s750ms"),
        "{said}"
    );
    // Two pings for each of 254 hosts within 5 s.
    assert!(
        said.contains("up to 101.6 packets/s, 89.4 kbit/s more"),
        "{said}"
    );

    for (bad, line) in [
        (
            "groups:\n  - name: a\n    interval: 5\n    targets: [198.19.0.1]\n",
            3,
        ),
        (
            "defaults: {interval: 1s, timeout: 2s}\ngroups:\n  - {name: a, targets: [198.19.0.1]}\n",
            1,
        ),
        (
            "groups:\n  - name: a\n    targets:\n      - 198.19.0.1\n      - 198.19.0.1\n",
            5,
        ),
    ] {
        let refused = check(bad);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{bad}{said}");
        assert!(
            said.contains(&format!("heartprobe.yml:{line}:")),
            "{bad}{said}"
        );
    }
}

#[test]
fn the_demo_needs_nothing_and_shows_every_state() {
    require_root!();
    let net = Net::new();
    let mut command = heartprobe_as_nobody();
    command.args(["demo", "--duration", "60s"]);
    let mut demo = Process::start(&net.monitor, &mut command);
    let scrape = || {
        let page = http::get(&net.monitor, Daemon::web(), "/metrics").ok()?;
        (page.status == 200).then(|| Scrape::parse(&page.body))
    };
    let hundreds = poll(Duration::from_secs(20), || {
        scrape().filter(|scrape| scrape.sum("heartprobe_targets", &[]) >= 200)
    });
    assert!(hundreds.is_some(), "{}{}", demo.stdout(), demo.stderr());
    for state in ["up", "overloaded", "critical", "dead"] {
        let seen = poll(Duration::from_secs(30), || {
            scrape().filter(|scrape| scrape.sum("heartprobe_targets", &[("state", state)]) > 0)
        });
        assert!(seen.is_some(), "nobody is {state}\n{}", demo.stderr());
    }
    let up_again = poll(Duration::from_secs(30), || {
        let scrape = scrape()?;
        let targets = scrape.sum("heartprobe_targets", &[]);
        (scrape.changes_to("up") > targets).then_some(())
    });
    assert!(up_again.is_some(), "nobody came back");
    demo.signal(Signal::INT);
    assert_eq!(demo.exit(SLACK).code(), Some(0), "{}", demo.stderr());
}

#[test]
fn the_demo_ends_by_itself_and_prints_a_summary_without_a_terminal() {
    require_root!();
    let net = Net::new();
    let mut command = heartprobe_as_nobody();
    command.args(["demo", "--duration", "6s"]);
    let mut demo = Process::start(&net.monitor, &mut command);
    assert_eq!(
        demo.exit(Duration::from_secs(15)).code(),
        Some(0),
        "{}",
        demo.stderr()
    );
    assert!(demo.stdout().contains("up"), "{}", demo.stdout());
    assert!(
        !demo.stdout().contains('\x1b'),
        "no escape sequences where there is no terminal"
    );
}

#[test]
fn help_and_version_are_there() {
    for command in [
        "run",
        "reflect",
        "agent",
        "beat",
        "demo",
        "simulate",
        "ping",
        "check-config",
        "keygen",
        "version",
    ] {
        let help = run(&[command, "--help"]);
        assert!(
            help.status.success() && help.stdout.len() > 100,
            "{command}: {help:?}"
        );
    }
    let version = run(&["version"]);
    assert!(String::from_utf8_lossy(&version.stdout).contains(env!("CARGO_PKG_VERSION")));
    assert_eq!(run(&["no-such-command"]).status.code(), Some(2));
}

#[test]
fn a_reflector_whose_port_is_taken_says_so() {
    require_root!();
    let net = Net::new();
    let _taken = net.fleet.enter(|| UdpSocket::bind("0.0.0.0:4862")).unwrap();
    let mut reflector = start(&net.fleet, &["reflect"]);
    assert_eq!(
        reflector.exit(SLACK).code(),
        Some(1),
        "{}",
        reflector.stderr()
    );
    assert!(
        reflector.stderr().contains("4862"),
        "{}",
        reflector.stderr()
    );
}
