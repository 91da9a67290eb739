//! What the daemon holds its targets to be, and when.

use std::time::{Duration, Instant};

use heartprobe_tests::{
    behaviour::{answer, lose, signed_lie, silent, slow},
    config::{INTERVAL, LATE, TIMEOUT, after, fleet},
    daemon::{Daemon, State},
    metrics::Scrape,
    net::Net,
    peer::Host,
    require_root,
};

/// The target of tests that need no more than one.
const HOST: &str = "198.19.0.1";

#[test]
fn hosts_that_answer_are_up_on_ipv4_and_ipv6() {
    require_root!();
    let net = Net::new();
    let hosts = [HOST, "2001:db8:1::1"];
    let _fleet = hosts.map(|host| Host::start(&net.fleet, host));
    let daemon = Daemon::run(&net.monitor, &fleet(&hosts));
    for host in hosts {
        daemon.until_state(host, State::Up);
        let scrape = daemon.holds(host, State::Up, 4);
        assert_eq!(
            scrape.metric("heartprobe_target_up", &[("target", host)]),
            Some(1.0)
        );
        let rtt = scrape.metric("heartprobe_target_rtt_seconds", &[("target", host)]);
        assert!(
            rtt.is_some_and(|rtt| rtt > 0.0 && rtt < TIMEOUT.as_secs_f64()),
            "{rtt:?}"
        );
    }
    let scrape = daemon.scrape();
    assert_eq!(
        scrape.count("heartprobe_targets", &[("group", "test"), ("state", "up")]),
        Some(2)
    );
    assert_eq!(scrape.changes(), 2, "each changed once, from pending to up");
}

#[test]
fn every_pong_is_counted_once_and_timed() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    let scrape = daemon.until("ten pings answered", after(11), |scrape| {
        scrape.pongs(HOST) >= Some(10)
    });
    let (sent, answered) = (scrape.pings(HOST), scrape.pongs(HOST));
    assert!(
        sent == answered || sent == answered.map(|pongs| pongs + 1),
        "{sent:?} {answered:?}"
    );
    assert!(host.pings() >= 10);
    let timed = scrape.count("heartprobe_rtt_seconds_count", &[("group", "test")]);
    assert!(
        timed >= Some(10) && timed <= Some(host.pings()),
        "{timed:?}"
    );
}

#[test]
fn a_host_that_dies_is_critical_then_dead_and_up_again_when_it_recovers() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    daemon.until_state(HOST, State::Up);

    host.now(silent());
    let death = Instant::now();
    let critical = daemon.until_state(HOST, State::Critical);
    assert!(critical.missed(HOST) >= Some(2));
    assert_eq!(
        critical.metric("heartprobe_target_up", &[("target", HOST)]),
        Some(0.0)
    );
    let within = (INTERVAL * 3 + TIMEOUT + Duration::from_secs(1)).saturating_sub(death.elapsed());
    daemon.until("it is dead in the policy's time", within, |scrape| {
        scrape.state(HOST) == Some(State::Dead)
    });
    // The first ping missed may have been sent at the very moment of death, the third two intervals later.
    assert!(
        death.elapsed() >= INTERVAL * 2 + TIMEOUT / 2,
        "too soon: {:?}",
        death.elapsed()
    );

    host.now(answer());
    let up = daemon.until_state(HOST, State::Up);
    assert_eq!(up.missed(HOST), Some(0));
    assert_eq!(
        (
            up.changes_to("critical"),
            up.changes_to("dead"),
            up.changes_to("up")
        ),
        (1, 1, 2)
    );
}

#[test]
fn a_slow_host_is_overloaded_until_it_is_fast_again() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    daemon.until_state(HOST, State::Up);

    host.now(slow(LATE));
    let overloaded = daemon.until_state(HOST, State::Overloaded);
    let of_target = [("target", HOST)];
    assert_eq!(
        overloaded.metric("heartprobe_target_up", &of_target),
        Some(1.0),
        "it serves"
    );
    assert!(overloaded.count("heartprobe_target_late_total", &of_target) >= Some(2));
    assert!(overloaded.fate("late") >= 2);

    host.now(answer());
    let up = daemon.until_state(HOST, State::Up);
    assert_eq!((up.changes_to("overloaded"), up.changes_to("up")), (1, 2));
    assert_eq!(up.changes_to("critical"), 0, "late is not missed");
}

#[test]
fn a_host_that_tells_of_too_much_load_is_overloaded_and_its_boots_are_counted() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let config = fleet(&[HOST]).replace("late_after", "overload_cpu: 90%, late_after");
    let daemon = Daemon::run(&net.monitor, &config);
    let told = |cpu: u32, boot| {
        signed_lie(move |pong| {
            pong.health = cpu * 0x1_0000 + 5_000;
            pong.boot = boot;
        })
    };
    host.now(told(9_000, 1));
    daemon.until_state(HOST, State::Up);
    daemon.holds(HOST, State::Up, 3);
    host.now(told(9_100, 1));
    let scrape = daemon.until_state(HOST, State::Overloaded);
    let of_host = [("target", HOST)];
    let value =
        |scrape: &Scrape, name: &str| scrape.metric(&format!("heartprobe_target_{name}"), &of_host);
    assert_eq!(value(&scrape, "cpu_load_ratio"), Some(0.91));
    assert_eq!(value(&scrape, "memory_used_ratio"), Some(0.5));
    assert_eq!(value(&scrape, "late_total"), Some(0.0), "it was in time");
    assert_eq!(value(&scrape, "boots_total"), Some(0.0));

    // It dies, and comes back busy: it is back first of all.
    host.now(silent());
    daemon.until_state(HOST, State::Dead);
    host.now(told(9_100, 2));
    daemon.until("it is back", after(6), |scrape| {
        scrape.changes_to("up") == 2
    });
    let scrape = daemon.until_state(HOST, State::Overloaded);
    assert_eq!(value(&scrape, "boots_total"), Some(1.0));
}

#[test]
fn one_single_lost_pong_changes_nothing() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    let before = daemon.until_state(HOST, State::Up);

    host.now(lose(1));
    daemon.until("one ping is missed", after(2), |scrape| {
        assert_eq!(scrape.state(HOST), Some(State::Up));
        scrape.missed(HOST) == Some(1)
    });
    daemon.until("none is missed any more", after(2), |scrape| {
        assert_eq!(scrape.state(HOST), Some(State::Up));
        scrape.missed(HOST) == Some(0)
    });
    let scrape = daemon.holds(HOST, State::Up, 4);
    assert_eq!(scrape.changes(), before.changes());
}

#[test]
fn a_pong_after_the_timeout_is_stale_and_its_ping_missed() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    daemon.until_state(HOST, State::Up);
    host.now(slow(TIMEOUT + LATE));
    daemon.until_state(HOST, State::Dead);
    let scrape = daemon.holds(HOST, State::Dead, 4);
    assert!(scrape.fate("stale") >= 3, "{}", scrape.fate("stale"));
}

#[test]
fn a_host_that_never_answers_is_dead_and_was_never_up() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    host.now(silent());
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    let dead = daemon.until_state(HOST, State::Dead);
    assert_eq!((dead.changes_to("up"), dead.changes_to("dead")), (0, 1));
    assert_eq!(dead.pongs(HOST), Some(0));
}

#[test]
fn each_group_and_override_is_judged_by_its_own_policy() {
    require_root!();
    let net = Net::new();
    let hosts = [HOST, "198.19.0.2", "198.19.0.3"];
    let slow_fleet = hosts.map(|host| Host::start(&net.fleet, host));
    for host in &slow_fleet {
        host.now(slow(LATE));
    }
    let daemon = Daemon::run(
        &net.monitor,
        "defaults: {interval: 250ms, timeout: 200ms, late_after: 80ms}\n\
         groups:\n\
         - {name: strict, targets: [198.19.0.1]}\n\
         - name: patient\n\
         \x20 late_after: 180ms\n\
         \x20 targets: [198.19.0.2, 198.19.0.3]\n\
         \x20 overrides: [{match: 198.19.0.3, late_after: 50ms}]\n",
    );
    daemon.until_state(HOST, State::Overloaded);
    daemon.until_state("198.19.0.3", State::Overloaded);
    daemon.until_state("198.19.0.2", State::Up);
    let targets = |group: &str, state: &str| {
        daemon
            .scrape()
            .count("heartprobe_targets", &[("group", group), ("state", state)])
    };
    assert_eq!(
        (
            targets("strict", "overloaded"),
            targets("patient", "overloaded")
        ),
        (Some(1), Some(1))
    );
    assert_eq!(
        (targets("strict", "up"), targets("patient", "up")),
        (Some(0), Some(1))
    );
}
