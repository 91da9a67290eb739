//! Which engine sends: the choice by itself, the one that is asked for, and the threads that pump.

use std::{fs, path::PathBuf, thread, time::Duration};

use heartprobe_tests::{
    config::{after, fleet},
    daemon::{Daemon, State, heartprobe_as_nobody},
    metrics::Scrape,
    net::{Net, WIRE},
    peer::Host,
    require_root,
};

const HOST: &str = "198.19.0.1";

/// Until an interface that could not send is asked again.
const AGAIN: Duration = Duration::from_secs(5);

/// Whether the fleet's end of the wire takes frames from XDP, as a card's driver does or does not.
fn set_driver(net: &Net, takes: bool) {
    let gro = if takes { "on" } else { "off" };
    net.fleet.run("ethtool", &["-K", WIRE, "gro", gro]);
}

fn transmits(scrape: &Scrape, by: &str) -> bool {
    let labels = [("interface", WIRE), ("transmit", by)];
    scrape.metric("heartprobe_engine_info", &labels) == Some(1.0)
}

#[test]
fn each_interface_has_the_engine_that_it_can_have_at_the_time() {
    require_root!("ethtool");
    let net = Net::new();
    set_driver(&net, false);
    let _host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &format!("engine: auto\n{}", fleet(&[HOST])));
    let scrape = daemon.until_state(HOST, State::Up);
    assert!(transmits(&scrape, "socket"), "{}", daemon.log());
    let said = daemon.lines_with("its driver takes no frames from XDP");
    assert_eq!(said.len(), 1, "{}", daemon.log());

    set_driver(&net, true);
    daemon.until("the kernel sends", AGAIN + after(1), |scrape| {
        transmits(scrape, "kernel")
    });
    daemon.holds(HOST, State::Up, 3);

    set_driver(&net, false);
    daemon.until("sockets send again", AGAIN + after(1), |scrape| {
        transmits(scrape, "socket")
    });
    daemon.holds(HOST, State::Up, 3);
    let scrape = daemon.scrape();
    assert_eq!(
        scrape.changes(),
        1,
        "up, and nothing else: {}",
        daemon.log()
    );
}

/// The daemon does not start with this configuration, and says why.
fn is_refused(mut daemon: Daemon<'_>, why: &str) {
    assert_eq!(daemon.exit(after(0)).code(), Some(1), "{}", daemon.log());
    assert_eq!(daemon.lines_with(why).len(), 1, "{why}: {}", daemon.log());
}

#[test]
fn an_engine_that_is_asked_for_and_cannot_be_had_ends_it_with_the_reason() {
    require_root!("ethtool");
    let net = Net::new();
    let config = format!("engine: kernel\n{}", fleet(&[HOST]));
    let daemon = Daemon::run(&net.monitor, &config);
    assert!(transmits(&daemon.scrape(), "kernel"), "{}", daemon.log());
    drop(daemon);

    set_driver(&net, false);
    let why = format!("engine: kernel: {WIRE}: its driver takes no frames from XDP");
    is_refused(Daemon::try_run(&net.monitor, &config), &why);
    let on_loopback = format!("engine: kernel\n{}", fleet(&["127.0.0.1"]));
    let why = "engine: kernel: lo: it is no Ethernet";
    is_refused(Daemon::try_run(&net.monitor, &on_loopback), why);
    let as_nobody = Daemon::try_run_by(heartprobe_as_nobody(), &net.monitor, &config);
    is_refused(as_nobody, "engine: kernel: eBPF needs root");
}

#[test]
fn a_pump_on_a_cpu_that_is_not_there_ends_it_with_the_reason() {
    require_root!();
    let net = Net::new();
    let config = format!("pumps: [0, 8000]\n{}", fleet(&[HOST]));
    let daemon = Daemon::try_run(&net.monitor, &config);
    is_refused(daemon, "pumps: cannot bind a pump to CPU 8000");
}

#[test]
fn pumps_share_the_fleet() {
    require_root!("ethtool");
    let net = Net::new();
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let pumps: Vec<String> = (0..cpus.min(2)).map(|cpu| cpu.to_string()).collect();
    let hosts = ["198.19.0.1", "2001:db8:1::1"];
    let _hosts = hosts.map(|host| Host::start(&net.fleet, host));
    // More than one pump's share falls due together.
    let crowd = "  - {name: crowd, interval: 100ms, timeout: 100ms, targets: [198.18.64.0/22]}\n";
    let config = format!(
        "engine: kernel\npumps: [{}]\n{}{crowd}",
        pumps.join(", "),
        fleet(&hosts)
    );
    let daemon = Daemon::run(&net.monitor, &config);
    for host in hosts {
        daemon.until_state(host, State::Up);
    }
    let in_crowd = [("group", "crowd")];
    let scrape = daemon.until("all of the crowd is dead", after(4), |scrape| {
        let dead = [("group", "crowd"), ("state", "dead")];
        scrape.metric("heartprobe_targets", &dead) == Some(1022.0)
    });
    assert!(scrape.sum("heartprobe_target_pings_total", &in_crowd) >= 3 * 1022);
    let threads = daemon.threads();
    for cpu in &pumps {
        let name = format!("pump-{cpu}");
        assert!(threads.contains(&name), "{name} among {threads:?}");
    }
}

/// A set of CPUs for processes (cpuset(7)), removed when this is dropped.
struct CpuSet(PathBuf);

impl CpuSet {
    /// With the first CPU alone.
    fn of_first() -> Self {
        let name = format!("hp-{}", std::process::id());
        let v1 = PathBuf::from("/sys/fs/cgroup/cpuset");
        let v2 = PathBuf::from("/sys/fs/cgroup");
        let parent = if v1.is_dir() { v1 } else { v2 };
        // Version 2 wants to be asked for it.
        let _ = fs::write(parent.join("cgroup.subtree_control"), "+cpuset");
        let set = Self(parent.join(name));
        fs::create_dir(&set.0).expect("a cpuset can be made");
        for file in ["cpuset.mems", "cpuset.cpus"] {
            fs::write(set.0.join(file), "0").expect("it can have the first CPU");
        }
        set
    }

    fn take(&self, process: u32) {
        fs::write(self.0.join("cgroup.procs"), process.to_string()).expect("it takes processes");
    }
}

impl Drop for CpuSet {
    fn drop(&mut self) {
        // It is empty once the process has ended.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            thread::yield_now();
        }
    }
}

#[test]
fn a_pump_that_dies_ends_the_daemon_with_its_reason() {
    require_root!("ethtool");
    if thread::available_parallelism().map_or(1, usize::from) < 2 {
        eprintln!("skipped: one CPU alone cannot be taken away");
        return;
    }
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    let set = CpuSet::of_first();
    let config = format!("engine: kernel\npumps: [1]\n{}", fleet(&[HOST]));
    let mut daemon = Daemon::run(&net.monitor, &config);
    daemon.until_state(HOST, State::Up);
    set.take(daemon.id());
    assert_eq!(daemon.exit(after(2)).code(), Some(1), "{}", daemon.log());
    let why = "the pump of CPU 1 ended: cannot bind a pump to CPU 1";
    assert_eq!(daemon.lines_with(why).len(), 1, "{}", daemon.log());
}
