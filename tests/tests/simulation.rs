//! The simulation itself: what the other tests stand on does what they take it to do.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use heartprobe_tests::{
    behaviour::{both, lose, silent, slow, wrong_key},
    config::{LATE, SLACK},
    frame::Wrapping,
    net::Net,
    peer::Host,
    raw::Responder,
    require_root,
};
use probe_common::{
    siphash::Key,
    wire::{Kind, Message, Packet},
};

/// A monitor made of one socket.
struct Monitor(UdpSocket);

impl Monitor {
    fn new(net: &Net, address: &str) -> Self {
        let socket = net.monitor.enter(|| UdpSocket::bind(address)).unwrap();
        socket.set_read_timeout(Some(SLACK)).unwrap();
        Self(socket)
    }

    fn ping(&self, seq: u32, to: &str) {
        let packet = Message::ping(7, seq, 1, 0).encode(&Key::default());
        self.0.send_to(&packet.to_bytes(), to).unwrap();
    }

    fn pong(&self) -> Option<(Packet, SocketAddr)> {
        let mut buffer = [0; 128];
        let (length, from) = self.0.recv_from(&mut buffer).ok()?;
        Some((Packet::from_bytes(&buffer[..length]).unwrap(), from))
    }
}

#[test]
fn a_host_answers_on_both_families() {
    require_root!();
    let net = Net::new();
    for (from, host) in [("0.0.0.0:0", "198.19.200.7"), ("[::]:0", "2001:db8:1::7")] {
        let _host = Host::start(&net.fleet, host);
        let monitor = Monitor::new(&net, from);
        let at = SocketAddr::new(host.parse().unwrap(), 4862);
        monitor.ping(1, &at.to_string());
        let (pong, source) = monitor.pong().unwrap();
        assert_eq!(source, at);
        assert!(pong.signed_by(&Key::default()));
        assert_eq!(pong.message().unwrap().kind, Kind::Pong);
    }
}

#[test]
fn a_hosts_behaviour_can_be_changed() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, "198.19.0.1");
    let monitor = Monitor::new(&net, "0.0.0.0:0");
    let at = "198.19.0.1:4862";

    host.now(both(wrong_key(), slow(LATE)));
    monitor.ping(1, at);
    assert!(!monitor.pong().unwrap().0.signed_by(&Key::default()));
    assert!(monitor.pong().unwrap().0.signed_by(&Key::default()));

    host.now(lose(2));
    for seq in 2..=4 {
        monitor.ping(seq, at);
    }
    assert_eq!(monitor.pong().unwrap().0.message().unwrap().seq, 4);
    assert_eq!(host.pings(), 4);

    host.now(silent());
    monitor.0.set_read_timeout(Some(LATE)).unwrap();
    monitor.ping(5, at);
    assert!(monitor.pong().is_none());
}

#[test]
fn a_responder_sees_pings_and_answers_for_addresses_that_nobody_has() {
    require_root!();
    let net = Net::new();
    let responder = Responder::answer(
        &net.fleet,
        Wrapping {
            vlans: Vec::new(),
            options: true,
        },
    );
    let cases = [
        ("0.0.0.0:0", "198.18.64.9:4862"),
        ("[::]:0", "[2001:db8:2::9]:4862"),
    ];
    for (from, to) in cases {
        let monitor = Monitor::new(&net, from);
        monitor.ping(1, to);
        assert_eq!(monitor.pong().unwrap().1.to_string(), to);
    }
    let pings = responder.pings(2, SLACK);
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    for ping in pings {
        assert_eq!(ping.message.target, 7);
        let age = Duration::try_from(now).unwrap().as_nanos() as u64 - ping.time;
        assert!(age < SLACK.as_nanos() as u64, "seen {age} ns ago");
        let datagram = &ping.datagram;
        let right = if ping.unfinished_checksum {
            datagram.unfinished_checksum()
        } else {
            datagram.right_checksum()
        };
        assert_eq!(datagram.checksum, right, "{ping:?}");
    }
}
