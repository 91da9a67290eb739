//! A fleet of any size: a prefix that the kernel's reflector answers for on the other side of the wire.

use std::{fmt::Write as _, net::Ipv4Addr, process::Command, time::Duration};

use heartprobe_tests::{
    daemon::{Daemon, heartprobe},
    http,
    net::{Net, WIRE},
    process::{Process, poll},
};

use crate::janitor::Janitor;

/// Hosts that there are addresses for.
pub const MOST: usize = 98_304 + 16_384;

/// Two namespaces, a reflector for everyone in the one.
pub struct Fleet {
    reflector: Process,
    _janitor: Janitor,
    /// The namespaces; the last to go.
    pub net: Net,
}

impl Fleet {
    /// Starts the reflector and waits until it answers.
    pub fn new() -> Self {
        let net = Net::new();
        let janitor = Janitor::of(&net);
        // For the peer's ICMP: the fleet's own kernel answers for every address.
        for prefix in ["198.18.128.0/17", "198.18.96.0/19"] {
            net.fleet.ip(&format!("route add local {prefix} dev lo"));
            net.monitor.ip(&format!("route replace {prefix} via 198.18.0.2"));
        }
        // Where pongs come up to the sockets the monitor's end has no XDP, and veth takes frames of the reflector's
        // only with GRO.
        net.monitor.run("ethtool", &["-K", WIRE, "gro", "on"]);
        let reflect = &mut heartprobe();
        reflect.args(["reflect", "--xdp", WIRE, "--report-interval", "0s"]);
        let reflector = Process::start(&net.fleet, reflect);
        let said = || reflector.stderr().contains("the kernel answers").then_some(());
        assert!(poll(Duration::from_secs(20), said).is_some(), "{}", reflector.stderr());
        Self { reflector, _janitor: janitor, net }
    }

    /// A daemon that pings this many of the fleet each second.
    pub fn monitor(&self, targets: usize, xdp: &str) -> Daemon<'_> {
        let mut config = format!(
            "xdp: {xdp}\ndefaults: {{interval: 1s, timeout: 900ms}}\ngroups:\n- name: fleet\n  targets:\n"
        );
        for host in hosts().take(targets) {
            let _ = writeln!(config, "  - {host}");
        }
        Daemon::run(&self.net.monitor, &config)
    }

    /// The text of the monitor's metrics without those of single targets, which a bench reads often.
    pub fn group_metrics(&self) -> String {
        let page = http::get(&self.net.monitor, Daemon::ADDRESS, "/metrics").expect("it serves");
        page.body.lines().filter(|l| !l.contains("heartprobe_target_")).flat_map(|l| [l, "\n"]).collect()
    }

    /// Runs a program on the monitor's side.
    pub fn beside(&self, program: &mut Command) -> Process {
        Process::start(&self.net.monitor, program)
    }

    /// The reflector's process.
    pub fn reflector(&self) -> u32 {
        self.reflector.id()
    }
}

/// The fleet's addresses, none of them the first or last of a block of 256.
pub fn hosts() -> impl Iterator<Item = Ipv4Addr> {
    let blocks = [(Ipv4Addr::new(198, 19, 0, 0), 1 << 16), (Ipv4Addr::new(198, 18, 128, 0), 1 << 15), (Ipv4Addr::new(198, 18, 64, 0), 1 << 14)];
    blocks.into_iter().flat_map(|(first, length)| {
        (0..length).map(move |offset| Ipv4Addr::from_bits(first.to_bits() + offset))
    })
}
