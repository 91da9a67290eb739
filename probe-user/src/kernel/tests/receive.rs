use probe_common::{
    maps::{Fate, Fates},
    row::{Answer, Row},
    wire::Message,
};

use super::*;

/// A monitor with one IPv4 and one IPv6 target, of which a pong after 100 ms is late and after 1 s is stale.
struct Monitor {
    kernel: Kernel,
    table: Table,
}

impl Monitor {
    fn new() -> Option<Self> {
        let mut kernel = privileged(Kernel::load(room(3, 2, 2, 1)))?;
        kernel
            .set_settings(&Settings {
                keys: keys(),
                epoch: EPOCH,
                rows: 2,
                ports: PORTS,
            })
            .unwrap();
        let class = Class {
            timeout_ns: 1_000_000_000,
            late_after_ns: 100_000_000,
            group: 1,
        };
        kernel.set_classes(&[Class::default(), class]).unwrap();
        let table = kernel.table().unwrap();
        for (row, (_, host)) in table.rows().iter().zip(ends()) {
            row.assign(host.ip().into(), host.port(), 1);
        }
        Some(Self { kernel, table })
    }

    fn row(&self, target: usize) -> &Row {
        &self.table.rows()[target]
    }

    fn fates(&self) -> Fates {
        self.kernel.counters().received().fates
    }

    fn run(&self, frame: &[u8]) -> u32 {
        let (action, out) = run(self.kernel.receive.as_fd(), frame).unwrap();
        assert_eq!(out, frame, "it writes nothing");
        action
    }
}

/// A pong of ping `seq`, sent `ago` ns ago.
fn pong(target: usize, seq: u32, ago: u64) -> Message {
    let ping = Message::ping(target as u32, seq, EPOCH, now() - ago);
    ping.pong(0x0102_0304, 99, 5, 6)
}

/// The frame that brings it to the monitor.
fn frame(message: &Message) -> Frame {
    let (monitor, host) = ends()[message.target as usize % 2];
    Frame::new(host, monitor, &message.encode(&keys()[0]))
}

#[test]
fn a_pong_in_each_shape_is_taken_in() {
    let Some(monitor) = Monitor::new() else {
        return;
    };
    let mut expected = Fates::default();
    for target in 0..2 {
        let row = monitor.row(target);
        let count = {
            let any = frame(&pong(target, 1, 0));
            shapes(&any).len() + with_options(&any).len()
        };
        for shape in 0..count {
            let seq = row.open();
            let any = frame(&pong(target, seq, 0));
            let frame = [shapes(&any), with_options(&any)]
                .concat()
                .swap_remove(shape);
            assert_eq!(monitor.run(&frame.bytes()), XDP_DROP, "{frame:?}");
            assert_eq!(row.answer(seq), Answer::Good, "{frame:?}");
            assert_eq!(row.pong().0, seq);
            assert!(row.pong().1 > 0);
            expected[Fate::Ok as usize] += 1;
        }
        assert_eq!(row.pongs(), count as u32);
        assert_eq!((row.health(), row.boot()), (0x0102_0304, 99));
        // It came at 5 and left again at 6.
        let told = monitor.table.clocks()[target].get().unwrap();
        assert_eq!((told.seq, told.delay), (row.sent(), row.pong().1 - 1));
    }
    assert_eq!(monitor.fates(), expected);
}

#[test]
fn only_pongs_that_tell_their_times_tell_of_a_clock() {
    let Some(monitor) = Monitor::new() else {
        return;
    };
    for target in 0..2 {
        let row = monitor.row(target);
        let clock = &monitor.table.clocks()[target];
        let (first, second) = (row.open(), row.open());
        let told = |received, sent, seq| Message {
            received,
            sent,
            ..pong(target, seq, 1_000_000)
        };
        let wall = 1_790_000_000_000_000_000;
        for (seq, times, expected) in [
            (second, (wall, wall + 400_000), Some(second)),
            (first, (wall, wall), Some(second)),
            (row.open(), (0, 0), Some(second)),
            (row.open(), (wall, 0), Some(second)),
            (row.open(), (wall, wall - 1), Some(second)),
        ] {
            let message = told(times.0, times.1, seq);
            assert_eq!(monitor.run(&frame(&message).bytes()), XDP_DROP);
            assert_eq!(row.answer(seq), Answer::Good);
            assert_eq!(clock.get().map(|told| told.seq), expected, "{times:?}");
        }
        let told = clock.get().unwrap();
        assert!(told.delay >= 600_000, "without what it was held");
        assert!(wall - told.there <= now());
    }
}

#[test]
fn each_fate_is_counted_and_consumed() {
    let Some(monitor) = Monitor::new() else {
        return;
    };
    for target in 0..2 {
        let row = monitor.row(target);
        let other = ends()[target].0;
        let seq = row.open();
        let good = frame(&pong(target, seq, 0));
        let late = frame(&pong(target, row.open(), 200_000_000));
        let stale = frame(&pong(target, row.open(), 1_100_000_000));
        let unsent = frame(&pong(target, row.sent() + 1, 0));
        let mut flipped = good.clone();
        flipped.payload[20] ^= 1;
        let stranger = pong(target, seq, 0).encode(&Key::from_bytes([3; 16]));
        let stranger = Frame::new(good.source, good.destination, &stranger);
        let mut elsewhere = good.clone();
        elsewhere.source.set_ip(other.ip());
        let mut port = good.clone();
        port.source.set_port(1);
        for (frame, fate) in [
            (&flipped, Fate::Forged),
            (&stranger, Fate::Forged),
            (&elsewhere, Fate::Forged),
            (&port, Fate::Forged),
            (&unsent, Fate::Stale),
            (&good, Fate::Ok),
            (&good, Fate::Duplicate),
            (&late, Fate::Late),
            (&late, Fate::Duplicate),
            (&stale, Fate::Stale),
        ] {
            let mut expected = monitor.fates();
            expected[fate as usize] += 1;
            assert_eq!(monitor.run(&frame.bytes()), XDP_DROP, "{fate:?} {frame:?}");
            assert_eq!(monitor.fates(), expected, "{fate:?} {frame:?}");
        }
        assert_eq!(row.answer(seq), Answer::Good);
        assert_eq!(row.answer(seq + 1), Answer::Late);
        assert_eq!(row.answer(seq + 2), Answer::None);
        assert_eq!(row.pongs(), 2);
    }
    let rtt = monitor.kernel.counters().received().rtt;
    assert_eq!(rtt[0], Histogram::default());
    assert_eq!(rtt[1].buckets.iter().sum::<u64>(), 4);
    let above_100_ms = &rtt[1].buckets[13..];
    assert_eq!(above_100_ms.iter().sum::<u64>(), 2, "the late ones");
    assert!(rtt[1].sum_ns >= 400_000_000);
}

#[test]
fn the_previous_key_is_still_good() {
    let Some(monitor) = Monitor::new() else {
        return;
    };
    let message = pong(0, monitor.row(0).open(), 0);
    let (to, from) = ends()[0];
    let frame = Frame::new(from, to, &message.encode(&keys()[1]));
    assert_eq!(monitor.run(&frame.bytes()), XDP_DROP);
    assert_eq!(monitor.fates()[Fate::Ok as usize], 1);
}

#[test]
fn what_it_does_not_recognise_passes_uncounted() {
    let Some(monitor) = Monitor::new() else {
        return;
    };
    for target in 0..2 {
        let row = monitor.row(target);
        let message = pong(target, row.open(), 0);
        let right = frame(&message);
        let mut strangers = strangers(&right);
        for (what, message) in [
            (
                "a ping",
                Message {
                    kind: Kind::Ping,
                    ..message
                },
            ),
            (
                "a beat",
                Message {
                    kind: Kind::Beat,
                    ..message
                },
            ),
            (
                "another epoch",
                Message {
                    epoch: 1,
                    ..message
                },
            ),
            (
                "no such row",
                Message {
                    target: 2 + target as u32,
                    ..message
                },
            ),
        ] {
            strangers.push((what, frame(&message).bytes()));
        }
        // A port of the other family is none of this one.
        let first = PORTS.first[target];
        let others = [first - 1, first + ports::PORTS, PORTS.first[1 - target]];
        for port in [0].into_iter().chain(others) {
            let mut frame = right.clone();
            frame.destination.set_port(port);
            strangers.push(("another port", frame.bytes()));
        }
        let before = monitor.fates();
        for (what, bytes) in strangers {
            assert_eq!(monitor.run(&bytes), XDP_PASS, "{what}: {bytes:02x?}");
        }
        assert_eq!(row.pongs(), 0);
        assert_eq!(monitor.fates(), before);
        // It was right but for that.
        assert_eq!(monitor.run(&right.bytes()), XDP_DROP);
        assert_eq!(row.pongs(), 1);
    }
}

#[test]
fn without_settings_everything_passes() {
    let Some(kernel) = privileged(Kernel::load(room(1, 1, 1, 1))) else {
        return;
    };
    let frame = frame(&pong(0, 1, 0)).bytes();
    let (action, _) = run(kernel.receive.as_fd(), &frame).unwrap();
    assert_eq!(action, XDP_PASS);
    assert_eq!(kernel.counters().received().fates, Fates::default());
}
