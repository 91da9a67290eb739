//! The neighbours of the box: which Ethernet address an IP address has, as ARP and neighbour discovery have found it.

use std::net::IpAddr;

use rtnetlink::packet_route::{
    AddressFamily,
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
    },
};

/// What the kernel knows of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Index of the interface that it is behind.
    pub interface: u32,
    /// Its IP address.
    pub address: IpAddr,
    /// Its Ethernet address; `None`: not known, or not any more.
    pub mac: Option<[u8; 6]>,
    /// Whether the kernel may be asked to check it: it found the neighbour by itself, and is not checking it now.
    pub at_rest: bool,
}

/// What is told of neighbours.
#[derive(Debug)]
pub enum Heard {
    /// These are all, whatever was told before.
    All(Vec<Neighbour>),
    /// This one has changed.
    One(Neighbour),
}

impl Neighbour {
    /// What an `RTM_NEWNEIGH` message tells, if it is about an IP address.
    pub(super) fn read(message: &NeighbourMessage) -> Option<Self> {
        let header = &message.header;
        // What this box answers for another is no neighbour of it.
        if header.flags.contains(NeighbourFlags::Proxy) {
            return None;
        }
        let (mut address, mut mac) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                    address = Some(IpAddr::V4(*v4));
                }
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                    address = Some(IpAddr::V6(*v6));
                }
                NeighbourAttribute::LinkLayerAddress(bytes) => {
                    mac = bytes.as_slice().try_into().ok();
                }
                _ => {}
            }
        }
        let (is_usable, at_rest) = match header.state {
            NeighbourState::Reachable | NeighbourState::Stale => (true, true),
            NeighbourState::Delay
            | NeighbourState::Probe
            | NeighbourState::Permanent
            | NeighbourState::Noarp => (true, false),
            _ => (false, false),
        };
        Some(Self {
            interface: header.ifindex,
            address: address?,
            mac: mac.filter(|_| is_usable),
            at_rest,
        })
    }

    /// The same neighbour, of whom nothing is known any more.
    pub(super) fn gone(self) -> Self {
        Self {
            mac: None,
            at_rest: false,
            ..self
        }
    }

    /// The message by which the kernel is asked to check it now, and not only when it has doubts: it sends it a request, keeps
    /// its Ethernet address meanwhile, and tells of the outcome.
    pub(super) fn check(interface: u32, address: IpAddr) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = match address {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        message.header.ifindex = interface;
        message.header.state = NeighbourState::Probe;
        message.attributes = vec![NeighbourAttribute::Destination(address.into())];
        message
    }
}
