use std::net::SocketAddr;

use super::*;
use crate::{
    fleet::Target,
    network::tests::{MAC, network},
};

const ROOM: u32 = 100;
const GATEWAY: &str = "198.18.0.2";
const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2]];

fn fleet(targets: impl IntoIterator<Item = IpAddr>) -> Fleet {
    let targets = targets.into_iter().map(|ip| {
        Some(Target {
            name: None,
            address: Some(SocketAddr::new(ip, 4862)),
            class: 0,
        })
    });
    Fleet {
        targets: targets.collect(),
        ..Fleet::default()
    }
}

fn at(targets: &[&str]) -> Fleet {
    fleet(targets.iter().map(|target| target.parse().unwrap()))
}

fn neighbour(interface: u32, address: &str, mac: Option<[u8; 6]>) -> Heard {
    Heard::One(Neighbour {
        interface,
        address: address.parse().unwrap(),
        mac,
        at_rest: true,
    })
}

/// The hops, and what the kernel would know of them.
struct Box {
    hops: Hops,
    map: BTreeMap<u32, Hop>,
    rows: Vec<u32>,
    interfaces: Arc<[u32]>,
}

impl Box {
    fn new(room: u32) -> Self {
        Self {
            hops: Hops::new(room, 0xb8),
            map: BTreeMap::new(),
            rows: Vec::new(),
            interfaces: Arc::default(),
        }
    }

    /// Routes a fleet; every path has a source but those of which the kernel says that it sends elsewhere.
    fn route(&mut self, network: &Network, fleet: &Fleet, elsewhere: &[u32]) -> usize {
        let routing = Routing::find(fleet, network);
        let mut sources = Sources::default();
        for &(path, target) in &routing.used {
            let interface = network.routes.path(path).interface;
            if !elsewhere.contains(&interface) {
                let source = match target {
                    IpAddr::V4(_) => IpAddr::from([198, 18, 0, 1]),
                    IpAddr::V6(_) => "2001:db8::1".parse().unwrap(),
                };
                sources.by_path.insert(path, source);
            }
        }
        for times in 1.. {
            let assigned = self
                .hops
                .assign(fleet, network, &routing, &sources, |number, hop| {
                    self.map.insert(number, *hop);
                });
            self.rows = assigned.numbers;
            self.interfaces = assigned.interfaces;
            if !assigned.is_short {
                return times;
            }
        }
        unreachable!()
    }

    fn hear(&mut self, heard: Heard) -> usize {
        let mut told = 0;
        self.hops.hear(heard, |number, hop| {
            self.map.insert(number, *hop);
            told += 1;
        });
        told
    }

    /// What the transmit program would find for a target.
    fn hop(&self, target: usize) -> Hop {
        let number = self.rows[target];
        let known = self.map.get(&number).copied().unwrap_or_default();
        assert!(known.interface == 0 || number < ROOM);
        known
    }

    fn interface(&self, target: usize) -> u32 {
        self.interfaces[self.rows[target] as usize]
    }
}

#[test]
fn a_hop_is_resolved_and_changed_in_place() {
    let network = network(&[
        ("0.0.0.0/0", 2, Some(GATEWAY)),
        ("::/0", 2, Some("fe80::2")),
    ]);
    let fleet = at(&["192.0.2.1", "192.0.2.2", "2001:db8:1::1"]);
    let mut this = Box::new(ROOM);
    this.route(&network, &fleet, &[]);
    let rows = this.rows.clone();
    assert_eq!(rows[0], rows[1]);
    assert_ne!(rows[0], rows[2]);
    assert_eq!(this.hop(0), Hop::default(), "nobody knows the gateway");

    for mac in MACS {
        assert_eq!(this.hear(neighbour(2, GATEWAY, Some(mac))), 1);
        let hop = Hop {
            source: IpAddr::from([198, 18, 0, 1]).into(),
            macs: [mac, MAC],
            interface: 2,
            vlan: 0,
            ttl: 64,
            traffic_class: 0xb8,
            reserved: 0,
        };
        assert_eq!((this.hop(1), this.hop(2)), (hop, Hop::default()));
        assert_eq!(
            this.hear(neighbour(2, GATEWAY, Some(mac))),
            0,
            "nothing new"
        );
    }
    assert_eq!(
        this.hear(neighbour(3, GATEWAY, Some(MACS[0]))),
        0,
        "elsewhere"
    );
    assert_eq!(this.hear(neighbour(2, GATEWAY, None)), 1);
    assert_eq!(this.hop(0), Hop::default());

    this.route(&network, &fleet, &[]);
    assert_eq!(this.rows, rows, "the ways are the same");
}

#[test]
fn a_neighbour_that_is_known_before_its_way_counts() {
    let network = network(&[("198.18.0.0/24", 2, None)]);
    let mut this = Box::new(ROOM);
    this.hear(neighbour(2, "198.18.0.7", Some(MACS[0])));
    this.route(&network, &at(&["198.18.0.7", "198.18.0.8"]), &[]);
    assert_eq!(this.hop(0).macs, [MACS[0], MAC]);
    assert_eq!(this.hop(1).interface, 0);
    // Messages were lost, that it has gone among them.
    assert_eq!(this.hear(Heard::All(Vec::new())), 1);
    assert_eq!(this.hop(0).interface, 0);
}

#[test]
fn behind_a_vlan_frames_leave_by_its_parent_and_outages_are_its_own() {
    let network = network(&[("198.18.0.0/24", 5, None)]);
    let mut this = Box::new(ROOM);
    this.hear(neighbour(5, "198.18.0.7", Some(MACS[0])));
    this.route(&network, &at(&["198.18.0.7"]), &[]);
    assert_eq!((this.hop(0).interface, this.hop(0).vlan), (2, 100));
    assert_eq!(this.interface(0), 5);
}

#[test]
fn what_frames_cannot_be_made_for_has_its_interface_alone() {
    let mut network = network(&[
        ("127.0.0.0/8", 1, None),
        ("198.18.0.0/24", 2, None),
        ("198.19.0.0/24", 4, None),
        ("198.18.1.0/24", 3, None),
    ]);
    network.links[2].mtu = 91;
    let fleet = at(&[
        "127.0.0.1",
        "198.18.0.7",
        "198.19.0.7",
        "198.19.0.8",
        "198.18.1.7",
        "192.0.2.1",
    ]);
    let mut this = Box::new(ROOM);
    for (interface, address) in [(2, "198.18.0.7"), (3, "198.18.1.7"), (4, "198.19.0.7")] {
        this.hear(neighbour(interface, address, Some(MACS[0])));
    }
    // By interface 2 the kernel sends elsewhere, 3 is too narrow, 4 is no Ethernet.
    this.route(&network, &fleet, &[2]);
    for target in 0..6 {
        assert_eq!(this.hop(target).interface, 0, "{target}");
    }
    let interfaces: Vec<_> = (0..6).map(|target| this.interface(target)).collect();
    assert_eq!(interfaces, [1, 2, 4, 4, 3, 0]);
    assert_eq!(this.rows[2], this.rows[3]);
    assert_eq!(this.rows[5], 0, "there is no route");

    network.links[2].mtu = 92;
    this.route(&network, &fleet, &[]);
    assert_eq!((this.hop(1).interface, this.hop(4).interface), (2, 3));
}

#[test]
fn without_a_kernel_engine_there_are_interfaces_alone() {
    let network = network(&[("0.0.0.0/0", 2, Some(GATEWAY)), ("198.18.0.0/15", 3, None)]);
    let mut this = Box::new(1);
    this.hear(neighbour(2, GATEWAY, Some(MACS[0])));
    this.route(
        &network,
        &at(&["192.0.2.1", "198.18.0.7", "198.18.0.8"]),
        &[],
    );
    assert_eq!((this.map.len(), &*this.rows), (0, [1, 2, 2].as_slice()));
    assert_eq!(*this.interfaces, [0, 2, 3]);
}

#[test]
fn a_number_stays_with_its_way_and_is_given_again_once_no_row_has_it() {
    let before = network(&[("198.18.0.0/24", 2, None)]);
    let after = network(&[("198.18.0.0/24", 3, None)]);
    let fleet = at(&["198.18.0.7", "198.18.0.8"]);
    let mut this = Box::new(ROOM);
    this.hear(neighbour(2, "198.18.0.7", Some(MACS[0])));
    this.hear(neighbour(3, "198.18.0.7", Some(MACS[1])));
    this.route(&before, &fleet, &[]);
    assert_eq!(this.rows, [1, 2]);
    let old = this.interfaces.clone();
    this.route(&after, &fleet, &[]);
    assert_eq!(this.rows, [3, 4], "rows still had the first two");
    assert_eq!(this.hop(0).macs[0], MACS[1]);
    assert_eq!(this.interfaces[1..3], old[1..3], "for pings that are out");
    this.route(&before, &fleet, &[]);
    let mut rows = this.rows.clone();
    rows.sort_unstable();
    assert_eq!(rows, [1, 2]);
    assert_eq!(
        this.hop(0).macs[0],
        MACS[0],
        "what it meant before is forgotten"
    );
    assert_eq!(this.hop(1), Hop::default());
}

#[test]
fn beyond_its_room_it_has_interfaces_and_room_that_becomes_free_is_used_at_once() {
    let here = network(&[("198.18.0.0/24", 2, None), ("198.18.1.0/24", 3, None)]);
    let on = |net: u8| fleet((1..=120).map(|host| IpAddr::from([198, 18, net, host])));
    let mut this = Box::new(ROOM);
    assert_eq!(this.route(&here, &on(0), &[]), 1);
    let given = |this: &Box| this.rows.iter().filter(|row| **row < ROOM).count();
    assert_eq!(given(&this), 99);
    assert!((0..120).all(|target| this.interface(target) == 2));
    assert_eq!(
        this.route(&here, &on(1), &[]),
        2,
        "once more, now that rows are free"
    );
    assert_eq!(given(&this), 99);
    assert!((0..120).all(|target| this.interface(target) == 3));
}

#[test]
fn neighbours_in_use_are_checked_now_and_then_not_too_many_at_a_time() {
    let network = network(&[("198.18.0.0/24", 2, None)]);
    let hosts = || (1..=80).map(|host| IpAddr::from([198, 18, 0, host]));
    let mut this = Box::new(ROOM);
    for host in hosts() {
        this.hear(neighbour(2, &host.to_string(), Some(MACS[0])));
    }
    this.hear(neighbour(2, "198.18.0.200", Some(MACS[0])));
    this.route(
        &network,
        &fleet(hosts().chain(["198.18.0.99".parse().unwrap()])),
        &[],
    );
    let start = Instant::now();
    let checked = |this: &mut Box, at: Instant| {
        let mut checked = Vec::new();
        this.hops.check(at, |interface, address| {
            assert_eq!(interface, 2);
            checked.push(address);
        });
        checked
    };
    assert!(checked(&mut this, start).is_empty());
    let mut all = checked(&mut this, start + CHECK);
    assert_eq!(all.len(), CHECKS);
    all.extend(checked(&mut this, start + CHECK));
    assert!(all.iter().copied().eq(hosts()), "each once, no others");
    assert!(checked(&mut this, start + CHECK).is_empty());

    // Those that are being checked, unknown, or not in use any more are not asked for.
    this.hear(Heard::One(Neighbour {
        interface: 2,
        address: "198.18.0.1".parse().unwrap(),
        mac: Some(MACS[0]),
        at_rest: false,
    }));
    this.hear(neighbour(2, "198.18.0.2", None));
    this.route(&network, &fleet(hosts().take(3)), &[]);
    let third: Vec<_> = hosts().skip(2).take(1).collect();
    assert_eq!(checked(&mut this, start + 2 * CHECK), third);
}

/// `cargo test --release -p heartprobe -- --ignored --nocapture a_million`
#[test]
#[ignore = "measures"]
fn a_million_targets_are_routed_in_a_moment() {
    let network = network(&[("0.0.0.0/0", 2, Some(GATEWAY)), ("198.18.0.0/16", 3, None)]);
    let behind = fleet((0..1_000_000_u32).map(|i| IpAddr::from((0xac10_0000 + i).to_be_bytes())));
    let on_link = fleet((0..65_534_u32).map(|i| IpAddr::from((0xc612_0001 + i).to_be_bytes())));
    for (fleet, what) in [(behind, "behind a gateway"), (on_link, "on-link")] {
        let mut this = Box::new(65_536);
        for time in ["first", "again"] {
            let start = Instant::now();
            this.route(&network, &fleet, &[]);
            println!(
                "{} targets {what}, {time}: {:?}",
                fleet.len(),
                start.elapsed()
            );
        }
        let start = Instant::now();
        let neighbours = (1..=50_u8).map(|i| neighbour(3, &format!("198.18.0.{i}"), Some(MACS[0])));
        let told: usize = neighbours.map(|heard| this.hear(heard)).sum();
        println!("50 neighbours, {told} in use: {:?}", start.elapsed());
    }
}
