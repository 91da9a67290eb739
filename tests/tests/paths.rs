//! Several paths to a host, which routers choose by the source port; and firewalls that hold on to a port's stale session.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use heartprobe_tests::{
    behaviour::{Behaviour, answer},
    config::{after, fleet},
    daemon::{Daemon, State},
    net::Net,
    peer::Host,
    require_root,
};

const HOST: &str = "198.19.0.1";
const OTHER: &str = "198.19.0.2";

/// Answers what comes from the ports that this lets through.
fn through(mut passes: impl FnMut(u16) -> bool + Send + 'static) -> Behaviour {
    let mut answer = answer();
    Box::new(move |ping| {
        if passes(ping.from.port()) {
            answer(ping)
        } else {
            Vec::new()
        }
    })
}

#[test]
fn a_broken_path_of_four_is_told_with_its_port_and_the_host_stays_up() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let _other = Host::start(&net.fleet, OTHER);
    let config = fleet(&[HOST, OTHER]).replace(
        "interval: 250ms, timeout: 200ms",
        "interval: 50ms, timeout: 50ms",
    );
    let config = config.replace("late_after: 80ms", "late_after: 40ms");
    let daemon = Daemon::run(
        &net.monitor,
        &format!("source_ports: 4\nsource_port: 41000\n{config}"),
    );
    daemon.until_state(HOST, State::Up);
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let ports = seen.clone();
    host.now(through(move |port| {
        ports.lock().unwrap().insert(port);
        port != 41_002
    }));
    let of_host = [("target", HOST)];
    let scrape = daemon.until("the path is told", after(24), |scrape| {
        scrape.metric("heartprobe_target_path_loss_ratio", &of_host) > Some(0.5)
    });
    assert_eq!(
        scrape.metric("heartprobe_target_path_source_port", &of_host),
        Some(41_002.0)
    );
    assert_eq!(scrape.state(HOST), Some(State::Up));
    assert_eq!(scrape.changes_to("critical"), 0, "one miss at a time");
    let of_other = [("target", OTHER)];
    assert_eq!(
        scrape.metric("heartprobe_target_path_loss_ratio", &of_other),
        None
    );
    assert_eq!(*seen.lock().unwrap(), (41_000..41_004).collect());
    host.now(answer());
    daemon.until("the path is well again", after(40), |scrape| {
        scrape
            .metric("heartprobe_target_path_loss_ratio", &of_host)
            .is_none()
    });
}

#[test]
fn a_stale_session_does_not_keep_a_recovered_host_dead() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    daemon.until_state(HOST, State::Up);
    // The firewall remembers each port that it saw while the host was away, and lets nothing of it through for ever.
    let stale = Arc::new(Mutex::new(HashSet::new()));
    let firewall = stale.clone();
    host.now(through(move |port| {
        firewall.lock().unwrap().insert(port);
        false
    }));
    daemon.until_state(HOST, State::Dead);
    let stale = stale.lock().unwrap().clone();
    assert!(stale.len() >= 3, "each miss took a fresh port: {stale:?}");
    host.now(through(move |port| !stale.contains(&port)));
    daemon.until_state(HOST, State::Up);
    daemon.holds(HOST, State::Up, 4);
}
