use probe_common::{
    maps::{Reflection, Reflector},
    wire::Message,
};

use super::*;
use crate::kernel::reflect::ReflectKernel;

struct Host(ReflectKernel);

impl Host {
    fn new(clock_offset_ns: u64) -> Option<Self> {
        let mut kernel = privileged(ReflectKernel::load())?;
        kernel
            .set(&Reflector {
                keys: keys(),
                clock_offset_ns,
                health: 0x1111_2222,
                boot: 77,
                port: 4862,
                reserved: [0; 3],
            })
            .unwrap();
        Some(Self(kernel))
    }

    fn run(&self, frame: &[u8]) -> (u32, Vec<u8>) {
        run(self.0.program.as_fd(), frame).unwrap()
    }
}

fn ping() -> Message {
    Message::ping(7, 42, EPOCH, 1_234)
}

/// The frames that bring a ping to the host over IPv4 and IPv6.
fn frames(message: &Message, key: &Key) -> [Frame; 2] {
    ends().map(|(monitor, host)| Frame::new(monitor, host, &message.encode(key)))
}

#[test]
fn a_ping_in_each_shape_is_turned_into_its_pong() {
    let Some(host) = Host::new(0) else { return };
    let mut answered = 0;
    for key in keys() {
        for right in frames(&ping(), &key) {
            for mut frame in shapes(&right) {
                // As a veth pair delivers it: not yet computed.
                frame.udp_checksum = 0xabcd;
                let (action, out) = host.run(&frame.bytes());
                assert_eq!(action, XDP_TX, "{frame:?}");
                let pong = ping().pong(0x1111_2222, 77, 0, 0);
                let mut expected = Frame {
                    macs: [frame.macs[1], frame.macs[0]],
                    vlan: frame.vlan.clone(),
                    ..Frame::new(frame.destination, frame.source, &pong.encode(&key))
                };
                expected.ttl = 64;
                assert_eq!(out, expected.bytes(), "{frame:?}");
                answered += 1;
            }
        }
    }
    assert_eq!(host.0.counts(), [answered, 0, 0]);
}

#[test]
fn only_a_ping_with_the_right_tag_is_answered() {
    let Some(host) = Host::new(0) else { return };
    let stranger = Key::from_bytes([3; 16]);
    for frame in frames(&ping(), &stranger) {
        let (action, out) = host.run(&frame.bytes());
        assert_eq!((action, out), (XDP_DROP, frame.bytes()));
    }
    assert_eq!(host.0.counts(), [0, 2, 0]);
}

#[test]
fn what_it_does_not_recognise_passes_untouched() {
    let Some(host) = Host::new(0) else { return };
    let mut strangers = Vec::new();
    for right in frames(&ping(), &keys()[0]) {
        strangers.extend(super::strangers(&right));
        let mut group = right.clone();
        group.macs[0] = [0xff; 6];
        strangers.push(("to all", group.bytes()));
        for port in [0, 4863] {
            let mut frame = right.clone();
            frame.destination.set_port(port);
            strangers.push(("another port", frame.bytes()));
        }
        for frame in with_options(&right) {
            strangers.push(("options", frame.bytes()));
        }
    }
    for kind in [Kind::Pong, Kind::Beat, Kind::Ack] {
        for frame in frames(&Message { kind, ..ping() }, &keys()[0]) {
            strangers.push(("another kind", frame.bytes()));
        }
    }
    for (what, bytes) in strangers {
        let (action, out) = host.run(&bytes);
        assert_eq!(action, XDP_PASS, "{what}: {bytes:02x?}");
        assert_eq!(out, bytes, "{what}");
    }
    assert_eq!(host.0.counts(), [0; Reflection::ALL.len()]);
}

#[test]
fn a_known_clock_tells_the_time() {
    let offset = 1_700_000_000_000_000_000;
    let Some(host) = Host::new(offset) else {
        return;
    };
    let [frame, _] = frames(&ping(), &keys()[0]);
    let before = now();
    let (action, out) = host.run(&frame.bytes());
    let after = now();
    assert_eq!(action, XDP_TX);
    let packet = probe_common::wire::Packet::from_bytes(&out[out.len() - 64..]).unwrap();
    let pong = packet.message().unwrap();
    assert!((before..=after).contains(&(pong.received - offset)));
    assert_eq!(pong.sent, pong.received);
}

#[test]
fn without_settings_everything_passes() {
    let Some(kernel) = privileged(ReflectKernel::load()) else {
        return;
    };
    for frame in frames(&ping(), &Key::default()) {
        let (action, _) = run(kernel.program.as_fd(), &frame.bytes()).unwrap();
        assert_eq!(action, XDP_PASS);
    }
}
