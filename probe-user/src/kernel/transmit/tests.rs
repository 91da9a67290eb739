//! The transmit program under the real verifier: first frame by frame, then over a veth pair.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use probe_common::{
    maps::{Class, Fate, Reflector, Settings},
    row::Answer,
    wire::Message,
};

use super::*;
use crate::{
    kernel::{
        link::index_of,
        reflect::ReflectKernel,
        tests::{
            EPOCH, PORTS, XDP_DROP, ends,
            frames::{Frame, run_as_live},
            keys,
            network::Namespace,
            now, privileged, room,
        },
    },
    table::Table,
    tally::Source as _,
};

pub(super) use crate::kernel::{
    Want,
    tests::network::{in_namespace, ip, is_up, wait_for},
};

const XDP_REDIRECT: u32 = 4;

/// The CPU that all pumps of these tests run on.
pub(super) const CPU: u32 = 0;

/// An interface that frames are made for but not sent by.
const INTERFACE: u32 = 77;

const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]];

/// A monitor's programs, for so many rows.
pub(super) struct Monitor {
    pub(super) kernel: Kernel,
    pub(super) table: Table,
}

impl Monitor {
    fn new(rows: u32) -> Option<Self> {
        let mut kernel = privileged(Kernel::load(room(rows, 1, 1, 8)))?;
        let settings = Settings {
            keys: keys(),
            epoch: EPOCH,
            rows,
            ports: PORTS,
        };
        kernel.set_settings(&settings).unwrap();
        let class = Class {
            timeout_ns: u32::MAX,
            late_after_ns: u32::MAX,
            group: 0,
        };
        kernel.set_classes(&[class]).unwrap();
        let table = kernel.table().unwrap();
        Some(Self { kernel, table })
    }

    /// Points a row to a target behind a hop.
    fn assign(&self, target: u32, address: SocketAddr, hop: u32) {
        let row = &self.table.rows()[target as usize];
        row.assign(address.ip().into(), address.port(), 0);
        row.set_hop(hop);
    }
}

fn hop(source: IpAddr, interface: u32, vlan: u16) -> Hop {
    Hop {
        source: source.into(),
        macs: MACS,
        interface,
        vlan,
        ttl: 61,
        traffic_class: 0xb8,
        reserved: 0,
    }
}

#[test]
fn a_ping_is_made_of_its_row_its_hop_and_the_settings() {
    let Some(mut monitor) = Monitor::new(2) else {
        return;
    };
    let transmitter = monitor.kernel.transmitter(Some(CPU)).unwrap();
    transmitter.bind().unwrap();
    for ((target, version), (source, host)) in (0..).zip([4, 6]).zip(ends()) {
        for (vlan, number) in [(0, 1), (7, 2)] {
            // Longer or shorter than the ping, or just as long: whatever frame the kernel has.
            for length in [60, 106, 110, 126, 130, 200] {
                let way = hop(source.ip(), INTERFACE, vlan);
                monitor.kernel.set_hop(number, &way).unwrap();
                monitor.assign(target, host, number);
                transmitter.batch().unwrap().fill(INTERFACE, &[target]);
                let before = now();
                let program = transmitter.program.as_fd();
                let (action, out) = run_as_live(program, LIVE_MARK, length).unwrap();
                let after = now();
                assert_eq!(action, XDP_REDIRECT);

                let outcomes: Vec<_> = transmitter.batch().unwrap().outcomes(&[target]).collect();
                assert_eq!(outcomes, [(target, Outcome::Left(1))]);
                assert_eq!(monitor.table.rows()[target as usize].sent(), 1);
                let message = &out[out.len() - 64..];
                let mut expected =
                    Frame::new(source, host, &Message::ping(0, 0, 0, 0).encode(&keys()[0]));
                expected.payload = message.into();
                expected.macs = MACS;
                expected.vlan = if vlan == 0 { vec![] } else { vec![0x8100] };
                expected.ttl = 61;
                expected.traffic_class = 0xb8;
                expected.identification = 0;
                expected.udp_checksum = expected.right_checksum();
                assert_eq!(out, expected.bytes(), "IPv{version}, VLAN {vlan}, {length}");

                let packet = expected.packet();
                assert!(packet.signed_by(&keys()[0]));
                let message = packet.message().unwrap();
                assert!((before..=after).contains(&message.time));
                assert_eq!(message, Message::ping(target, 1, EPOCH, message.time));
            }
        }
    }
}

#[test]
fn pings_leave_from_each_port_in_turn_and_from_fresh_ones_in_the_next_round() {
    let Some(mut monitor) = Monitor::new(1) else {
        return;
    };
    let transmitter = monitor.kernel.transmitter(Some(CPU)).unwrap();
    transmitter.bind().unwrap();
    let [(source, host), _] = ends();
    let way = hop(source.ip(), INTERFACE, 0);
    monitor.kernel.set_hop(1, &way).unwrap();
    monitor.assign(0, host, 1);
    let row = &monitor.table.rows()[0];
    let mut ports = Vec::new();
    for seq in 1..=10 {
        if seq == 6 {
            row.next_round();
        }
        transmitter.batch().unwrap().fill(INTERFACE, &[0]);
        let (action, out) = run_as_live(transmitter.program.as_fd(), LIVE_MARK, FRAME).unwrap();
        assert_eq!(action, XDP_REDIRECT);
        let udp = out.len() - 64 - 8;
        let port = u16::from_be_bytes([out[udp], out[udp + 1]]);
        assert_eq!(port, PORTS.port(0, row.round(), seq));
        ports.push(port - PORTS.first[0]);
    }
    assert_eq!(ports, [1, 2, 3, 0, 1, 6, 7, 4, 5, 6]);
    assert_eq!(row.hop(), 1);
}

#[test]
fn a_target_that_it_cannot_ping_is_left_alone() {
    let Some(mut monitor) = Monitor::new(2) else {
        return;
    };
    let transmitter = monitor.kernel.transmitter(Some(CPU)).unwrap();
    transmitter.bind().unwrap();
    let [(v4, host), (v6, _)] = ends();
    for (number, way) in [
        (1, hop(v4.ip(), INTERFACE, 0)),
        (2, hop(v4.ip(), INTERFACE + 1, 0)),
        (3, hop(v6.ip(), INTERFACE, 0)),
        (4, Hop::default()),
    ] {
        monitor.kernel.set_hop(number, &way).unwrap();
    }
    let row = &monitor.table.rows()[1];
    let strangers: [(&str, u32, u32, &dyn Fn()); 8] = [
        ("no hop", 1, 0, &|| {}),
        ("another interface", 1, 2, &|| {}),
        ("another family", 1, 3, &|| {}),
        ("not resolved", 1, 4, &|| {}),
        ("no such hop", 1, 8, &|| {}),
        ("a row that is free", 1, 1, &|| row.clear()),
        ("a row of the other family", 1, 1, &|| {
            row.set_address(v6.ip().into(), 4862);
        }),
        ("no such row", 2, 1, &|| {}),
    ];
    let make = |target| {
        transmitter.batch().unwrap().fill(INTERFACE, &[target]);
        let program = transmitter.program.as_fd();
        let (action, _) = run_as_live(program, LIVE_MARK, FRAME).unwrap();
        let outcome = transmitter
            .batch()
            .unwrap()
            .outcomes(&[target])
            .next()
            .unwrap()
            .1;
        (action, outcome)
    };
    for (what, target, number, change) in strangers {
        monitor.assign(1, host, number);
        change();
        assert_eq!(make(target), (XDP_DROP, Outcome::Untouched), "{what}");
        assert_eq!(row.sent(), 0, "{what}");
    }
    monitor.assign(1, host, 1);
    assert_eq!(
        make(1),
        (XDP_REDIRECT, Outcome::Left(1)),
        "it was right but for that"
    );
    let program = transmitter.program.as_fd();
    let (action, _) = run_as_live(program, LIVE_MARK, FRAME).unwrap();
    assert_eq!(action, XDP_DROP, "none is due any more");
}

/// The monitor in this namespace, and a reflector in another; a veth pair between them, each end with its program.
pub(super) struct Pair {
    pub(super) monitor: Monitor,
    pub(super) transmitter: Transmitter,
    pub(super) interface: u32,
    pub(super) host: ReflectKernel,
    namespace: Namespace,
}

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

impl Pair {
    /// In the namespace of the calling thread.
    fn new(mut monitor: Monitor, mut host: ReflectKernel, cpu: Option<u32>) -> Self {
        let namespace = Namespace::new();
        let name = namespace.name();
        ip(&format!(
            "link add probe0 address 02:00:00:00:00:01 type veth peer name probe1 address 02:00:00:00:00:02 netns {name}"
        ));
        ip("link set probe0 addrgenmode none up");
        let reflector = Reflector {
            keys: keys(),
            port: 4862,
            ..Reflector::default()
        };
        host.set(&reflector).unwrap();
        let host = namespace.run(move || {
            ip("link set probe1 addrgenmode none up");
            host.attach("probe1", Want::Native).unwrap();
            wait_for("probe1", || is_up("probe1"));
            host
        });
        monitor.kernel.attach("probe0", Want::Native).unwrap();
        wait_for("probe0", || is_up("probe0"));
        let transmitter = monitor.kernel.transmitter(cpu).unwrap();
        transmitter.bind().unwrap();
        Self {
            transmitter,
            interface: index_of("probe0").unwrap(),
            monitor,
            host,
            namespace,
        }
    }

    /// Runs `test` over such a pair with so many rows, in a namespace of its own. The pump is a CPU's, or free.
    pub(super) fn with(rows: u32, cpu: Option<u32>, test: impl FnOnce(Self) + Send + 'static) {
        let (Some(monitor), Some(host)) = (Monitor::new(rows), privileged(ReflectKernel::load()))
        else {
            return;
        };
        in_namespace(move || test(Self::new(monitor, host, cpu)));
    }

    /// One of many targets: IPv4 and IPv6, each now without VLAN, now in one.
    pub(super) fn assign_fleet(&mut self, targets: u32) {
        let [(v4, _), (v6, _)] = ends();
        for (number, (source, vlan)) in (1..).zip([(v4, 0), (v6, 0), (v4, 7), (v6, 0x2fff)]) {
            let way = hop(source.ip(), self.interface, vlan);
            self.monitor.kernel.set_hop(number, &way).unwrap();
        }
        for target in 0..targets {
            let hop = 1 + target % 4;
            let ip: IpAddr = if hop % 2 == 1 {
                Ipv4Addr::from_bits(0xc612_0000 + target).into()
            } else {
                Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(target)).into()
            };
            self.monitor.assign(target, (ip, 4862).into(), hop);
        }
    }

    fn send(&mut self, targets: &[u32]) -> (Vec<Departure>, Vec<u32>, Result<(), TransmitError>) {
        let (mut departures, mut rest) = (Vec::new(), Vec::new());
        let result = self
            .transmitter
            .send(self.interface, targets, &mut rest, |departure| {
                departures.push(departure);
            });
        (departures, rest, result)
    }

    pub(super) fn pongs(&self) -> u64 {
        self.monitor.kernel.counters().received().fates[Fate::Ok as usize]
    }
}

#[test]
fn a_fleet_is_pinged_each_target_once_and_nothing_is_lost() {
    const TARGETS: u32 = 5_000;
    Pair::with(TARGETS + 1, None, |mut pair| {
        pair.transmitter.trial(pair.interface, MAC).unwrap();
        pair.assign_fleet(TARGETS);
        let mut due: Vec<u32> = (0..TARGETS).map(|i| i * 7 % TARGETS).collect();
        // One that has no next hop is amid the others.
        due.insert(1_234, TARGETS);
        for round in 1..=3 {
            let (mut left, mut untouched, mut due) = (Vec::new(), Vec::new(), due.clone());
            // Where this machine is busy the other end's queue may be full: what it dropped is told, and sent again.
            while !due.is_empty() {
                let (departures, rest, _) = pair.send(&due);
                untouched.extend(rest);
                due.clear();
                for Departure {
                    target,
                    seq,
                    left: was_sent,
                } in departures
                {
                    assert_eq!(seq, round);
                    if was_sent {
                        left.push(target);
                    } else {
                        pair.monitor.table.rows()[target as usize].take_back(seq);
                        due.push(target);
                    }
                }
            }
            assert_eq!(untouched, [TARGETS]);
            left.sort_unstable();
            assert!(left.into_iter().eq(0..TARGETS));
            wait_for("the pongs", || pair.pongs() == u64::from(TARGETS * round));
            let rows = pair.monitor.table.rows();
            for row in &rows[..TARGETS as usize] {
                assert_eq!((row.sent(), row.pongs()), (round, round));
                assert_eq!((row.pong().0, row.answer(round)), (round, Answer::Good));
                assert!(row.pong().1 > 0);
            }
            assert_eq!(rows[TARGETS as usize].sent(), 0);
        }
        assert_eq!(pair.host.counts(), [u64::from(3 * TARGETS), 0, 0]);
    });
}

#[test]
fn a_thread_moved_to_another_cpu_comes_back() {
    Pair::with(10, Some(CPU), |mut pair| {
        let mut elsewhere = CpuSet::new();
        elsewhere.set(CPU as usize + 1);
        if sched_setaffinity(None, &elsewhere).is_err() {
            eprintln!("skipped: this machine has one CPU");
            return;
        }
        pair.assign_fleet(10);
        let (departures, rest, result) = pair.send(&(0..10).collect::<Vec<_>>());
        result.unwrap();
        assert_eq!((departures.len(), rest.len()), (10, 0));
        wait_for("the pongs", || pair.pongs() == 10);
    });
}

#[test]
fn a_cpu_has_one_pump() {
    let Some(mut monitor) = Monitor::new(1) else {
        return;
    };
    let _first = monitor.kernel.transmitter(Some(CPU)).unwrap();
    for other in [Some(CPU), None] {
        let error = monitor.kernel.transmitter(other).unwrap_err();
        assert!(matches!(error, TransmitError::Taken), "{error}");
    }
    for missing in [100_000, u32::MAX] {
        let error = monitor.kernel.transmitter(Some(missing)).unwrap_err();
        assert!(matches!(error, TransmitError::Cpu { .. }), "{error}");
    }
}

#[test]
fn an_interface_that_takes_no_frames_says_why() {
    Pair::with(10, None, |mut pair| {
        pair.assign_fleet(10);
        let due: Vec<u32> = (0..10).collect();
        let reasons = |pair: &mut Pair| {
            let trial = pair.transmitter.trial(pair.interface, MAC).unwrap_err();
            let (departures, rest, result) = pair.send(&due);
            assert_eq!(result.unwrap_err().to_string(), trial.to_string());
            assert!(departures.iter().all(|departure| !departure.left));
            assert_eq!(departures.len() + rest.len(), due.len());
            for Departure { target, seq, .. } in departures {
                pair.monitor.table.rows()[target as usize].take_back(seq);
            }
            assert!(pair.monitor.table.rows().iter().all(|row| row.sent() == 0));
            trial.to_string()
        };
        ip("link set probe0 mtu 80");
        assert_eq!(reasons(&mut pair), "its MTU is too small for a ping");
        ip("link set probe0 mtu 1500");
        ip("link set probe0 down");
        assert_eq!(reasons(&mut pair), "it is down");
        ip("link set probe0 up");
        pair.transmitter.trial(pair.interface, MAC).unwrap();
        // These are dropped by the driver; all others did not come so far.
        pair.namespace.run(|| ip("link set probe1 down"));
        assert!(reasons(&mut pair).starts_with("its driver is not ready"));
        pair.namespace.run(|| ip("link set probe1 up"));
        pair.transmitter.trial(pair.interface, MAC).unwrap();
        pair.host = ReflectKernel::load().unwrap();
        let none_there = reasons(&mut pair);
        ip("link del probe0");
        assert_eq!(reasons(&mut pair), "it is gone");
        let loopback = pair.transmitter.trial(1, [0; 6]).unwrap_err();
        assert!(loopback.to_string().starts_with("its driver takes no"));
        // Since Linux 6.3 a driver tells beforehand that it would not.
        let told = KernelVersion::current().unwrap() >= KernelVersion::new(6, 3, 0);
        assert_eq!(none_there == loopback.to_string(), told, "{none_there}");
    });
}
