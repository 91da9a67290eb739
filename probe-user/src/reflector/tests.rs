use std::{
    net::{IpAddr, UdpSocket},
    time::Duration,
};

use probe_common::{
    siphash::Key,
    wire::{Kind, LEN, Message},
};

use super::*;

const KEYS: [Key; 2] = [Key::from_bytes([1; 16]), Key::from_bytes([2; 16])];

fn start(address: &str) -> (Reflector, SocketAddr) {
    let socket = listen(address.parse().unwrap()).unwrap();
    let at = socket.local_addr().unwrap();
    let identity = maps::Reflector {
        keys: KEYS,
        boot: 5,
        health: 6,
        ..maps::Reflector::default()
    };
    (Reflector::start(vec![socket], identity).unwrap(), at)
}

fn monitor() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket
}

/// The pong to the next ping, and who sent it: what went before and was not answered would have come first.
fn pong(monitor: &UdpSocket, to: SocketAddr, seq: u32, key: &Key) -> (Message, SocketAddr) {
    let ping = Message::ping(3, seq, 9, 1234);
    monitor.send_to(&ping.encode(key).to_bytes(), to).unwrap();
    let mut bytes = [0; 2 * LEN];
    let (length, from) = monitor.recv_from(&mut bytes).unwrap();
    let packet = Packet::from_bytes(&bytes[..length]).unwrap();
    assert!(packet.signed_by(key));
    (packet.message().unwrap(), from)
}

#[test]
fn answers_from_the_address_that_was_pinged() {
    let (reflector, at) = start("0.0.0.0:0");
    let monitor = monitor();
    for address in ["127.0.0.1", "127.0.0.2", "127.200.3.4"] {
        let to = SocketAddr::new(address.parse::<IpAddr>().unwrap(), at.port());
        let (message, from) = pong(&monitor, to, 7, &KEYS[0]);
        assert_eq!(from, to);
        assert_eq!(
            (message.kind, message.target, message.seq),
            (Kind::Pong, 3, 7)
        );
        assert_eq!((message.epoch, message.time), (9, 1234));
        assert_eq!((message.health, message.boot), (6, 5));
        assert!(message.received > 0 && message.received <= message.sent);
    }
    assert_eq!(reflector.shared.counts(), [3, 0, 0]);
    reflector.stop().unwrap();
}

#[test]
fn answers_nothing_else() {
    let (reflector, at) = start("127.0.0.1:0");
    let monitor = monitor();
    let ping = Message::ping(3, 1, 9, 0);
    let stranger = ping.encode(&Key::from_bytes([3; 16])).to_bytes();
    let its_own = Message {
        kind: Kind::Pong,
        ..ping
    }
    .encode(&KEYS[0])
    .to_bytes();
    let truncated = &ping.encode(&KEYS[0]).to_bytes()[..63];
    for bytes in [&stranger[..], &its_own, truncated, b"", &[0; 65]] {
        monitor.send_to(bytes, at).unwrap();
    }
    assert_eq!(
        pong(&monitor, at, 2, &KEYS[1]).0.seq,
        2,
        "and both keys are good"
    );
    assert_eq!(reflector.shared.counts(), [1, 1, 4]);
    reflector.stop().unwrap();
}

#[test]
fn stops_at_once() {
    let (reflector, _) = start("[::1]:0");
    let before = clock::monotonic();
    reflector.stop().unwrap();
    assert!(
        clock::monotonic() - before < 900_000_000,
        "within a turn of its loop"
    );
}
