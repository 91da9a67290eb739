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

/// As many as one monitor takes: 2^20.
pub const MOST: u32 = 1 << 20;

/// The fleet's addresses: where each prefix begins and how long it is. The benchmarking range (RFC 2544) holds no million, so
/// the rest is private (RFC 1918); the namespaces know no way out for either.
const PREFIXES: [([u8; 4], u32); 4] = [
    ([198, 19, 0, 0], 1 << 16),
    ([198, 18, 128, 0], 1 << 15),
    ([198, 18, 64, 0], 1 << 14),
    ([10, 0, 0, 0], 1 << 21),
];

/// Two namespaces, and everyone in the one answers.
pub struct Fleet {
    reflector: Option<Process>,
    _janitor: Janitor,
    /// The namespaces; the last to go.
    pub net: Net,
}

/// How the daemon under the bench sends and receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The kernel sends, XDP receives.
    Kernel,
    /// Sockets send, XDP receives.
    Socket,
    /// Sockets send and receive.
    SocketsAlone,
}

impl Engine {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Kernel, Self::Socket, Self::SocketsAlone];

    /// How a table calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "heartprobe, kernel engine",
            Self::Socket => "heartprobe, socket engine",
            Self::SocketsAlone => "heartprobe, sockets alone",
        }
    }

    const fn config(self) -> &'static str {
        match self {
            Self::Kernel => "engine: kernel\nxdp: native\n",
            Self::Socket => "engine: socket\nxdp: native\n",
            Self::SocketsAlone => "engine: socket\nxdp: off\n",
        }
    }

    /// The most targets that it is asked to ping each second.
    pub const fn most(self) -> u32 {
        match self {
            Self::Kernel => MOST,
            Self::Socket | Self::SocketsAlone => 100_000,
        }
    }
}

impl Fleet {
    /// Hosts with a reflector in their kernel, for a monitor with this engine. Returns when it answers.
    pub fn of(engine: Engine) -> Self {
        let mut fleet = Self::without_reflector();
        // In the driver, as on hosts with a network card. What a veth's driver sends gets lost where the other end has no XDP.
        let mode = match engine {
            Engine::Kernel | Engine::Socket => "native",
            Engine::SocketsAlone => "generic",
        };
        fleet.reflector = Some(reflector(&fleet.net, mode));
        fleet
    }

    /// Hosts whose own kernel answers ICMP, and no program is in its way.
    pub fn without_reflector() -> Self {
        let net = Net::new();
        let janitor = Janitor::of(&net);
        net.fleet.ip("route del blackhole 198.18.64.0/18");
        for prefix in ["198.18.128.0/17", "198.18.64.0/18", "10.0.0.0/11"] {
            net.fleet.ip(&format!("route add local {prefix} dev lo"));
            net.monitor
                .ip(&format!("route replace {prefix} via 198.18.0.2"));
        }
        Self {
            reflector: None,
            _janitor: janitor,
            net,
        }
    }

    /// A daemon that pings this many of the fleet, each once an interval, with series for groups alone.
    pub fn monitor(&self, targets: u32, engine: Engine, interval: Duration) -> Daemon<'_> {
        self.monitor_with(targets, engine, interval, "groups")
    }

    /// The same with other `metrics.detail`.
    pub fn monitor_with(
        &self,
        targets: u32,
        engine: Engine,
        interval: Duration,
        detail: &str,
    ) -> Daemon<'_> {
        let config = Self::config(targets, engine, interval, detail);
        Daemon::run(&self.net.monitor, &config)
    }

    /// That daemon's configuration; other groups can be added at its end.
    pub fn config(targets: u32, engine: Engine, interval: Duration, detail: &str) -> String {
        let mut config = engine.config().to_owned();
        let _ = write!(
            config,
            "metrics: {{detail: {detail}}}\n\
             defaults: {{interval: {}ms, timeout: 900ms}}\n\
             groups:\n- name: fleet\n  targets:\n",
            interval.as_millis()
        );
        for block in blocks(targets) {
            let _ = writeln!(config, "  - {block}");
        }
        config
    }
}

fn reflector(net: &Net, mode: &str) -> Process {
    let mut command = heartprobe();
    command.args(["reflect", "--xdp", WIRE, "--xdp-mode", mode]);
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
        let length = (12..=30)
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
            .chain((1_000..150_000).step_by(997))
            .chain([999_999, 1_000_000, MOST]);
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
