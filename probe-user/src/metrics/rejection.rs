//! Pings that came back.

/// Why a host or a router sent a ping back, by ICMP (RFC 792, RFC 1812 §5.2.7) or ICMPv6 (RFC 4443 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Nothing listens on the port: no reflector there.
    Port,
    /// The last router does not find the host.
    Host,
    /// A router has no way to the network.
    Network,
    /// A firewall forbids it.
    Prohibited,
    /// The path is a loop, or too long.
    TtlExceeded,
    /// Any other.
    Other,
}

impl Rejection {
    /// Every reason, in the order of the counters.
    pub const ALL: [Self; 6] = [
        Self::Port,
        Self::Host,
        Self::Network,
        Self::Prohibited,
        Self::TtlExceeded,
        Self::Other,
    ];

    /// The value of the `reason` label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Port => "port-unreachable",
            Self::Host => "host-unreachable",
            Self::Network => "net-unreachable",
            Self::Prohibited => "admin-prohibited",
            Self::TtlExceeded => "ttl-exceeded",
            Self::Other => "other",
        }
    }
}
