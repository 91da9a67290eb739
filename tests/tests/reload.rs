//! A new configuration for a running daemon.

use std::{fs, time::Duration};

use heartprobe_tests::{
    behaviour::{silent, slow},
    config::{LATE, after, fleet},
    daemon::{Daemon, State, folder},
    http,
    metrics::Scrape,
    net::Net,
    peer::Host,
    require_root,
};

const HOST: &str = "198.19.0.1";

/// Hosts of 198.18.64.0/18. Nobody answers for them: each one's death is counted once, however often the file is read.
const CROWD: u64 = 16_382;

#[test]
fn a_reload_adds_and_removes_targets_and_keeps_the_rest_as_they_were() {
    require_root!();
    let net = Net::new();
    let hosts = [HOST, "198.19.0.2", "198.19.0.3"];
    let _fleet = hosts.map(|host| Host::start(&net.fleet, host));
    let daemon = Daemon::run(&net.monitor, &fleet(&hosts[..2]));
    daemon.until("the first has had six pongs", after(7), |scrape| {
        scrape.pongs(HOST) >= Some(6)
    });
    let before = daemon.until_state("198.19.0.2", State::Up);

    daemon.reload(&fleet(&[HOST, "198.19.0.3"]));
    daemon.until_state("198.19.0.3", State::Up);
    let scrape = daemon.holds(HOST, State::Up, 3);
    assert_eq!(scrape.state("198.19.0.2"), None, "it is gone");
    assert!(
        scrape.pings(HOST) > before.pings(HOST),
        "its counters went on"
    );
    assert_eq!(
        scrape.changes_to("up"),
        before.changes_to("up") + 1,
        "only the new one changed"
    );
    assert_eq!(scrape.fate("forged"), 0);
}

#[test]
fn a_reload_of_a_bad_file_changes_nothing_and_says_where_it_is_bad() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    daemon.until_state(HOST, State::Up);
    daemon.reload("groups:\n  - name: test\n    targts: [198.19.0.9]\n");
    daemon.until_logged("heartprobe.yml:3:");
    daemon.holds(HOST, State::Up, 3);
    host.now(silent());
    daemon.until_state(HOST, State::Dead);
}

#[test]
fn a_reload_can_be_asked_for_on_its_page_and_tells_whether_it_was_done() {
    require_root!();
    let net = Net::new();
    let _hosts = [HOST, "198.19.0.2"].map(|host| Host::start(&net.fleet, host));
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    let reload = || http::post(&net.monitor, Daemon::web(), "/-/reload").unwrap();

    daemon.configure(&fleet(&[HOST, "198.19.0.2"]));
    assert_eq!(reload().status, 200);
    daemon.until_state("198.19.0.2", State::Up);

    daemon.configure("groups: [{name: test, targets: [300.1.1.1]}]");
    let refused = reload();
    assert_eq!(refused.status, 500);
    assert!(
        refused.body.contains("heartprobe.yml:1:"),
        "{}",
        refused.body
    );
    daemon.until_state("198.19.0.2", State::Up);
}

#[test]
fn a_reload_that_there_is_no_room_for_changes_nothing_not_even_the_keys() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    let folder = folder();
    fs::write(
        folder.path().join("key"),
        "000102030405060708090a0b0c0d0e0f\n",
    )
    .unwrap();
    let daemon = Daemon::run_in(
        folder,
        &net.monitor,
        &format!("xdp: off\n{}", fleet(&[HOST])),
    );
    daemon.until_state(HOST, State::Up);
    daemon.reload(&format!(
        "xdp: off\nkeys: {{current: key}}\n{}",
        fleet(&[HOST, "198.19.64.0/18"])
    ));
    daemon.until_logged("nothing changed");
    let scrape = daemon.holds(HOST, State::Up, 4);
    assert_eq!(scrape.missed(HOST), Some(0));
}

#[test]
fn a_reload_changes_the_policy_of_a_target_that_stays() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    host.now(slow(LATE));
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    daemon.until_state(HOST, State::Overloaded);
    daemon.reload(&fleet(&[HOST]).replace("late_after: 80ms", "late_after: 190ms"));
    daemon.until_state(HOST, State::Up);
}

#[test]
fn a_reload_of_a_large_fleet_touches_only_what_changes() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    let config = |late_after: &str, targets: &str| {
        format!(
            "metrics: {{detail: exceptions}}\n{}\
             \x20 - {{name: crowd, interval: 1s, timeout: 200ms, late_after: {late_after}, targets: [{targets}]}}\n",
            fleet(&[HOST])
        )
    };
    let in_crowd = |state| [("group", "crowd"), ("state", state)];
    let daemon = Daemon::run(&net.monitor, &config("50ms", "198.18.64.0/18"));
    let within = Duration::from_secs(4) + after(0);
    daemon.until("all of the crowd is dead", within, |scrape| {
        scrape.count("heartprobe_targets", &in_crowd("dead")) == Some(CROWD)
    });
    let one = [("target", "198.18.100.7")];
    let pings = |scrape: &Scrape| scrape.count("heartprobe_target_pings_total", &one);
    let before = daemon.scrape();

    // One more, then all in another class, then a quarter less.
    for (late_after, targets, count) in [
        ("50ms", "198.18.64.0/18, 198.19.9.9", CROWD + 1),
        ("60ms", "198.18.64.0/18, 198.19.9.9", CROWD + 1),
        ("60ms", "198.18.64.0/19, 198.18.96.0/20", 8190 + 4094),
    ] {
        daemon.reload(&config(late_after, targets));
        let scrape = daemon.until("the new fleet is all dead", within, |scrape| {
            scrape.count("heartprobe_targets", &in_crowd("dead")) == Some(count)
        });
        assert!(pings(&scrape) >= pings(&before), "its counters went on");
    }
    let scrape = daemon.scrape();
    let up = [("group", "test"), ("state", "up")];
    assert_eq!(scrape.metric("heartprobe_targets", &up), Some(1.0));
    assert_eq!(
        scrape.state(HOST),
        None,
        "who is up has no series of its own"
    );
    let deaths = scrape.sum("heartprobe_state_changes_total", &in_crowd("dead"));
    assert_eq!(deaths, CROWD + 1, "only the new one died");
    assert_eq!(scrape.sum("heartprobe_pings_unsent_total", &[]), 0);
}

#[test]
fn a_reload_changes_which_targets_have_series_of_their_own() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    let dead = "198.18.64.1";
    let config = |metrics: &str| format!("{metrics}\n{}", fleet(&[HOST, dead]));
    let daemon = Daemon::run(&net.monitor, &config(""));
    daemon.until_state(HOST, State::Up);
    let before = daemon.until_state(dead, State::Dead);
    for (detail, up, down) in [
        ("groups", None, None),
        ("exceptions", None, Some(State::Dead)),
        ("all", Some(State::Up), Some(State::Dead)),
    ] {
        daemon.reload(&config(&format!("metrics: {{detail: {detail}}}")));
        let scrape = daemon.until(detail, after(0), |scrape| {
            (scrape.state(HOST), scrape.state(dead)) == (up, down)
        });
        for state in ["up", "dead"] {
            let labels = [("group", "test"), ("state", state)];
            assert_eq!(scrape.count("heartprobe_targets", &labels), Some(1));
        }
        // All of its series, or none.
        assert_eq!(scrape.pings(dead).is_some(), down.is_some());
        assert_eq!(scrape.changes(), before.changes());
    }
    assert!(daemon.scrape().pongs(HOST) >= before.pongs(HOST));
}
