use proptest::prelude::*;
use rtnetlink::packet_route::route::RouteNextHop;

use super::*;

/// An IPv4 or IPv6 route in the main table.
pub(in crate::network) fn route(prefix: &str, attributes: Vec<RouteAttribute>) -> RouteMessage {
    let prefix: IpNet = prefix.parse().unwrap();
    let mut message = RouteMessage::default();
    message.header.address_family = match prefix {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    message.header.table = MAIN_TABLE as u8;
    message.header.kind = RouteType::Unicast;
    message.header.destination_prefix_length = prefix.prefix_len();
    message.attributes = attributes;
    if prefix.prefix_len() > 0 {
        let destination = RouteAttribute::Destination(prefix.addr().into());
        message.attributes.push(destination);
    }
    message
}

pub(in crate::network) fn via(interface: u32, gateway: &str) -> Vec<RouteAttribute> {
    let gateway: IpAddr = gateway.parse().unwrap();
    vec![
        RouteAttribute::Oif(interface),
        RouteAttribute::Gateway(gateway.into()),
    ]
}

pub(in crate::network) fn on_link(prefix: &str, interface: u32) -> RouteMessage {
    route(prefix, vec![RouteAttribute::Oif(interface)])
}

fn with(mut message: RouteMessage, change: impl FnOnce(&mut RouteMessage)) -> RouteMessage {
    change(&mut message);
    message
}

/// Interface and gateway to an address.
fn to(routes: &Routes, address: &str) -> Option<(u32, Option<IpAddr>)> {
    let path = routes.path(routes.path_to(address.parse().unwrap())?);
    Some((path.interface, path.gateway))
}

#[test]
fn the_longest_prefix_wins() {
    let routes = Routes::read(&[
        route("0.0.0.0/0", via(1, "198.18.0.1")),
        on_link("198.18.0.0/15", 2),
        on_link("198.18.7.7/32", 3),
    ]);
    let gateway = "198.18.0.1".parse().ok();
    assert_eq!(to(&routes, "192.0.2.1"), Some((1, gateway)));
    assert_eq!(to(&routes, "198.19.0.1"), Some((2, None)));
    assert_eq!(to(&routes, "198.18.7.7"), Some((3, None)));
    assert_eq!(to(&routes, "2001:db8::1"), None, "no IPv6 route at all");
}

#[test]
fn the_smaller_metric_wins_in_any_order() {
    let by = |interface, metric| {
        with(on_link("::/0", interface), |route| {
            route.attributes.push(RouteAttribute::Priority(metric));
        })
    };
    for routes in [[by(1, 100), by(2, 50)], [by(2, 50), by(1, 100)]] {
        assert_eq!(to(&Routes::read(&routes), "2001:db8::1"), Some((2, None)));
    }
}

#[test]
fn this_box_s_own_addresses_are_reached_by_the_loopback() {
    let local = with(on_link("198.18.0.1/32", 2), |route| {
        route.header.table = LOCAL_TABLE as u8;
        route.header.kind = RouteType::Local;
    });
    let routes = Routes::read(&[on_link("198.18.0.1/32", 3), local]);
    assert_eq!(to(&routes, "198.18.0.1"), Some((LOOPBACK, None)));
}

#[test]
fn a_route_that_leads_nowhere_hides_those_behind_it() {
    for kind in [
        RouteType::BlackHole,
        RouteType::Unreachable,
        RouteType::Prohibit,
    ] {
        let nowhere = with(route("198.18.0.0/24", Vec::new()), |route| {
            route.header.kind = kind;
        });
        let routes = Routes::read(&[on_link("198.18.0.0/15", 2), nowhere]);
        assert_eq!(to(&routes, "198.18.0.1"), None, "{kind:?}");
        assert_eq!(to(&routes, "198.18.1.1"), Some((2, None)), "{kind:?}");
    }
}

#[test]
fn a_dead_route_is_none_and_one_without_carrier_is_one() {
    let flagged = |flags| {
        let flagged = with(on_link("198.18.0.0/24", 3), |route| {
            route.header.flags = flags;
        });
        Routes::read(&[on_link("198.18.0.0/15", 2), flagged])
    };
    let target = "198.18.0.1";
    assert_eq!(to(&flagged(RouteFlags::Dead), target), Some((2, None)));
    assert_eq!(to(&flagged(RouteFlags::Linkdown), target), Some((3, None)));
    let ignored = RouteFlags::Linkdown | RouteFlags::Dead;
    assert_eq!(to(&flagged(ignored), target), Some((2, None)));
}

#[test]
fn routes_that_are_not_for_all_packets_are_passed_over() {
    let special: [fn(&mut RouteMessage); 5] = [
        |route| route.header.table = 100,
        |route| route.attributes.push(RouteAttribute::Table(1000)),
        |route| route.header.tos = 0x10,
        |route| route.header.source_prefix_length = 64,
        |route| route.header.flags = RouteFlags::Cloned,
    ];
    for special in special {
        let routes = Routes::read(&[with(on_link("2001:db8::/32", 2), special)]);
        assert_eq!(to(&routes, "2001:db8::1"), None);
    }
}

#[test]
fn an_ipv4_route_may_go_by_an_ipv6_gateway() {
    let gateway = "fe80::1".parse().unwrap();
    let attributes = vec![
        RouteAttribute::Oif(2),
        RouteAttribute::Via(RouteVia::Inet6(gateway)),
    ];
    let routes = Routes::read(&[route("198.18.0.0/15", attributes)]);
    assert_eq!(
        to(&routes, "198.18.0.1"),
        Some((2, Some(IpAddr::V6(gateway))))
    );
}

#[test]
fn a_nexthop_object_that_is_not_spelt_out_is_left_to_the_sockets() {
    let object = route("198.18.0.0/24", vec![RouteAttribute::NhId(7)]);
    let routes = Routes::read(&[on_link("198.18.0.0/15", 2), object]);
    assert_eq!(to(&routes, "198.18.0.1"), None);
    let spelt_out = vec![RouteAttribute::NhId(7), RouteAttribute::Oif(3)];
    let routes = Routes::read(&[route("198.18.0.0/24", spelt_out)]);
    assert_eq!(to(&routes, "198.18.0.1"), Some((3, None)));
}

fn multipath(hops: &[(u32, u8, bool)]) -> RouteMessage {
    let hops = hops.iter().map(|&(interface, hops, is_dead)| {
        let mut hop = RouteNextHop::default();
        hop.interface_index = interface;
        hop.hops = hops;
        if is_dead {
            hop.flags = RouteNextHopFlags::Dead;
        }
        hop.attributes = via(interface, &format!("198.18.{interface}.1"));
        hop
    });
    let paths = RouteAttribute::MultiPath(hops.collect());
    route("198.19.0.0/16", vec![paths])
}

#[test]
fn targets_are_shared_by_the_paths_as_their_weights_say_and_dead_ones_get_none() {
    let share = |routes: &Routes, interface: u32| {
        let by = |i: &u32| {
            let target = IpAddr::from((0xc613_0000 | i).to_be_bytes());
            let path = routes.path(routes.path_to(target).unwrap());
            let gateway: IpAddr = [198, 18, path.interface as u8, 1].into();
            assert_eq!(path.gateway, Some(gateway));
            path.interface == interface
        };
        (0..0x1_0000).filter(by).count() as f64 / 65_536.0
    };
    let routes = Routes::read(&[multipath(&[(2, 0, false), (3, 2, false)])]);
    assert!((share(&routes, 2) - 0.25).abs() < 0.01);
    assert!((share(&routes, 3) - 0.75).abs() < 0.01);
    let routes = Routes::read(&[multipath(&[(2, 0, true), (3, 2, false), (4, 2, false)])]);
    assert!(share(&routes, 2) == 0.0);
    assert!((share(&routes, 4) - 0.5).abs() < 0.01);
    let routes = Routes::read(&[
        multipath(&[(2, 0, true), (3, 0, true)]),
        on_link("198.18.0.0/15", 9),
    ]);
    assert_eq!(to(&routes, "198.19.0.1"), Some((9, None)));
    assert_eq!(routes.siblings("198.19.0.1".parse().unwrap()).len(), 1);
}

/// Prefixes that overlap a lot, with their metrics.
fn tables() -> impl Strategy<Value = Vec<(IpNet, u32)>> {
    let v4 = (0_u32..64, 24..=32_u8)
        .prop_map(|(low, length)| IpNet::new([198, 18, 0, low as u8].into(), length).unwrap());
    let v6 = (0_u16..64, 112..=128_u8).prop_map(|(low, length)| {
        IpNet::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, low].into(), length).unwrap()
    });
    let prefix = prop_oneof![v4, v6].prop_map(|net| net.trunc());
    proptest::collection::vec((prefix, 0_u32..4), 0..40)
}

proptest! {
    #[test]
    fn a_path_is_that_of_the_longest_prefix_and_the_smallest_metric(table in tables(), low in 0_u8..64) {
        let messages: Vec<_> = (0_u32..).zip(&table).map(|(number, (prefix, metric))| {
            with(on_link(&prefix.to_string(), number + 1), |route| {
                route.attributes.push(RouteAttribute::Priority(*metric));
            })
        }).collect();
        let routes = Routes::read(&messages);
        let targets = [
            IpAddr::from([198, 18, 0, low]),
            IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, low.into()]),
        ];
        for target in targets {
            let matching = (1_u32..).zip(&table).filter(|(_, (prefix, _))| prefix.contains(&target));
            let best = matching.min_by_key(|(number, (prefix, metric))| {
                (u8::MAX - prefix.prefix_len(), *metric, *number)
            });
            prop_assert_eq!(
                routes.path_to(target).map(|path| routes.path(path).interface),
                best.map(|(number, _)| number)
            );
        }
    }
}
