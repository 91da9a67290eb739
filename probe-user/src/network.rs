//! The box's own network: which interface a target's pings leave by, and whether that interface works. Read from the
//! kernel by rtnetlink and read again whenever it tells of a change.

use std::{net::IpAddr, time::Duration};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use rtnetlink::{
    Handle, MulticastGroup, RouteMessageBuilder, new_multicast_connection,
    packet_route::{
        AddressFamily,
        link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage},
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteType},
    },
};
use tokio::sync::watch;

/// Changes come in bursts (an interface that goes down takes its routes along): they are read together.
const SETTLE: Duration = Duration::from_millis(100);

/// `RT_TABLE_MAIN` and `RT_TABLE_LOCAL` of linux/rtnetlink.h.
const MAIN_TABLE: u32 = 254;
const LOCAL_TABLE: u32 = 255;

/// An interface of the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it.
    pub index: u32,
    /// Its name, as `ip link` shows it.
    pub name: String,
    /// Whether it is set up and has a carrier.
    pub works: bool,
    /// Whether it is the loopback interface.
    pub loopback: bool,
    /// Its Ethernet address; `None`: it is of another kind.
    pub ethernet: Option<[u8; 6]>,
}

impl Link {
    /// The loopback interface, which has the number 1 in every network namespace.
    pub fn loopback() -> Self {
        Self {
            index: 1,
            name: "lo".into(),
            works: true,
            loopback: true,
            ethernet: None,
        }
    }
}

/// Links and routes as of one moment.
#[derive(Debug, Default)]
pub struct Network {
    /// Every interface.
    pub links: Vec<Link>,
    v4: PrefixMap<Ipv4Net, Hop>,
    v6: PrefixMap<Ipv6Net, Hop>,
}

#[derive(Clone, Copy, Debug)]
struct Hop {
    interface: u32,
    metric: u32,
}

impl Network {
    /// The index of the interface by which packets to `address` leave, by the longest prefix; 0 if there is no route.
    /// Rules and tables beside the main one are not followed: what they route elsewhere is judged by the sockets.
    pub fn interface_to(&self, address: IpAddr) -> u32 {
        let hop = match address {
            IpAddr::V4(v4) => self.v4.get_lpm(&v4.into()).map(|(_, hop)| hop),
            IpAddr::V6(v6) => self.v6.get_lpm(&v6.into()).map(|(_, hop)| hop),
        };
        hop.map_or(0, |hop| hop.interface)
    }

    /// The link of that index.
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// Adds a route; of two to the same prefix the one with the smaller metric counts, as for the kernel.
    fn add(&mut self, prefix: IpNet, hop: Hop) {
        match prefix {
            IpNet::V4(prefix) => keep_better(&mut self.v4, prefix, hop),
            IpNet::V6(prefix) => keep_better(&mut self.v6, prefix, hop),
        }
    }
}

fn keep_better<P: prefix_trie::Prefix>(map: &mut PrefixMap<P, Hop>, prefix: P, hop: Hop) {
    if map
        .get(&prefix)
        .is_none_or(|known| hop.metric < known.metric)
    {
        map.insert(prefix, hop);
    }
}

/// Follows the network: the receiver holds what was read last, and is told of each change.
///
/// # Errors
/// When the kernel gives no netlink socket or does not answer the first reading.
pub async fn follow() -> anyhow::Result<watch::Receiver<Network>> {
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
    ];
    let (connection, handle, mut changes) =
        new_multicast_connection(&groups).context("opening a netlink socket")?;
    tokio::spawn(connection);
    let first = read(&handle).await?;
    let (sender, receiver) = watch::channel(first);
    tokio::spawn(async move {
        while changes.next().await.is_some() {
            tokio::time::sleep(SETTLE).await;
            while futures_util::FutureExt::now_or_never(changes.next())
                .flatten()
                .is_some()
            {}
            match read(&handle).await {
                Ok(network) => {
                    if sender.send(network).is_err() {
                        break;
                    }
                }
                Err(error) => tracing::warn!("{error:#}"),
            }
        }
    });
    Ok(receiver)
}

async fn read(handle: &Handle) -> anyhow::Result<Network> {
    let links: Vec<LinkMessage> = handle
        .link()
        .get()
        .execute()
        .try_collect()
        .await
        .context("reading links")?;
    let v4 = RouteMessageBuilder::<std::net::Ipv4Addr>::new().build();
    let v6 = RouteMessageBuilder::<std::net::Ipv6Addr>::new().build();
    let routes: Vec<RouteMessage> = stream::iter([v4, v6])
        .map(|family| handle.route().get(family).execute())
        .flatten()
        .try_collect()
        .await
        .context("reading routes")?;
    let mut network = Network {
        links: links.into_iter().map(link).collect(),
        ..Network::default()
    };
    for route in &routes {
        if let Some((prefix, hop)) = prefix_and_hop(route) {
            network.add(prefix, hop);
        }
    }
    Ok(network)
}

fn link(message: LinkMessage) -> Link {
    let flags = message.header.flags;
    let is_ethernet = message.header.link_layer_type == LinkLayerType::Ether;
    let ethernet = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Address(address) if is_ethernet => address.as_slice().try_into().ok(),
            _ => None,
        });
    let name = message
        .attributes
        .into_iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        });
    Link {
        index: message.header.index,
        name: name.unwrap_or_default(),
        works: flags.contains(LinkFlags::Up | LinkFlags::Running),
        loopback: flags.contains(LinkFlags::Loopback),
        ethernet,
    }
}

fn prefix_and_hop(route: &RouteMessage) -> Option<(IpNet, Hop)> {
    let header = &route.header;
    let mut table = u32::from(header.table);
    let mut hop = Hop {
        interface: 0,
        metric: 0,
    };
    let mut destination = None;
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Oif(index) => hop.interface = *index,
            RouteAttribute::Priority(metric) => hop.metric = *metric,
            // The kernel picks a path by hash: the first stands for all, the sockets hear the others.
            RouteAttribute::MultiPath(paths) => {
                hop.interface = paths.first().map_or(0, |path| path.interface_index);
            }
            RouteAttribute::Destination(RouteAddress::Inet(v4)) => {
                destination = Some(IpAddr::V4(*v4));
            }
            RouteAttribute::Destination(RouteAddress::Inet6(v6)) => {
                destination = Some(IpAddr::V6(*v6));
            }
            _ => {}
        }
    }
    let leads_out = matches!(header.kind, RouteType::Unicast | RouteType::Local);
    if ![MAIN_TABLE, LOCAL_TABLE].contains(&table) || !leads_out {
        return None;
    }
    let destination = destination.unwrap_or(match header.address_family {
        AddressFamily::Inet6 => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        _ => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
    });
    Some((
        IpNet::new(destination, header.destination_prefix_length).ok()?,
        hop,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(routes: &[(&str, u32, u32)]) -> Network {
        let mut network = Network::default();
        for &(prefix, interface, metric) in routes {
            network.add(prefix.parse().unwrap(), Hop { interface, metric });
        }
        network
    }

    #[test]
    fn the_longest_prefix_wins() {
        let network = network(&[
            ("0.0.0.0/0", 1, 0),
            ("198.18.0.0/15", 2, 0),
            ("198.18.7.7/32", 3, 0),
        ]);
        let to = |address: &str| network.interface_to(address.parse().unwrap());
        assert_eq!(to("192.0.2.1"), 1);
        assert_eq!(to("198.19.0.1"), 2);
        assert_eq!(to("198.18.7.7"), 3);
        assert_eq!(to("2001:db8::1"), 0, "no IPv6 route at all");
    }

    #[test]
    fn the_smaller_metric_wins_in_any_order() {
        for routes in [
            [("::/0", 1, 100), ("::/0", 2, 50)],
            [("::/0", 2, 50), ("::/0", 1, 100)],
        ] {
            assert_eq!(
                network(&routes).interface_to("2001:db8::1".parse().unwrap()),
                2
            );
        }
    }

    #[tokio::test]
    async fn this_box_has_a_loopback() {
        let network = follow().await.unwrap();
        let network = network.borrow();
        let loopback = network.interface_to("127.0.0.1".parse().unwrap());
        assert!(
            network
                .link(loopback)
                .is_some_and(|link| link.loopback && link.works)
        );
    }
}
