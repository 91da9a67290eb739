//! The ways that pings and pongs take: XDP native and generic, TC, plain sockets; tags and options on the wire.

use heartprobe_tests::{
    behaviour::{silent, slow},
    bpf::{programs_on_wire, xdp_mode},
    config::{LATE, SLACK, after, fleet},
    daemon::{Daemon, State, heartprobe_as_nobody, heartprobe_with_capabilities},
    frame::Wrapping,
    metrics::Scrape,
    net::{Net, WIRE},
    peer::Host,
    raw::{Captured, Responder},
    require_root,
};

const HOST: &str = "198.19.0.1";

/// Addresses where a raw responder answers.
const RAW: [&str; 2] = ["198.18.64.1", "2001:db8:2::1"];

/// An answer in this wrapping counts. Of tagged frames no socket here gets to see anything: XDP must have counted them.
fn is_understood(wrapping: &Wrapping, targets: &[&str]) {
    let net = Net::new();
    for mode in ["native", "generic"] {
        let _responder = Responder::answer(&net.fleet, wrapping.clone());
        let daemon = Daemon::run(&net.monitor, &format!("xdp: {mode}\n{}", fleet(targets)));
        for target in targets {
            daemon.until_state(target, State::Up);
            daemon.holds(target, State::Up, 3);
        }
        assert_eq!(daemon.scrape().fate("malformed"), 0);
    }
}

#[test]
fn pongs_without_a_tag_are_counted() {
    require_root!();
    is_understood(&Wrapping::default(), &RAW);
}

#[test]
fn pongs_under_one_vlan_tag_are_counted() {
    require_root!();
    is_understood(
        &Wrapping {
            vlans: vec![100],
            options: false,
        },
        &RAW,
    );
}

#[test]
fn pongs_under_two_vlan_tags_are_counted() {
    require_root!();
    is_understood(
        &Wrapping {
            vlans: vec![100, 200],
            options: false,
        },
        &RAW,
    );
}

#[test]
fn pongs_behind_ipv4_options_are_counted() {
    require_root!();
    is_understood(
        &Wrapping {
            vlans: Vec::new(),
            options: true,
        },
        &RAW[..1],
    );
    is_understood(
        &Wrapping {
            vlans: vec![100],
            options: true,
        },
        &RAW[..1],
    );
}

#[test]
fn without_a_wish_xdp_is_native_where_the_driver_has_it() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    let scrape = daemon.until_state(HOST, State::Up);
    assert_eq!(receive_mode(&scrape), "xdp-native");
    assert_eq!(xdp_mode(&net.monitor).as_deref(), Some("native"));
}

#[test]
fn xdp_is_generic_where_the_configuration_wants_it() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &format!("xdp: generic\n{}", fleet(&[HOST])));
    let scrape = daemon.until_state(HOST, State::Up);
    assert_eq!(receive_mode(&scrape), "xdp-generic");
    assert_eq!(xdp_mode(&net.monitor).as_deref(), Some("generic"));
}

#[test]
fn without_any_privilege_the_daemon_does_its_whole_job_through_sockets() {
    require_root!();
    let net = Net::new();
    let hosts = [HOST, "2001:db8:1::1"];
    let fleet_hosts = hosts.map(|host| Host::start(&net.fleet, host));
    let daemon = Daemon::run_by(heartprobe_as_nobody(), &net.monitor, &fleet(&hosts));
    for host in hosts {
        daemon.until_state(host, State::Up);
    }
    let scrape = daemon.scrape();
    assert_eq!(receive_mode(&scrape), "socket");
    assert_eq!(programs_on_wire(&net.monitor), 0);
    let said = daemon.lines_with("CAP_BPF");
    assert_eq!(said.len(), 1, "{}", daemon.log());
    assert!(said[0].contains("WARN"), "{said:?}");

    let [one, other] = &fleet_hosts;
    one.now(silent());
    other.now(slow(LATE));
    daemon.until_state(hosts[0], State::Dead);
    daemon.until_state(hosts[1], State::Overloaded);
}

#[test]
fn the_systemd_units_capabilities_are_enough_for_xdp() {
    require_root!("setpriv");
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    let program = heartprobe_with_capabilities();
    let daemon = Daemon::run_by(program, &net.monitor, &fleet(&[HOST]));
    let scrape = daemon.until_state(HOST, State::Up);
    assert_eq!(receive_mode(&scrape), "xdp-native", "{}", daemon.log());
    assert!(programs_on_wire(&net.monitor) >= 2, "receive and stamp");
}

#[test]
fn what_is_not_for_the_monitor_passes_xdp_untouched() {
    require_root!("fping");
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    daemon.until_state(HOST, State::Up);
    assert!(xdp_mode(&net.monitor).is_some());
    net.monitor.run(
        "fping",
        &["-q", "-c", "3", "-p", "50", "198.18.0.2", "2001:db8::2"],
    );
    assert_eq!(daemon.scrape().fate("malformed"), 0);
}

/// Every ping's checksum is right, whether a network card is to finish it or not, and its time is the kernel's.
fn stamp_is_right(offload: &str) {
    let net = Net::new();
    net.monitor.run("ethtool", &["-K", WIRE, "tx", offload]);
    let wire = Responder::watch(&net.fleet);
    let daemon = Daemon::run(
        &net.monitor,
        &format!(
            "engine: socket\n{}",
            fleet(&["198.18.64.0/27", "2001:db8:2::/123"])
        ),
    );
    let pings = wire.pings(120, after(3));
    for family in [4, 6] {
        let pings = pings
            .iter()
            .filter(|ping| ping.datagram.source.is_ipv4() == (family == 4));
        assert!(pings.clone().count() >= 30, "pings on IPv{family}");
        for ping in pings {
            assert_eq!(ping.datagram.checksum, expected_checksum(ping), "{ping:?}");
            assert!(
                ping.message.time <= ping.time,
                "sent before it was received: {ping:?}"
            );
            let age = ping.time - ping.message.time;
            assert!(age < SLACK.as_nanos() as u64, "{age} ns: {ping:?}");
        }
    }
    assert!(
        programs_on_wire(&net.monitor) >= 2,
        "receive and stamp\n{}",
        daemon.log()
    );
}

fn expected_checksum(ping: &Captured) -> u16 {
    if ping.unfinished_checksum {
        ping.datagram.unfinished_checksum()
    } else {
        ping.datagram.right_checksum()
    }
}

#[test]
fn stamped_pings_have_right_checksums_when_the_card_finishes_them() {
    require_root!();
    stamp_is_right("on");
}

#[test]
fn stamped_pings_have_right_checksums_when_the_kernel_makes_them() {
    require_root!();
    stamp_is_right("off");
}

#[test]
fn the_time_in_a_ping_is_that_of_its_leaving_not_of_its_batch() {
    require_root!();
    let net = Net::new();
    let wire = Responder::watch(&net.fleet);
    // Sixty-four targets fall due together: they are sent as one batch.
    let _daemon = Daemon::run(
        &net.monitor,
        "engine: socket\ndefaults: {interval: 500ms, timeout: 400ms}\ngroups: [{name: test, targets: [198.18.64.0/19]}]\n",
    );
    let pings = wire.pings(2000, after(12));
    // Of two pings of one batch the second is stamped after the first has arrived; user space would have filled in both
    // before the first left.
    let batch = |pair: &&[Captured]| pair[1].time - pair[0].time < 200_000;
    let pairs: Vec<_> = pings.windows(2).filter(batch).collect();
    let stamped = pairs
        .iter()
        .filter(|pair| pair[1].message.time > pair[0].time)
        .count();
    assert!(pairs.len() > 100, "{} pairs", pairs.len());
    assert!(
        stamped * 2 > pairs.len(),
        "{stamped} of {} pairs",
        pairs.len()
    );
}

fn receive_mode(scrape: &Scrape) -> String {
    let of_wire = [("interface", WIRE)];
    let mut info = scrape.all("heartprobe_engine_info", &of_wire);
    let sample = info
        .next()
        .or_else(|| scrape.all("heartprobe_engine_info", &[]).next());
    sample
        .and_then(|sample| sample.label("receive"))
        .expect("heartprobe_engine_info")
        .to_owned()
}
