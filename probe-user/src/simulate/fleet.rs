//! Where the simulated fleet is: its addresses, the wire to it, and the configuration of the monitor that probes it.

use std::{
    fmt::Write as _,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
};

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Net, Ipv6Subnets};

use super::namespace::Namespace;

/// The wire's end on either side.
pub const WIRE: &str = "hp0";

/// As many targets as one monitor takes.
pub const MOST: u32 = 1 << 20;

/// So many addresses has 198.18.0.0/15, which is kept for such measurements (RFC 2544).
const BENCHMARKING: u32 = 1 << 17;

/// A fleet of neighbouring addresses. Those of the wire are from the ranges for documentation (RFC 5737, RFC 3849).
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// All its addresses, and some more.
    pub prefix: IpNet,
    /// How many of them there are, from the first one on; 1 to [`MOST`].
    pub hosts: u32,
}

impl Fleet {
    /// So many hosts.
    pub fn new(hosts: u32, ipv6: bool) -> Self {
        let v4 = |a, b, length| Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), length).into();
        let prefix = if ipv6 {
            Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0), 108).into()
        } else if hosts <= BENCHMARKING {
            v4(198, 18, 15)
        } else {
            v4(10, 0, 12)
        };
        Self { prefix, hosts }
    }

    /// Puts a wire between the two namespaces, and lets every address of the fleet be one of the fleet's own. There is no way
    /// out of either.
    pub fn plug(&self, monitor: &Namespace, fleet: &Namespace) -> anyhow::Result<()> {
        let (family, ends) = match self.prefix {
            IpNet::V4(_) => ("-4", ["192.0.2.1/30", "192.0.2.2/30"]),
            IpNet::V6(_) => ("-6", ["2001:db8::1/64", "2001:db8::2/64"]),
        };
        let (prefix, there) = (self.prefix, fleet.path());
        monitor.ip(&format!(
            "link add {WIRE} type veth peer name {WIRE} netns {there}"
        ))?;
        for side in [monitor, fleet] {
            side.ip("link set lo up")?;
            side.ip(&format!("link set {WIRE} up"))?;
        }
        // Now that both ends are up: an IPv6 address given before answers nobody for the first second.
        for (side, address) in [monitor, fleet].into_iter().zip(ends) {
            let nodad = if family == "-6" { " nodad" } else { "" };
            side.ip(&format!("{family} addr add {address} dev {WIRE}{nodad}"))?;
        }
        let gateway = ends[1].split('/').next().unwrap_or_default();
        monitor.ip(&format!("{family} route add {prefix} via {gateway}"))?;
        monitor.enter(|| greet(gateway))?;
        fleet.ip(&format!("{family} route add local {prefix} dev lo"))?;
        if family == "-6" {
            // For IPv6 a local route alone does not let a socket send from an address of the prefix.
            let path = "/proc/sys/net/ipv6/ip_nonlocal_bind";
            fleet.enter(|| std::fs::write(path, "1"))?;
        }
        Ok(())
    }

    /// Every host as targets of a configuration, blocks as large as can be.
    pub fn targets(&self) -> Vec<String> {
        let mut targets = Vec::new();
        match self.prefix.addr() {
            IpAddr::V4(first) => {
                let last = Ipv4Addr::from_bits(first.to_bits() + (self.hosts - 1));
                for block in Ipv4Subnets::new(first, last, 0) {
                    targets.push(block.to_string());
                    // A block leaves them out, as no host has them where it is a network of its own.
                    if block.prefix_len() <= 30 {
                        targets.push(block.network().to_string());
                        targets.push(block.broadcast().to_string());
                    }
                }
            }
            IpAddr::V6(first) => {
                let last = Ipv6Addr::from_bits(first.to_bits() + u128::from(self.hosts - 1));
                let blocks = Ipv6Subnets::new(first, last, 0);
                targets.extend(blocks.map(|block| block.to_string()));
            }
        }
        targets
    }

    /// A configuration that probes the fleet, with these lines at its top.
    pub fn configuration(&self, top: &[String]) -> String {
        let mut text = String::new();
        for line in top {
            // Writing to a string never fails.
            let _ = writeln!(text, "{line}");
        }
        text.push_str("groups:\n- name: fleet\n  targets:\n");
        for target in self.targets() {
            let _ = writeln!(text, "  - \"{target}\"");
        }
        text
    }
}

/// Has the kernel find the gateway, as on a box that has been on its network for a while.
fn greet(gateway: &str) -> io::Result<()> {
    const DISCARD: u16 = 9;
    let any = if gateway.contains(':') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    UdpSocket::bind(any)?
        .send_to(b"", (gateway, DISCARD))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn the_monitor_is_told_exactly_the_hosts_that_there_are() {
        let sizes = [1, 2, 3, 5, 1000, 10_000, BENCHMARKING, BENCHMARKING + 1];
        for (hosts, ipv6) in sizes.into_iter().flat_map(|n| [(n, false), (n, true)]) {
            let fleet = Fleet::new(hosts, ipv6);
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), fleet.configuration(&[])).unwrap();
            let config = config::load(file.path()).unwrap();
            let mut found: Vec<IpAddr> = config
                .targets
                .iter()
                .map(|target| match target.host {
                    config::Host::Ip(ip) => ip,
                    config::Host::Name(ref name) => panic!("{name}"),
                })
                .collect();
            found.sort_unstable();
            found.dedup();
            assert_eq!(found.len(), hosts as usize);
            assert_eq!(found[0], fleet.prefix.addr());
            assert!(found.iter().all(|ip| fleet.prefix.contains(ip)));
        }
    }
}
