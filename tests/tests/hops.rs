//! Whom pings go to first: gateways and neighbours, as the kernel engine follows them. Frames on the wire tell which engine
//! sent a ping: the checksum of one from a socket is left for the card to finish.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use heartprobe_tests::{
    config::{SLACK, after, fleet},
    daemon::{Daemon, State},
    net::{Net, WIRE},
    peer::Host,
    process::poll,
    raw::{Captured, Responder},
    require_root,
};

const HOSTS: [&str; 2] = ["198.19.0.1", "2001:db8:1::1"];
/// On the same link as the monitor.
const GATEWAYS: [&str; 2] = ["198.18.0.2", "2001:db8::2"];

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x99];

/// Until an unannounced change is noticed: 5 s between two checks, and three requests a second apart without an answer.
const CHECKED: Duration = Duration::from_secs(5 + 3);

/// Whether a ping was made by the kernel engine.
fn is_kernels(ping: &Captured) -> bool {
    !ping.unfinished_checksum
}

/// Waits until the last ping to each of these has become so.
fn until(
    wire: &Responder,
    daemon: &Daemon<'_>,
    targets: &[&str],
    within: Duration,
    what: &str,
    is_so: impl Fn(&Captured) -> bool,
) {
    let last = |target: &str| {
        let target = target.parse().ok();
        let mut pings = wire.pings(0, Duration::ZERO).into_iter().rev();
        pings.find(|ping| Some(ping.datagram.destination.ip()) == target)
    };
    let all = || {
        let is_so = |target: &&str| last(target).is_some_and(|ping| is_so(&ping));
        targets.iter().all(is_so).then_some(())
    };
    poll(within, all).unwrap_or_else(|| {
        let last: Vec<_> = targets.iter().map(|target| last(target)).collect();
        panic!("not within {within:?}: {what}\n{last:?}\n{}", daemon.log());
    });
}

#[test]
fn pings_go_by_sockets_until_the_neighbour_is_known_and_then_by_the_kernel() {
    require_root!();
    let net = Net::new();
    let targets = [HOSTS, GATEWAYS].concat();
    let _hosts: Vec<_> = targets
        .iter()
        .map(|host| Host::start(&net.fleet, host))
        .collect();
    net.monitor.ip(&format!("neigh flush dev {WIRE}"));
    let wire = Responder::watch(&net.fleet);
    let daemon = Daemon::run(&net.monitor, &fleet(&targets));
    until(
        &wire,
        &daemon,
        &targets,
        after(8),
        "by the kernel",
        is_kernels,
    );
    for target in &targets {
        daemon.until_state(target, State::Up);
    }
    let pings = wire.pings(1, after(1));
    assert!(!is_kernels(&pings[0]), "nobody was known at first");

    // Whom nobody answers for is left to the sockets, and the others are not.
    net.monitor
        .ip(&format!("neigh del {} dev {WIRE}", GATEWAYS[0]));
    net.fleet.ip(&format!("addr del 198.18.0.2/24 dev {WIRE}"));
    daemon.until_state(GATEWAYS[0], State::Dead);
    net.fleet.ip(&format!("addr add 198.18.0.2/24 dev {WIRE}"));
    until(
        &wire,
        &daemon,
        &targets,
        after(12),
        "all by the kernel again",
        is_kernels,
    );
}

/// The gateway gets another Ethernet address, and tells everybody or nobody.
fn a_new_address_is_followed(is_announced: bool) {
    let net = Net::new();
    let announce = if is_announced { "1" } else { "0" };
    net.fleet
        .sysctl(&format!("net/ipv4/conf/{WIRE}/arp_notify"), announce);
    net.fleet
        .sysctl(&format!("net/ipv6/conf/{WIRE}/ndisc_notify"), announce);
    let _hosts = HOSTS.map(|host| Host::start(&net.fleet, host));
    let wire = Responder::watch(&net.fleet);
    let daemon = Daemon::run(&net.monitor, &fleet(&HOSTS));
    until(
        &wire,
        &daemon,
        &HOSTS,
        after(8),
        "by the kernel",
        is_kernels,
    );

    net.fleet
        .ip(&format!("link set {WIRE} address 02:00:00:00:00:99"));
    let within = if is_announced {
        after(1)
    } else {
        CHECKED + after(4)
    };
    until(
        &wire,
        &daemon,
        &HOSTS,
        within,
        "to the new address",
        |ping| is_kernels(ping) && ping.datagram.destination_mac == MAC,
    );
    for host in HOSTS {
        daemon.until_state(host, State::Up);
    }
    if is_announced {
        assert_eq!(daemon.scrape().changes_to("dead"), 0, "{}", daemon.log());
    }
}

#[test]
fn a_gateways_new_address_is_followed_at_once_if_it_is_announced() {
    require_root!();
    a_new_address_is_followed(true);
}

#[test]
fn a_gateways_new_address_is_noticed_if_it_is_not_announced() {
    require_root!();
    a_new_address_is_followed(false);
}

#[test]
fn a_better_route_is_taken_and_left_when_it_goes() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOSTS[0]);
    let host = &HOSTS[..1];
    let wire = Responder::watch(&net.fleet);
    let daemon = Daemon::run(&net.monitor, &fleet(host));
    let until = |what: &str, is_so: fn(&Captured) -> bool| {
        until(&wire, &daemon, host, after(8), what, is_so);
    };
    until("by the kernel", is_kernels);

    // A gateway that only the frames tell of.
    net.monitor.ip(&format!(
        "neigh add 198.18.0.9 lladdr 02:00:00:00:00:99 dev {WIRE}"
    ));
    net.monitor
        .ip(&format!("route add {}/32 via 198.18.0.9", HOSTS[0]));
    until("to the better gateway", |ping| {
        is_kernels(ping) && ping.datagram.destination_mac == MAC
    });
    net.monitor.ip(&format!("route del {}/32", HOSTS[0]));
    until("to the first again", |ping| {
        is_kernels(ping) && ping.datagram.destination_mac != MAC
    });
    daemon.until_state(HOSTS[0], State::Up);

    // A rule that routes it elsewhere than the main table says: frames of the kernel engine would go astray.
    net.monitor
        .ip(&format!("route add {}/32 via 198.18.0.9 table 7", HOSTS[0]));
    net.monitor.ip("rule add to 198.19.0.0/16 table 7");
    until("by sockets, as the rule says", |ping| {
        !is_kernels(ping) && ping.datagram.destination_mac == MAC
    });
    let said = daemon.lines_with("elsewhere than its main routing table");
    assert_eq!(said.len(), 1, "{}", daemon.log());
}

#[test]
fn the_source_is_the_one_that_the_kernel_would_choose() {
    require_root!();
    let net = Net::new();
    let wire = Responder::watch(&net.fleet);
    let _hosts = HOSTS.map(|host| Host::start(&net.fleet, host));
    let daemon = Daemon::run(&net.monitor, &fleet(&HOSTS));
    until(
        &wire,
        &daemon,
        &HOSTS,
        after(8),
        "by the kernel",
        is_kernels,
    );

    net.monitor.ip("addr add 198.18.9.9/32 dev lo");
    net.monitor
        .ip("route change 198.19.0.0/16 via 198.18.0.2 src 198.18.9.9");
    net.fleet.ip("route add 198.18.9.9/32 via 198.18.0.1");
    net.monitor.ip("addr add 2001:db8::99/128 dev lo nodad");
    net.monitor
        .ip("-6 route change 2001:db8:1::/48 via 2001:db8::2 src 2001:db8::99");
    net.fleet
        .ip("-6 route add 2001:db8::99/128 via 2001:db8::1");
    let sources = ["198.18.9.9", "2001:db8::99"].map(|source| source.parse().ok());
    until(
        &wire,
        &daemon,
        &HOSTS,
        after(8),
        "from the new source",
        |ping| is_kernels(ping) && sources.contains(&Some(ping.datagram.source.ip())),
    );
    for host in HOSTS {
        daemon.until_state(host, State::Up);
    }
}

#[test]
fn an_ipv4_route_may_go_by_an_ipv6_gateway() {
    require_root!();
    let net = Net::new();
    let host = &HOSTS[..1];
    let _host = Host::start(&net.fleet, host[0]);
    net.monitor.ip(&format!(
        "route replace 198.19.0.0/16 via inet6 2001:db8::2 dev {WIRE}"
    ));
    let wire = Responder::watch(&net.fleet);
    let daemon = Daemon::run(&net.monitor, &fleet(host));
    until(&wire, &daemon, host, after(8), "by the kernel", is_kernels);
    daemon.until_state(host[0], State::Up);
}

#[test]
fn each_target_keeps_to_one_path_of_a_multipath_route() {
    require_root!();
    let net = Net::new();
    let wire = Responder::watch(&net.fleet);
    net.monitor.ip(&format!(
        "neigh add 198.18.0.9 lladdr 02:00:00:00:00:99 dev {WIRE}"
    ));
    net.monitor
        .ip("route replace 198.19.0.0/16 nexthop via 198.18.0.2 nexthop via 198.18.0.9");
    let targets: Vec<_> = (1..=16).map(|host| format!("198.19.0.{host}")).collect();
    let targets: Vec<_> = targets.iter().map(String::as_str).collect();
    let daemon = Daemon::run(&net.monitor, &fleet(&targets));
    until(
        &wire,
        &daemon,
        &targets,
        after(8),
        "by the kernel",
        is_kernels,
    );
    let start = wire.pings(1, after(1)).len();
    let pings = wire.pings(start + 16 * 4, after(8));
    let mut taken: HashMap<_, HashSet<_>> = HashMap::new();
    for ping in &pings[start..] {
        let macs = taken.entry(ping.datagram.destination).or_default();
        macs.insert(ping.datagram.destination_mac == MAC);
    }
    assert!(taken.values().all(|macs| macs.len() == 1), "{taken:?}");
    let by_one = taken.values().filter(|macs| macs.contains(&true)).count();
    assert!((1..16).contains(&by_one), "{taken:?}");
}

#[test]
fn an_interface_that_comes_back_is_sent_by_again() {
    require_root!();
    let net = Net::new();
    let host = HOSTS[0];
    let _host = Host::start(&net.fleet, host);
    let daemon = Daemon::run(&net.monitor, &fleet(&[host]));
    let sent = |what| {
        let wire = Responder::watch(&net.fleet);
        // An interface that could not send is asked again each five seconds.
        let within = Duration::from_secs(5) + after(8);
        until(&wire, &daemon, &[host], within, what, is_kernels);
    };
    sent("by the kernel");
    net.unplug();
    daemon.until_state(host, State::Unknown);
    net.plug();
    sent("by the new interface");
    for side in [&net.monitor, &net.fleet] {
        side.ip(&format!("link set {WIRE} down"));
        daemon.until_state(host, State::Unknown);
        side.ip(&format!("link set {WIRE} up"));
        net.route();
        daemon.until_state(host, State::Up);
        sent("by the interface that was down");
    }
    assert_eq!(daemon.scrape().changes_to("dead"), 0, "{}", daemon.log());
}

#[test]
fn a_wire_too_narrow_for_a_ping_is_left_to_the_sockets_which_say_so() {
    require_root!();
    let net = Net::new();
    let host = &HOSTS[..1];
    let _host = Host::start(&net.fleet, host[0]);
    let wire = Responder::watch(&net.fleet);
    let daemon = Daemon::run(&net.monitor, &fleet(host));
    until(&wire, &daemon, host, after(8), "by the kernel", is_kernels);
    net.monitor.ip(&format!("link set {WIRE} mtu 91"));
    daemon.until_state(host[0], State::Unknown);
    daemon.until_logged("MTU is below 92 bytes");
    net.monitor.ip(&format!("link set {WIRE} mtu 92"));
    daemon.until_state(host[0], State::Up);
    assert_eq!(daemon.scrape().changes_to("dead"), 0, "{}", daemon.log());
}

#[test]
fn pings_bear_the_configured_dscp_whichever_engine_sends_them() {
    require_root!();
    for engine in ["auto", "socket"] {
        let net = Net::new();
        let wire = Responder::watch(&net.fleet);
        let config = |dscp| format!("engine: {engine}\ndscp: {dscp}\n{}", fleet(&HOSTS));
        let daemon = Daemon::run(&net.monitor, &config(46));
        for (dscp, traffic_class) in [(46, 0xb8), (10, 0x28)] {
            daemon.reload(&config(dscp));
            let within = after(8) + SLACK;
            until(&wire, &daemon, &HOSTS, within, engine, |ping| {
                is_kernels(ping) == (engine == "auto")
                    && ping.datagram.traffic_class == traffic_class
            });
        }
    }
}
