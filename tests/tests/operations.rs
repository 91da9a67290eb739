//! The daemon in an operator's hands: started wrong, stopped, killed, started twice.

use std::{
    collections::HashMap,
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use heartprobe_tests::{
    bpf::{programs_on_wire, xdp_mode},
    config::{after, fleet},
    daemon::{Daemon, State, folder, heartprobe},
    http,
    metrics::Scrape,
    net::Net,
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
fn all_else_gives_way_to_pings() {
    require_root!();
    let net = Net::new();
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    let mut niceness = HashMap::new();
    for task in fs::read_dir(format!("/proc/{}/task", daemon.id())).unwrap() {
        let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default();
        // proc_pid_stat(5): the name in parentheses, then the state; the 17th field from there is the nice value.
        let Some((name, fields)) = stat.rsplit_once(") ") else {
            continue;
        };
        let name = name.split_once('(').unwrap().1.to_owned();
        let nice: i32 = fields.split(' ').nth(16).unwrap().parse().unwrap();
        niceness.insert(name, nice);
    }
    let of = |name: &str| niceness.get(name).copied();
    let (pings, scrapes) = (of("prober").unwrap(), of("tokio-rt-worker").unwrap());
    assert!(scrapes > pings, "{niceness:?}");
}
