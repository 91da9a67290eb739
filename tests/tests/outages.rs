//! What is the network's fault, or the monitor's own: no host is held dead for it, and one line says what is wrong.

use std::thread;

use heartprobe_tests::{
    bpf::xdp_mode,
    config::{INTERVAL, after, fleet},
    daemon::{Daemon, State},
    net::{Net, WIRE},
    peer::Host,
    process::poll,
    require_root,
};
use rustix::process::Signal;

const HOST: &str = "198.19.0.1";

#[test]
fn when_its_interface_goes_nothing_is_held_dead_and_when_it_comes_back_all_is_as_before() {
    require_root!();
    let net = Net::new();
    let _hosts = [HOST, "2001:db8:1::1"].map(|host| Host::start(&net.fleet, host));
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST, "2001:db8:1::1"]));
    daemon.until_state(HOST, State::Up);
    daemon.until_state("2001:db8:1::1", State::Up);

    net.unplug();
    for host in [HOST, "2001:db8:1::1"] {
        daemon.until_state(host, State::Unknown);
        daemon.holds(host, State::Unknown, 0);
    }
    let gone = daemon.until("ten pings could not be sent", after(10), |scrape| {
        scrape.sum("heartprobe_send_errors_total", &[]) >= 10
    });
    assert_eq!(
        gone.changes_to("dead"),
        0,
        "a ping that was not sent is not missed"
    );
    assert_eq!(
        daemon
            .lines_with(WIRE)
            .iter()
            .filter(|line| line.contains("gone"))
            .count(),
        1,
        "{}",
        daemon.log()
    );

    net.plug();
    for host in [HOST, "2001:db8:1::1"] {
        daemon.until_state(host, State::Up);
    }
    poll(after(4), || xdp_mode(&net.monitor))
        .unwrap_or_else(|| panic!("XDP is not attached again\n{}", daemon.log()));
    daemon.holds(HOST, State::Up, 3);
}

#[test]
fn while_its_link_is_down_nothing_is_held_dead() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    // Its own end set down, or the far end, which leaves it without a carrier and with its routes.
    for side in [&net.monitor, &net.fleet] {
        let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
        daemon.until_state(HOST, State::Up);
        side.ip(&format!("link set {WIRE} down"));
        daemon.until_state(HOST, State::Unknown);
        daemon.until_logged("hp0: down");
        let scrape = daemon.holds(HOST, State::Unknown, 0);
        let wrong = scrape.changes_to("critical") + scrape.changes_to("dead");
        assert_eq!(wrong, 0, "{}", daemon.log());
        side.ip(&format!("link set {WIRE} up"));
        net.route();
        daemon.until_state(HOST, State::Up);
        assert_eq!(daemon.lines_with("hp0: down").len(), 1, "{}", daemon.log());
    }
}

#[test]
fn it_is_fit_while_the_link_that_it_needs_works_whatever_others_do() {
    require_root!();
    let net = Net::new();
    net.monitor.ip("link add unused type veth peer name nobody");
    let _host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    let until_fit = |fit: f64| {
        daemon.until(&format!("fit is {fit}"), after(4), |scrape| {
            scrape.metric("heartprobe_monitor_fit", &[]) == Some(fit)
        })
    };
    daemon.until_state(HOST, State::Up);
    until_fit(1.0);
    net.fleet.ip(&format!("link set {WIRE} down"));
    until_fit(0.0);
    net.fleet.ip(&format!("link set {WIRE} up"));
    until_fit(1.0);
    net.unplug();
    until_fit(0.0);
}

#[test]
fn a_monitor_that_stalled_holds_nobody_dead_for_it() {
    require_root!();
    let net = Net::new();
    let _hosts = [HOST, "198.19.0.2"].map(|host| Host::start(&net.fleet, host));
    for xdp in ["auto", "off"] {
        let config = format!("xdp: {xdp}\n{}", fleet(&[HOST, "198.19.0.2"]));
        let daemon = Daemon::run(&net.monitor, &config);
        daemon.until_state(HOST, State::Up);
        let before = daemon.until_state("198.19.0.2", State::Up);
        for _ in 0..5 {
            daemon.signal(Signal::STOP);
            // The stall itself, of some intervals and timeouts; nothing is waited for here.
            thread::sleep(INTERVAL * 3);
            daemon.signal(Signal::CONT);
            let scrape = daemon.holds(HOST, State::Up, 2);
            assert_eq!(scrape.changes(), before.changes(), "{}", daemon.log());
        }
    }
}

#[test]
fn names_are_looked_up_and_one_that_dns_does_not_answer_for_keeps_nobody_waiting() {
    require_root!();
    let net = Net::new();
    let _local = Host::start(&net.monitor, "127.0.0.1");
    // The namespace reaches no DNS server.
    let daemon = Daemon::run(&net.monitor, &fleet(&["localhost", "web.example.org"]));
    daemon.until_state("localhost", State::Up);
    let scrape = daemon.holds("localhost", State::Up, 3);
    assert_eq!(scrape.changes_to("dead"), 0, "{}", daemon.log());
    assert_eq!(scrape.pings("web.example.org").unwrap_or(0), 0);
    assert_eq!(
        daemon.lines_with("DNS does not answer").len(),
        1,
        "{}",
        daemon.log()
    );
}

#[test]
fn a_target_without_a_route_is_unknown_and_said_so_once() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST, "203.0.113.1"]));
    daemon.until_state("203.0.113.1", State::Unknown);
    daemon.until_state(HOST, State::Up);
    daemon.holds(HOST, State::Up, 8);
    let scrape = daemon.holds("203.0.113.1", State::Unknown, 0);
    assert_eq!(scrape.pings("203.0.113.1"), Some(0), "none could be sent");
    assert_eq!(scrape.changes_to("dead"), 0);
    let said = daemon.lines_with("cannot send to 203.0.113.1");
    assert_eq!(said.len(), 1, "{}", daemon.log());
    assert!(said[0].contains("route"), "{said:?}");
}

#[test]
fn a_host_that_rejects_pings_is_dead_by_the_policy_and_said_so_once() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    // Addresses without a reflector: their kernel answers with an ICMP error.
    let closed = ["198.19.0.2", "2001:db8:1::2"];
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST, closed[0], closed[1]]));
    for target in closed {
        daemon.until_state(target, State::Dead);
        daemon.holds(target, State::Dead, 8);
    }
    // One line for all of them: a firewall before a thousand hosts is one piece of news.
    let said = daemon.lines_with("are rejected");
    assert_eq!(said.len(), 1, "{}", daemon.log());
    assert!(
        closed.iter().any(|target| said[0].contains(target)),
        "{said:?}"
    );
    let scrape = daemon.holds(HOST, State::Up, 3);
    let rejections = scrape.sum(
        "heartprobe_rejections_total",
        &[("reason", "port-unreachable")],
    );
    assert!(rejections >= 16, "{rejections}");
    let unsent = scrape.count("heartprobe_pings_unsent_total", &[]);
    assert_eq!(unsent, Some(0), "another host's rejection stops no ping");
}

#[test]
fn a_full_queue_is_said_once_and_holds_nobody_dead() {
    require_root!("tc");
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    // A thousand pings a second pass, and wait for each other no longer than 30 ms; six thousand are due.
    let qdisc = |arguments: &str| {
        let arguments = format!("qdisc {arguments} dev {WIRE} root");
        let limit = "tbf rate 800kbit burst 3kb limit 3kb";
        let limit = if arguments.contains("add") { limit } else { "" };
        let arguments = arguments.split(' ').chain(limit.split_whitespace());
        net.monitor.run("tc", &arguments.collect::<Vec<_>>());
    };
    qdisc("add");
    let flood = "\x20 - {name: flood, interval: 20ms, timeout: 20ms, late_after: 10ms, targets: [198.18.64.0/25]}\n";
    let config = format!("engine: socket\n{}{flood}", fleet(&[HOST]));
    let daemon = Daemon::run(&net.monitor, &config);
    let scrape = daemon.until("a hundred pings found no room", after(12), |scrape| {
        scrape.sum("heartprobe_send_errors_total", &[("errno", "ENOBUFS")]) >= 100
    });
    for state in ["critical", "dead"] {
        let of_host = [("group", "test"), ("state", state)];
        assert_eq!(
            scrape.sum("heartprobe_state_changes_total", &of_host),
            0,
            "{}",
            daemon.log()
        );
    }
    assert_eq!(
        daemon.lines_with("queue is full").len(),
        1,
        "{}",
        daemon.log()
    );

    qdisc("del");
    let sent = scrape.pings(HOST);
    daemon.until("the host is pinged again and up", after(24), |scrape| {
        scrape.state(HOST) == Some(State::Up) && scrape.pings(HOST) >= sent.map(|pings| pings + 4)
    });
}
