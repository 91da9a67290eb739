//! A fleet of any size: a prefix that the kernel's reflector answers for on the other side of the wire.

use std::{
    fmt::{self, Write as _},
    net::Ipv4Addr,
    time::Duration,
};

use heartprobe_tests::{
    daemon::{Daemon, heartprobe},
    net::{Net, WIRE},
    process::{Process, poll},
};

use crate::janitor::Janitor;

/// As many as there are addresses for, whatever blocks they come in.
pub const MOST: u32 = 110_000;

/// The fleet's addresses: where each prefix begins and how long it is.
const PREFIXES: [([u8; 4], u32); 3] = [
    ([198, 19, 0, 0], 1 << 16),
    ([198, 18, 128, 0], 1 << 15),
    ([198, 18, 64, 0], 1 << 14),
];

/// Two namespaces, and everyone in the one answers.
pub struct Fleet {
    _reflector: Process,
    _janitor: Janitor,
    /// The namespaces; the last to go.
    pub net: Net,
}

/// How the daemon under the bench receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// By XDP.
    Xdp,
    /// At the sockets.
    Sockets,
}

impl Receive {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Xdp, Self::Sockets];

    /// How a table calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xdp => "heartprobe, XDP receives",
            Self::Sockets => "heartprobe, xdp: off",
        }
    }
}

impl Fleet {
    /// Starts the reflector and waits until it answers.
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
            _reflector: reflector(&net),
            _janitor: janitor,
            net,
        }
    }

    /// A daemon that pings this many of the fleet each second.
    pub fn monitor(&self, targets: u32, receive: Receive) -> Daemon<'_> {
        let xdp = match receive {
            Receive::Xdp => "native",
            Receive::Sockets => "off",
        };
        let mut config = format!(
            "xdp: {xdp}\ndefaults: {{interval: 1s, timeout: 900ms}}\ngroups:\n- name: fleet\n  targets:\n"
        );
        for block in blocks(targets) {
            let _ = writeln!(config, "  - {block}");
        }
        Daemon::run(&self.net.monitor, &config)
    }
}

/// What a veth's native reflector sends gets lost where the other end has no XDP, so it is generic: the same for all rows.
fn reflector(net: &Net) -> Process {
    let mut command = heartprobe();
    command.args(["reflect", "--xdp", WIRE, "--xdp-mode", "generic"]);
    let reflector = Process::start(&net.fleet, &mut command);
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

/// Neighbouring addresses.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    first: Ipv4Addr,
    /// 32 for a single address, up to 30 otherwise: a block of two has no host.
    length: u8,
}

/// Blocks that hold so many hosts together, the largest first.
pub fn blocks(hosts: u32) -> Vec<Block> {
    let mut used = [0; PREFIXES.len()];
    let mut blocks = Vec::new();
    let mut rest = hosts;
    while rest > 0 {
        // Two addresses of a block are no hosts: its network's, and the broadcast address.
        let length = (16..=30)
            .find(|length| (1 << (32 - length)) - 2 <= rest)
            .unwrap_or(32);
        let size = 1 << (32 - length);
        let room = PREFIXES.iter().zip(&mut used);
        let Some(((prefix, _), used)) = { room }.find(|((_, all), used)| **used + size <= *all)
        else {
            break;
        };
        let block = Block {
            first: (Ipv4Addr::from(*prefix).to_bits() + *used).into(),
            length,
        };
        *used += size;
        rest -= block.hosts().count() as u32;
        blocks.push(block);
    }
    blocks
}

impl Block {
    /// Its hosts.
    pub fn hosts(self) -> impl Iterator<Item = Ipv4Addr> {
        let (first, size) = (self.first.to_bits(), 1 << (32 - self.length));
        let hosts = if size == 1 { 0..1 } else { 1..size - 1 };
        hosts.map(move |host| Ipv4Addr::from_bits(first + host))
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        match self.length {
            32 => Ok(()),
            length => write!(f, "/{length}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn blocks_hold_exactly_the_hosts_asked_for() {
        let sizes = (1..300)
            .chain((1_000..MOST).step_by(997))
            .chain([100_000, MOST]);
        for hosts in sizes {
            let blocks = blocks(hosts);
            let all: HashSet<_> = blocks.iter().flat_map(|block| block.hosts()).collect();
            assert_eq!(all.len(), hosts as usize, "{blocks:?}");
            for block in blocks {
                let mask = u32::MAX.checked_shr(block.length.into()).unwrap_or(0);
                assert_eq!(block.first.to_bits() & mask, 0, "{block}");
            }
        }
    }
}
