//! `confirm_interval`: a silence is confirmed by more pings, and nothing else is.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use heartprobe_tests::{
    behaviour::{answer, lose, silent, slow},
    config::{LATE, SLACK},
    daemon::{Daemon, State},
    net::Net,
    peer::Host,
    require_root,
};

const HOST: &str = "198.19.0.1";

const INTERVAL: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_millis(200);

/// The bound of a policy with `dead_after: 3`: an interval, `late_after`, one `confirm_interval`, the timeout.
const BOUND: Duration = Duration::from_millis(2_000 + 80 + 100 + 200);

/// What confirmation takes away from this must be more than what a busy machine may add.
const _: () = assert!(INTERVAL.as_millis() * 2 > BOUND.as_millis() + 1_000);

fn config(dead_after: u32) -> String {
    format!(
        "defaults: {{interval: 2s, timeout: 200ms, late_after: 80ms, confirm_interval: 100ms, dead_after: {dead_after}}}\n\
         groups:\n\
         - {{name: test, targets: [{HOST}]}}\n"
    )
}

/// Waits until the host has had so many pings.
fn until_pinged(host: &Host, pings: u64) {
    let end = Instant::now() + INTERVAL * 2 + SLACK;
    while host.pings() < pings {
        assert!(Instant::now() < end, "{} pings", host.pings());
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_silent_host_is_dead_long_before_three_intervals() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &config(3));
    daemon.until_state(HOST, State::Up);
    // The worst moment is right after a ping.
    until_pinged(&host, host.pings() + 1);
    sleep(TIMEOUT);
    host.now(silent());
    let (death, before) = (Instant::now(), host.pings());
    let dead = daemon.until("it is dead in time", BOUND + SLACK / 2, |scrape| {
        scrape.state(HOST) == Some(State::Dead)
    });
    assert!(death.elapsed() < INTERVAL * 2, "{:?}", death.elapsed());
    assert_eq!(host.pings() - before, 3, "one of the schedule, two more");
    assert_eq!(dead.missed(HOST), Some(3));
    assert_eq!(
        (dead.changes_to("critical"), dead.changes_to("dead")),
        (1, 1)
    );

    // The dead are pinged as seldom as all others.
    sleep(INTERVAL + TIMEOUT);
    assert!(host.pings() - before <= 5, "{}", host.pings() - before);
    host.now(answer());
    daemon.until("it is back", INTERVAL + SLACK, |scrape| {
        scrape.state(HOST) == Some(State::Up)
    });
}

#[test]
fn a_host_that_answers_gets_no_more_pings_and_a_lost_one_changes_nothing() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &config(4));
    let up = daemon.until_state(HOST, State::Up);

    until_pinged(&host, host.pings() + 1);
    let (before, begin) = (host.pings(), Instant::now());
    until_pinged(&host, before + 2);
    assert!(begin.elapsed() + TIMEOUT > INTERVAL * 2);

    // The one after the lost one comes at once, and settles it.
    host.now(lose(1));
    until_pinged(&host, before + 3);
    let lost = Instant::now();
    until_pinged(&host, before + 4);
    assert!(lost.elapsed() < TIMEOUT, "{:?}", lost.elapsed());
    sleep(TIMEOUT * 4);
    assert_eq!(host.pings(), before + 4);

    // Two lost ones: as many more as it takes.
    host.now(lose(2));
    until_pinged(&host, before + 7);
    sleep(TIMEOUT * 4);
    assert_eq!(host.pings(), before + 7);
    let scrape = daemon.scrape();
    assert_eq!(scrape.missed(HOST), Some(0));
    assert_eq!(scrape.state(HOST), Some(State::Up));
    // Two missed in a row are critical until the next pong is judged.
    assert!(scrape.changes() <= up.changes() + 2, "{}", scrape.changes());
    assert_eq!(scrape.changes_to("dead"), 0);
}

#[test]
fn who_is_late_as_a_rule_gets_no_more_pings() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &config(3));
    daemon.until_state(HOST, State::Up);
    host.now(slow(LATE));
    daemon.until("it is overloaded", INTERVAL * 2 + SLACK, |scrape| {
        scrape.state(HOST) == Some(State::Overloaded)
    });
    let (before, begin) = (host.pings(), Instant::now());
    until_pinged(&host, before + 2);
    assert!(begin.elapsed() > INTERVAL, "{:?}", begin.elapsed());
}

/// The figures of the documentation; run it with `--ignored --no-capture`.
#[test]
#[ignore = "takes a minute, and measures"]
fn a_death_is_known_in_less_than_seven_seconds() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let config = format!(
        "defaults: {{confirm_interval: 500ms}}\n\
         groups:\n\
         - {{name: test, targets: [{HOST}]}}\n"
    );
    let daemon = Daemon::run(&net.monitor, &config);
    for wait in [10, 2_500, 4_900] {
        daemon.until("it is up", Duration::from_secs(8), |scrape| {
            scrape.state(HOST) == Some(State::Up)
        });
        let pings = host.pings();
        while host.pings() == pings {
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(wait));
        host.now(silent());
        let death = Instant::now();
        daemon.until("it is dead", Duration::from_secs(7), |scrape| {
            scrape.state(HOST) == Some(State::Dead)
        });
        println!(
            "died {wait} ms after a ping, dead {} ms later",
            death.elapsed().as_millis()
        );
        host.now(answer());
    }
}
