extern crate std;

use proptest::prelude::*;

use super::*;
use crate::siphash::Key;

const CLASS: Class = Class {
    timeout_ns: 1_000_000,
    late_after_ns: 250_000,
    group: 0,
};
const SOURCE: (Address, u16) = (Address::from_v4([192, 0, 2, 1]), 4862);

fn settings() -> Settings {
    let keys = [Key::from_bytes([1; 16]), Key::from_bytes([2; 16])];
    Settings {
        keys,
        epoch: 9,
        rows: 4,
        ..Settings::default()
    }
}

fn row() -> Row {
    let row = Row::default();
    row.assign(SOURCE.0, SOURCE.1, 0);
    row
}

fn pong(seq: u32, time: u64) -> Message {
    Message {
        kind: Kind::Pong,
        ..Message::ping(3, seq, 9, time)
    }
}

fn land(row: &Row, message: Message, now: u64) -> Fate {
    let packet = message.encode(&settings().keys[0]);
    match Pong::verify(&packet, &settings()) {
        Ok(pong) => pong.land(row, &CLASS, SOURCE, now).0,
        Err(fate) => fate,
    }
}

#[test]
fn each_fate() {
    let row = row();
    let seq = row.open();
    assert_eq!(land(&row, pong(seq, 100), 250_100), Fate::Ok);
    assert_eq!(land(&row, pong(seq, 100), 250_100), Fate::Duplicate);
    let seq = row.open();
    assert_eq!(land(&row, pong(seq, 100), 250_101), Fate::Late);
    let seq = row.open();
    assert_eq!(land(&row, pong(seq, 100), 1_000_101), Fate::Stale);
    assert_eq!(
        land(&row, pong(seq + 1, 100), 200),
        Fate::Stale,
        "of a ping never sent"
    );
    assert_eq!(
        land(
            &row,
            Message {
                epoch: 8,
                ..pong(seq, 100)
            },
            200
        ),
        Fate::Stale
    );
    assert_eq!(
        land(
            &row,
            Message {
                target: 4,
                ..pong(seq, 100)
            },
            200
        ),
        Fate::Stale
    );
    assert_eq!(
        land(
            &row,
            Message {
                kind: Kind::Ping,
                ..pong(seq, 100)
            },
            200
        ),
        Fate::Malformed
    );
    assert_eq!(
        land(&row, pong(seq, 100), 200),
        Fate::Ok,
        "none of these spoiled the ping"
    );
}

#[test]
fn the_source_must_be_what_was_pinged() {
    let row = row();
    let packet = pong(row.open(), 0).encode(&settings().keys[0]);
    let pong = Pong::verify(&packet, &settings()).unwrap();
    let elsewhere = (Address::from_v4([192, 0, 2, 2]), 4862);
    assert_eq!(pong.land(&row, &CLASS, elsewhere, 1), (Fate::Forged, None));
    assert_eq!(
        pong.land(&row, &CLASS, (SOURCE.0, 4863), 1),
        (Fate::Forged, None)
    );
    assert_eq!(pong.land(&row, &CLASS, SOURCE, 1), (Fate::Ok, Some(1)));
}

#[test]
fn both_keys_are_good_and_no_third() {
    let settings = settings();
    let message = pong(1, 0);
    for key in settings.keys {
        assert!(Pong::verify(&message.encode(&key), &settings).is_ok());
    }
    let third = message.encode(&Key::from_bytes([3; 16]));
    assert_eq!(Pong::verify(&third, &settings).unwrap_err(), Fate::Forged);
}

#[test]
fn a_clock_that_runs_behind_gives_no_negative_time() {
    let row = row();
    let packet = pong(row.open(), 500).encode(&settings().keys[0]);
    let pong = Pong::verify(&packet, &settings()).unwrap();
    assert_eq!(pong.land(&row, &CLASS, SOURCE, 499), (Fate::Ok, Some(0)));
}

proptest! {
    /// Whatever arrives, a ping counts as answered only by a pong that is right in every respect.
    #[test]
    fn only_a_right_pong_answers(
        epoch in 8..11u32, target in 2..5u32, back in 0..3u32, delay in 0..2_000_000u64,
        flipped in proptest::option::of(0..512usize), elsewhere: bool,
    ) {
        let row = row();
        for _ in 0..2 { row.open(); }
        let seq = row.sent() + 1 - back;
        let message = Message { epoch, target, ..pong(seq, 1_000) };
        let mut bytes = message.encode(&settings().keys[0]).to_bytes();
        if let Some(bit) = flipped { bytes[bit / 8] ^= 1 << (bit % 8); }
        let source = if elsewhere { (SOURCE.0, 1) } else { SOURCE };
        let packet = Packet::from_bytes(&bytes).unwrap();
        let fate = match Pong::verify(&packet, &settings()) {
            Ok(pong) => pong.land(&row, &CLASS, source, 1_000 + delay).0,
            Err(fate) => fate,
        };
        let right = epoch == 9 && target < 4 && back > 0 && delay <= 1_000_000
            && flipped.is_none() && !elsewhere;
        prop_assert_eq!(matches!(fate, Fate::Ok | Fate::Late), right);
        prop_assert_eq!(row.pongs() == 1, right);
    }
}
