//! `receive` and beats.

use probe_common::{
    beat::{BeatFate, BeatFates},
    maps::Settings,
    row::Row,
    wire::{Message, Packet},
};

use super::*;

const WHO: [u64; 2] = [11, 22];
const SENDER: u32 = 99;

/// A monitor that knows one service, whose row is the second.
struct Monitor {
    kernel: Kernel,
    directory: Directory,
    table: Table,
}

impl Monitor {
    fn new() -> Option<Self> {
        let mut kernel = privileged(Kernel::load(room(2, 1, 1, 1)))?;
        kernel
            .set_settings(&Settings {
                keys: keys(),
                epoch: EPOCH,
                rows: 1,
                ports: PORTS,
            })
            .unwrap();
        let mut directory = kernel.take_services().unwrap();
        directory.insert(WHO, 1).unwrap();
        let table = kernel.table().unwrap();
        table.rows()[1].assign_service(WHO, 0);
        Some(Self {
            kernel,
            directory,
            table,
        })
    }

    fn row(&self) -> &Row {
        &self.table.rows()[1]
    }

    fn run(&self, packet: &Packet) -> [u32; 2] {
        ends().map(|(monitor, host)| {
            let frame = Frame::new(host, (monitor.ip(), PORTS.beats).into(), packet);
            run(self.kernel.receive.as_fd(), &frame.bytes()).unwrap().0
        })
    }

    fn beats(&self) -> BeatFates {
        self.kernel.counters().received().beats
    }
}

fn beat(seq: u32) -> Message {
    Message {
        health: 0x1234_5678,
        boot: 5,
        ..Message::beat(WHO[0], WHO[1], seq, SENDER, 1 << 40)
    }
}

#[test]
fn beats_of_an_open_session_are_taken_in_and_counted_once() {
    let Some(monitor) = Monitor::new() else {
        return;
    };
    let [current, previous] = keys();
    assert_eq!(
        monitor.run(&beat(1).encode(&current)),
        [XDP_PASS; 2],
        "who may begin is for the daemon to say"
    );
    let before = now();
    monitor.row().open_session(&beat(1), before, false);
    for (seq, key) in [(2, current), (3, previous)] {
        assert_eq!(monitor.run(&beat(seq).encode(&key)), [XDP_DROP; 2]);
    }
    let heard = monitor.row().heard();
    assert!(heard.at > before && heard.at <= now());
    assert_eq!((heard.seq, heard.time), (3, 1 << 32));
    let row = monitor.row();
    assert_eq!((row.pongs(), row.health(), row.boot()), (3, 0x1234_5678, 5));
    // Each came by IPv4 and by IPv6.
    let mut expected = BeatFates::default();
    expected[BeatFate::Ok as usize] = 2;
    expected[BeatFate::Duplicate as usize] = 2;
    assert_eq!(monitor.beats(), expected);
}

#[test]
fn forged_and_stale_beats_are_dropped_and_change_nothing() {
    let Some(monitor) = Monitor::new() else {
        return;
    };
    let key = keys()[0];
    monitor.row().open_session(&beat(100), 7, false);
    let forged = beat(101).encode(&Key::from_bytes([9; 16]));
    assert_eq!(monitor.run(&forged), [XDP_DROP; 2]);
    assert_eq!(monitor.run(&beat(36).encode(&key)), [XDP_DROP; 2]);
    let mut expected = BeatFates::default();
    expected[BeatFate::Forged as usize] = 2;
    expected[BeatFate::Stale as usize] = 2;
    assert_eq!(monitor.beats(), expected);
    assert_eq!((monitor.row().heard().at, monitor.row().pongs()), (7, 1));
}

#[test]
fn what_the_daemon_has_to_decide_or_answer_comes_up_to_it() {
    let Some(mut monitor) = Monitor::new() else {
        return;
    };
    let key = keys()[0];
    monitor.row().open_session(&beat(1), 7, false);
    let restarted = Message {
        epoch: SENDER + 1,
        ..beat(1)
    };
    let stranger = Message {
        sent: 23,
        ..beat(2)
    };
    let pong = beat(2).pong(0, 0, 0, 0);
    for message in [beat(2).with_ack(true), restarted, stranger, pong] {
        assert_eq!(
            monitor.run(&message.encode(&key)),
            [XDP_PASS; 2],
            "{message:?}"
        );
    }
    assert_eq!(monitor.beats(), BeatFates::default());
    assert_eq!(monitor.row().heard().seq, 1);

    // A row given to another service meanwhile is not written.
    monitor.row().assign_service([11, 33], 0);
    assert_eq!(monitor.run(&beat(3).encode(&key)), [XDP_PASS; 2]);
    monitor.directory.remove(WHO);
    monitor.row().assign_service(WHO, 0);
    monitor.row().open_session(&beat(1), 7, false);
    assert_eq!(monitor.run(&beat(3).encode(&key)), [XDP_PASS; 2]);
}
