use probe_common::wire::Message;

use super::*;

/// `TCX_NEXT`: the next program has its turn.
const NEXT: u32 = u32::MAX;

fn kernel() -> Option<Kernel> {
    let mut kernel = privileged(Kernel::load(room(1, 1, 1, 1)))?;
    kernel
        .set_settings(&Settings {
            keys: keys(),
            epoch: EPOCH,
            rows: 1,
            ports: PORTS,
        })
        .unwrap();
    Some(kernel)
}

fn ping() -> Message {
    Message::ping(7, 42, EPOCH, 1_234)
}

fn frames(message: &Message) -> [Frame; 2] {
    ends().map(|(monitor, host)| Frame::new(monitor, host, &message.encode(&keys()[0])))
}

fn stamped(kernel: &Kernel, frame: &Frame) -> Vec<u8> {
    let (verdict, out) = run(kernel.stamp.as_fd(), &frame.bytes()).unwrap();
    assert_eq!(verdict, NEXT);
    out
}

#[test]
fn a_ping_in_each_shape_gets_time_tag_and_checksum() {
    let Some(kernel) = kernel() else { return };
    for right in frames(&ping()) {
        for frame in [shapes(&right), with_options(&right)].concat() {
            let before = now();
            let out = stamped(&kernel, &frame);
            let after = now();
            let mut expected = frame.clone();
            expected.payload = out[out.len() - 64..].to_vec();
            expected.udp_checksum = expected.right_checksum();
            assert_eq!(out, expected.bytes(), "{frame:?}");
            let packet = expected.packet();
            assert!(packet.signed_by(&keys()[0]));
            let message = packet.message().unwrap();
            assert!((before..=after).contains(&message.time));
            let time = message.time;
            assert_eq!(message, Message { time, ..ping() });
        }
    }
}

#[test]
fn a_datagram_without_checksum_stays_without() {
    let Some(kernel) = kernel() else { return };
    let [mut frame, _] = frames(&ping());
    frame.udp_checksum = 0;
    let out = stamped(&kernel, &frame);
    assert_ne!(out, frame.bytes());
    frame.payload = out[out.len() - 64..].to_vec();
    assert_eq!(out, frame.bytes());
}

#[test]
fn anything_else_leaves_untouched() {
    let Some(kernel) = kernel() else { return };
    for (right, other) in frames(&ping())
        .into_iter()
        .zip([PORTS.first[1], PORTS.first[0]])
    {
        let mut strangers = super::strangers(&right);
        for port in [0, 1, other] {
            let mut frame = right.clone();
            frame.source.set_port(port);
            strangers.push(("another port", frame.bytes()));
        }
        for message in [
            Message { epoch: 1, ..ping() },
            Message {
                kind: Kind::Pong,
                ..ping()
            },
        ] {
            let packet = message.encode(&keys()[0]);
            let frame = Frame::new(right.source, right.destination, &packet);
            strangers.push(("another message", frame.bytes()));
        }
        // Nothing leaves a host without a whole IP header, and the kernel runs no program over such a thing.
        strangers.retain(|(_, bytes)| bytes.len() >= 14 + 40);
        for (what, bytes) in strangers {
            let (verdict, out) = run(kernel.stamp.as_fd(), &bytes).unwrap();
            assert_eq!((verdict, out), (NEXT, bytes), "{what}");
        }
    }
}
