//! The daemon in an operator's hands: started wrong, stopped, killed, reloaded, its network taken away.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use heartprobe_tests::{
    behaviour::{silent, slow},
    bpf::{programs_on_wire, xdp_mode},
    config::{INTERVAL, LATE, after, fleet},
    daemon::{Daemon, State, folder, heartprobe},
    http,
    metrics::Scrape,
    net::{Net, WIRE},
    peer::Host,
    process::{Process, poll},
    require_root,
};
use rustix::process::Signal;

const HOST: &str = "198.19.0.1";

#[test]
fn a_daemon_killed_outright_leaves_no_program_attached() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    for mode in ["native", "generic"] {
        let mut daemon = Daemon::run(&net.monitor, &format!("xdp: {mode}\n{}", fleet(&[HOST])));
        daemon.until_state(HOST, State::Up);
        assert_eq!(xdp_mode(&net.monitor).as_deref(), Some(mode));
        assert!(
            programs_on_wire(&net.monitor) >= 2,
            "receive and stamp\n{}",
            daemon.log()
        );
        daemon.signal(Signal::KILL);
        daemon.exit(after(0));
        // The kernel frees what a dead process held a moment after it is reaped.
        let clean = poll(after(0), || {
            (programs_on_wire(&net.monitor) == 0).then_some(())
        });
        assert!(
            clean.is_some(),
            "{} programs left",
            programs_on_wire(&net.monitor)
        );
    }
}

#[test]
fn it_stops_cleanly_within_a_second() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    for signal in [Signal::TERM, Signal::INT] {
        let mut daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
        daemon.until_state(HOST, State::Up);
        let told = Instant::now();
        daemon.signal(signal);
        let status = daemon.exit(after(0));
        assert!(
            told.elapsed() < Duration::from_secs(1),
            "{:?}",
            told.elapsed()
        );
        assert_eq!(status.code(), Some(0), "{signal:?}\n{}", daemon.log());
        assert_eq!(programs_on_wire(&net.monitor), 0);
    }
}

#[test]
fn it_stops_within_a_second_while_somebody_holds_a_connection_to_its_page() {
    require_root!();
    let net = Net::new();
    let mut daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    let _idle = net
        .monitor
        .enter(|| TcpStream::connect(Daemon::web()))
        .unwrap();
    let told = Instant::now();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.exit(after(0)).code(), Some(0));
    assert!(
        told.elapsed() < Duration::from_secs(1),
        "{:?}",
        told.elapsed()
    );
}

#[test]
fn a_typo_in_the_configuration_ends_it_with_file_line_and_suggestion() {
    require_root!();
    let net = Net::new();
    let config = "groups:\n  - name: web\n    intervall: 1s\n    targets: [198.19.0.1]\n";
    let mut daemon = Daemon::try_run(&net.monitor, config);
    assert_eq!(daemon.exit(after(0)).code(), Some(2), "{}", daemon.log());
    let said = daemon.lines_with("heartprobe.yml:3:");
    assert_eq!(said.len(), 1, "{}", daemon.log());
    assert!(
        said[0].contains("intervall") && said[0].contains("did you mean interval?"),
        "{said:?}"
    );
}

#[test]
fn a_configuration_that_is_not_there_ends_it_with_its_name() {
    require_root!();
    let net = Net::new();
    let mut program = heartprobe();
    program.args(["run", "--config.file", "no-such.yml"]);
    let mut process = Process::start(&net.monitor, &mut program);
    assert_eq!(process.exit(after(0)).code(), Some(2));
    assert_eq!(
        process
            .stderr()
            .lines()
            .filter(|line| line.contains("no-such.yml"))
            .count(),
        1
    );
}

#[test]
fn a_web_port_that_is_taken_ends_it_with_one_clear_line() {
    require_root!();
    let net = Net::new();
    let _taken = net
        .monitor
        .enter(|| TcpListener::bind(Daemon::web()))
        .unwrap();
    let mut daemon = Daemon::try_run(&net.monitor, &fleet(&[HOST]));
    assert_eq!(daemon.exit(after(0)).code(), Some(1), "{}", daemon.log());
    let said = daemon.lines_with("127.0.0.1:9862");
    assert_eq!(said.len(), 1, "{}", daemon.log());
    assert!(
        said[0].contains("--web.listen-address"),
        "what to do: {said:?}"
    );
    assert_eq!(programs_on_wire(&net.monitor), 0);
}

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
fn two_monitors_on_one_box_do_not_disturb_each_other() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    let first = Daemon::run(&net.monitor, &fleet(&[HOST]));
    first.until_state(HOST, State::Up);
    let web = SocketAddr::from(([127, 0, 0, 1], 9863));
    let folder = folder();
    let file = folder.path().join("second.yml");
    fs::write(&file, fleet(&[HOST])).unwrap();
    let mut command = heartprobe();
    command
        .args([
            "run",
            "--web.listen-address",
            &web.to_string(),
            "--config.file",
        ])
        .arg(&file);
    let second = Process::start(&net.monitor, &mut command);

    let up = poll(after(4), || {
        let page = http::get(&net.monitor, web, "/metrics").ok()?;
        (Scrape::parse(&page.body).state(HOST) == Some(State::Up)).then_some(())
    });
    assert!(up.is_some(), "{}", second.stderr());
    assert!(
        second.stderr().contains("another XDP program"),
        "{}",
        second.stderr()
    );
    let scrape = first.holds(HOST, State::Up, 3);
    for fate in ["stale", "forged", "malformed"] {
        assert_eq!(scrape.fate(fate), 0, "{fate}");
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
fn an_unkeyed_fleet_is_told_of_at_start() {
    require_root!();
    let net = Net::new();
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    assert_eq!(
        daemon.lines_with("all-zero key").len(),
        1,
        "{}",
        daemon.log()
    );
}

#[test]
fn a_full_send_buffer_stops_nothing() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    // Nobody answers ARP for 198.18.0.3 to 254: their pings wait in the neighbour queues until those, and the socket's
    // buffer with them, are full.
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST, "198.18.0.128/25"]));
    daemon.until_state(HOST, State::Up);
    daemon.holds(HOST, State::Up, 12);
    assert_eq!(daemon.scrape().changes_to("overloaded"), 0);
}
