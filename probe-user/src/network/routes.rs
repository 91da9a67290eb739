//! The routes, and which of them a packet takes.

use std::{net::IpAddr, ops::Range};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use rtnetlink::packet_route::{
    AddressFamily,
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteNextHop, RouteNextHopFlags,
        RouteType, RouteVia,
    },
};

use super::link::LOOPBACK;

/// `RT_TABLE_MAIN` and `RT_TABLE_LOCAL` of linux/rtnetlink.h.
const MAIN_TABLE: u32 = 254;
const LOCAL_TABLE: u32 = 255;

/// The routes of the main and the local table. Rules and tables beside them are not followed, nor are routes for a type of
/// service or for a source, nor nexthop objects where `net.ipv4.nexthop_compat_mode` is off.
#[derive(Debug, Default)]
pub struct Routes {
    v4: PrefixMap<Ipv4Net, Route>,
    v6: PrefixMap<Ipv6Net, Route>,
    paths: Vec<Path>,
}

/// One of the ways that a route has packets take; most routes have just one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Index of the interface.
    pub interface: u32,
    /// Whom packets go to; `None`: to where they are sent.
    pub gateway: Option<IpAddr>,
    /// Its share of the packets, compared with its siblings'.
    weight: u32,
}

#[derive(Clone, Debug)]
struct Route {
    /// Of two routes to one prefix the lesser is taken: first those of the local table, then by metric.
    rank: (bool, u32),
    /// Its paths; none: nothing can be sent there.
    paths: Range<u32>,
    /// Of all its paths.
    weight: u32,
}

impl Routes {
    pub(super) fn read(messages: &[RouteMessage]) -> Self {
        let mut routes = Self::default();
        for message in messages {
            routes.add(message);
        }
        routes
    }

    /// The number of the path that packets to `address` take, by the longest prefix and the smallest metric. Of several paths
    /// each target has one of its own, so that they share the targets by weight; the kernel, too, picks by a hash over
    /// addresses, but with a secret in it. `None`: there is no route, or one that leads nowhere.
    pub fn path_to(&self, address: IpAddr) -> Option<u32> {
        let route = self.route_to(address)?;
        let mut first = route.paths.clone();
        if first.len() < 2 {
            return first.next();
        }
        let mut share = ((u64::from(hash(address)) * u64::from(route.weight)) >> u32::BITS) as u32;
        first.find(|&number| {
            let weight = self.paths[number as usize].weight;
            let is_chosen = share < weight;
            share = share.saturating_sub(weight);
            is_chosen
        })
    }

    /// The path of that number.
    pub fn path(&self, number: u32) -> &Path {
        &self.paths[number as usize]
    }

    /// How many paths there are: their numbers are below.
    pub fn paths(&self) -> usize {
        self.paths.len()
    }

    /// All paths of the route that packets to `address` take.
    pub(super) fn siblings(&self, address: IpAddr) -> &[Path] {
        self.route_to(address).map_or(&[], |route| {
            &self.paths[route.paths.start as usize..route.paths.end as usize]
        })
    }

    fn route_to(&self, address: IpAddr) -> Option<&Route> {
        match address {
            IpAddr::V4(v4) => self.v4.get_lpm(&v4.into()).map(|(_, route)| route),
            IpAddr::V6(v6) => self.v6.get_lpm(&v6.into()).map(|(_, route)| route),
        }
    }

    fn add(&mut self, message: &RouteMessage) {
        let Some((prefix, rank)) = prefix_and_rank(message) else {
            return;
        };
        let paths = match message.header.kind {
            // Whichever interface an address of this box is on, packets to it go by the loopback.
            RouteType::Local => vec![Path {
                interface: LOOPBACK,
                gateway: None,
                weight: 1,
            }],
            RouteType::Unicast => match paths(message) {
                // All dead: the kernel takes the next best route.
                None => return,
                Some(paths) => paths,
            },
            _ => Vec::new(),
        };
        let first = self.paths.len() as u32;
        let weight = paths.iter().map(|path| path.weight).sum();
        self.paths.extend(paths);
        let route = Route {
            rank,
            paths: first..self.paths.len() as u32,
            weight,
        };
        match prefix {
            IpNet::V4(prefix) => keep_better(&mut self.v4, prefix, route),
            IpNet::V6(prefix) => keep_better(&mut self.v6, prefix, route),
        }
    }
}

fn keep_better<P: prefix_trie::Prefix>(map: &mut PrefixMap<P, Route>, prefix: P, route: Route) {
    if map.get(&prefix).is_none_or(|known| route.rank < known.rank) {
        map.insert(prefix, route);
    }
}

/// A number of an address that is spread evenly (the finalizer of MurmurHash3).
fn hash(address: IpAddr) -> u32 {
    let mut bits = match address {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64 ^ (v6.to_bits() as u64).rotate_left(32),
    };
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        bits = (bits ^ bits >> 33).wrapping_mul(factor);
    }
    (bits >> 32) as u32
}

/// Which packets a route is for and its rank, if it is of the main or the local table and for all of them.
fn prefix_and_rank(message: &RouteMessage) -> Option<(IpNet, (bool, u32))> {
    let header = &message.header;
    let (mut table, mut metric, mut destination) = (u32::from(header.table), 0, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::Destination(address) => destination = ip(address),
            _ => {}
        }
    }
    let is_for_all = header.tos == 0
        && header.source_prefix_length == 0
        && !header.flags.contains(RouteFlags::Cloned);
    if ![MAIN_TABLE, LOCAL_TABLE].contains(&table) || !is_for_all {
        return None;
    }
    let destination = destination.unwrap_or(match header.address_family {
        AddressFamily::Inet6 => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        _ => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
    });
    let prefix = IpNet::new(destination, header.destination_prefix_length).ok()?;
    Some((prefix, (table != LOCAL_TABLE, metric)))
}

/// The paths that are not dead; `None` if there are some and all are. One whose interface has no carrier is dead only where
/// `ignore_routes_with_linkdown` says so, which the kernel's flag has in it.
fn paths(message: &RouteMessage) -> Option<Vec<Path>> {
    let several = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::MultiPath(hops) => Some(hops),
            _ => None,
        });
    if let Some(hops) = several {
        let is_dead = |hop: &RouteNextHop| hop.flags.contains(RouteNextHopFlags::Dead);
        let alive = hops.iter().filter(|hop| !is_dead(hop)).map(|hop| Path {
            interface: hop.interface_index,
            gateway: gateway(&hop.attributes),
            weight: u32::from(hop.hops) + 1,
        });
        return Some(alive.collect()).filter(|alive: &Vec<_>| !alive.is_empty());
    }
    if message.header.flags.contains(RouteFlags::Dead) {
        return None;
    }
    let path = interface(&message.attributes).map(|interface| Path {
        interface,
        gateway: gateway(&message.attributes),
        weight: 1,
    });
    Some(path.into_iter().collect())
}

pub(super) fn interface(attributes: &[RouteAttribute]) -> Option<u32> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

/// Of an IPv4 route, the gateway may be an IPv6 one (`RTA_VIA`, RFC 5549).
pub(super) fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => ip(address),
        RouteAttribute::Via(RouteVia::Inet(v4)) => Some(IpAddr::V4(*v4)),
        RouteAttribute::Via(RouteVia::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        _ => None,
    })
}

pub(super) fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests;
