use std::net::Ipv4Addr;

use rtnetlink::packet_route::{
    link::{
        InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType,
        LinkMessage, VlanProtocol,
    },
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
    },
};

use super::{
    routes::tests::{on_link, route, via},
    *,
};

pub const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

fn link(index: u32, kind: LinkLayerType, more: Vec<LinkAttribute>) -> Link {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.link_layer_type = kind;
    message.header.flags = LinkFlags::Up | LinkFlags::Running;
    message.attributes = vec![
        LinkAttribute::IfName(format!("if{index}")),
        LinkAttribute::Mtu(1500),
        LinkAttribute::Address(MAC.to_vec()),
    ];
    message.attributes.extend(more);
    Link::read(message)
}

fn vlan(index: u32, parent: u32, tag: u16, protocol: VlanProtocol) -> Link {
    let more = vec![
        LinkAttribute::Link(parent),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Vlan),
            LinkInfo::Data(InfoData::Vlan(vec![
                InfoVlan::Protocol(protocol),
                InfoVlan::Id(tag),
            ])),
        ]),
    ];
    link(index, LinkLayerType::Ether, more)
}

/// A network with the loopback, Ethernets 2 and 3, a tunnel 4 and a VLAN 5 on interface 2, and these routes: prefix, interface,
/// gateway.
pub fn network(routes: &[(&str, u32, Option<&str>)]) -> Network {
    let routes = routes.iter().map(|&(prefix, interface, gateway)| {
        gateway.map_or_else(
            || on_link(prefix, interface),
            |gateway| route(prefix, via(interface, gateway)),
        )
    });
    let routes: Vec<_> = routes.collect();
    Network {
        links: vec![
            Link::loopback(),
            link(2, LinkLayerType::Ether, Vec::new()),
            link(3, LinkLayerType::Ether, Vec::new()),
            link(4, LinkLayerType::None, Vec::new()),
            vlan(5, 2, 100, VlanProtocol::Ieee8021Q),
        ],
        routes: Routes::read(&routes),
    }
}

#[test]
fn frames_leave_by_ethernets_and_by_the_parents_of_vlans() {
    let network = Network {
        links: vec![
            Link::loopback(),
            link(2, LinkLayerType::Ether, Vec::new()),
            link(3, LinkLayerType::None, Vec::new()),
            vlan(4, 2, 100, VlanProtocol::Ieee8021Q),
            vlan(5, 2, 100, VlanProtocol::Ieee8021Ad),
            vlan(6, 4, 200, VlanProtocol::Ieee8021Q),
            vlan(7, 3, 100, VlanProtocol::Ieee8021Q),
            vlan(8, 99, 100, VlanProtocol::Ieee8021Q),
        ],
        ..Network::default()
    };
    let exit = Exit {
        interface: 2,
        tag: 0,
        mac: MAC,
        mtu: 1500,
    };
    assert_eq!(network.exit(2), Some(exit));
    assert_eq!(network.exit(4), Some(Exit { tag: 100, ..exit }));
    let without = [
        (1, "loopback"),
        (3, "a tunnel"),
        (5, "a tag of IEEE 802.1ad"),
        (6, "a VLAN in a VLAN"),
        (7, "a VLAN on no Ethernet"),
        (8, "a parent that is not there"),
        (42, "no interface"),
    ];
    for (index, what) in without {
        assert_eq!(network.exit(index), None, "{what}");
    }
    assert_eq!(network.served(&[1, 2, 4, 5]), [1, 2, 5]);
}

#[test]
fn the_parent_of_a_vlan_may_be_in_another_namespace() {
    let mut elsewhere = vlan(4, 2, 100, VlanProtocol::Ieee8021Q);
    assert_eq!(elsewhere.vlan.unwrap().parent, Some(2));
    elsewhere = link(
        4,
        LinkLayerType::Ether,
        vec![
            LinkAttribute::LinkInfo(vec![LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(7)]))]),
            LinkAttribute::LinkNetNsId(0),
            LinkAttribute::Link(2),
        ],
    );
    assert_eq!(elsewhere.vlan.unwrap().parent, None);
}

fn neighbour(state: NeighbourState) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.ifindex = 3;
    message.header.state = state;
    message.attributes = vec![
        NeighbourAttribute::Destination(NeighbourAddress::Inet(Ipv4Addr::new(198, 18, 0, 2))),
        NeighbourAttribute::LinkLayerAddress(MAC.to_vec()),
    ];
    message
}

#[test]
fn a_neighbour_has_an_address_while_the_kernel_would_use_it() {
    use NeighbourState::{
        Delay, Failed, Incomplete, Noarp, None as New, Permanent, Probe, Reachable, Stale,
    };
    let states = [
        (Reachable, true, true),
        (Stale, true, true),
        (Delay, true, false),
        (Probe, true, false),
        (Permanent, true, false),
        (Noarp, true, false),
        (Incomplete, false, false),
        (Failed, false, false),
        (New, false, false),
    ];
    for (state, is_usable, at_rest) in states {
        let read = Neighbour::read(&neighbour(state)).unwrap();
        assert_eq!(read.mac, is_usable.then_some(MAC), "{state}");
        assert_eq!(read.at_rest, at_rest, "{state}");
        assert_eq!((read.interface, read.gone().mac), (3, None));
    }
}

#[test]
fn what_is_no_neighbour_is_passed_over() {
    let mut proxy = neighbour(NeighbourState::Permanent);
    proxy.header.flags = NeighbourFlags::Proxy;
    assert_eq!(Neighbour::read(&proxy), None);

    let mut bridge = neighbour(NeighbourState::Permanent);
    bridge.attributes.remove(0);
    assert_eq!(Neighbour::read(&bridge), None);

    let mut tunnel = neighbour(NeighbourState::Permanent);
    tunnel.attributes[1] = NeighbourAttribute::LinkLayerAddress(vec![198, 18, 0, 1]);
    assert_eq!(Neighbour::read(&tunnel).unwrap().mac, None);
}

#[tokio::test]
async fn this_box_has_a_loopback() {
    let mut follower = follow().await.unwrap();
    let network = follower.network.borrow().clone();
    let local = "127.0.0.1".parse().unwrap();
    let path = network.routes.path_to(local).unwrap();
    let loopback = network.link(network.routes.path(path).interface);
    assert!(loopback.is_some_and(|link| link.loopback && link.works));
    assert!(matches!(
        follower.neighbours.recv().await,
        Some(Heard::All(_))
    ));
    let sources = follower.netlink.sources(&network, [(path, local)]).await;
    assert_eq!(
        sources.elsewhere,
        [local],
        "the kernel makes no frames for it"
    );
}
