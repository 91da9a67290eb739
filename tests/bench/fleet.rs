//! A fleet of any size: a prefix that the kernel's reflector answers for on the other side of the wire.

use std::{fmt::Write as _, net::Ipv4Addr, time::Duration};

use heartprobe_tests::{
    daemon::{Daemon, heartprobe},
    net::{Net, WIRE},
    process::{Process, poll},
};

use crate::janitor::Janitor;

/// Hosts that there are addresses for.
pub const MOST: usize = (1 << 16) + (1 << 15) + (1 << 14) - 3 * 2;

/// Two namespaces, and everyone in the one to answer for.
pub struct Fleet {
    _janitor: Janitor,
    /// The namespaces; the last to go.
    pub net: Net,
}

/// How the daemon under the bench receives, and so how the fleet has to answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// By XDP; the reflector is native too.
    Xdp,
    /// At the sockets: a veth delivers native XDP's frames to XDP alone, so the reflector is generic.
    Sockets,
}

impl Receive {
    /// How a table calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xdp => "XDP receives",
            Self::Sockets => "sockets receive",
        }
    }
}

impl Fleet {
    /// Two namespaces with addresses for everyone.
    pub fn new() -> Self {
        let net = Net::new();
        let janitor = Janitor::of(&net);
        // For the peer's ICMP the fleet's own kernel answers, for every address.
        net.fleet.ip("route del blackhole 198.18.64.0/18");
        for prefix in ["198.18.128.0/17", "198.18.64.0/18"] {
            net.fleet.ip(&format!("route add local {prefix} dev lo"));
            net.monitor
                .ip(&format!("route replace {prefix} via 198.18.0.2"));
        }
        Self {
            _janitor: janitor,
            net,
        }
    }

    /// Starts a reflector in the fleet's kernel and waits until it answers.
    pub fn reflector(&self, receive: Receive) -> Process {
        let mode = match receive {
            Receive::Xdp => "native",
            Receive::Sockets => "generic",
        };
        let mut command = heartprobe();
        command.args([
            "reflect",
            "--xdp",
            WIRE,
            "--xdp-mode",
            mode,
            "--report-interval",
            "0s",
        ]);
        let reflector = Process::start(&self.net.fleet, &mut command);
        let said = || {
            reflector
                .stderr()
                .contains("the kernel answers")
                .then_some(())
        };
        assert!(
            poll(Duration::from_secs(20), said).is_some(),
            "{}",
            reflector.stderr()
        );
        reflector
    }

    /// A daemon that pings this many of the fleet each second.
    pub fn monitor(&self, targets: usize, receive: Receive) -> Daemon<'_> {
        let xdp = match receive {
            Receive::Xdp => "native",
            Receive::Sockets => "off",
        };
        let mut config = format!(
            "xdp: {xdp}\ndefaults: {{interval: 1s, timeout: 900ms}}\ngroups:\n- name: fleet\n  targets:\n"
        );
        for host in hosts().take(targets) {
            let _ = writeln!(config, "  - {host}");
        }
        Daemon::run(&self.net.monitor, &config)
    }
}

/// The fleet's addresses: three prefixes, without the first and the last of each.
pub fn hosts() -> impl Iterator<Item = Ipv4Addr> {
    let prefixes = [
        ([198, 19, 0, 0], 1 << 16),
        ([198, 18, 128, 0], 1 << 15),
        ([198, 18, 64, 0], 1 << 14),
    ];
    prefixes.into_iter().flat_map(|(first, length): (_, u32)| {
        let first = Ipv4Addr::from(first).to_bits();
        (1..length - 1).map(move |offset| Ipv4Addr::from_bits(first + offset))
    })
}
