use super::*;
use crate::row::Row;

const WHO: [u64; 2] = [11, 22];

fn beat(seq: u32, epoch: u32) -> Message {
    Message::beat(WHO[0], WHO[1], seq, epoch, 1_000)
}

fn keys() -> [Key; 2] {
    [1, 2].map(|byte| Key::from_bytes([byte; 16]))
}

#[test]
fn either_key_is_believed_and_no_other() {
    let keys = keys();
    for key in keys {
        let beat = Beat::verify(&beat(1, 9).encode(&key), &keys).unwrap();
        assert_eq!(beat.identity(), WHO);
    }
    let stranger = beat(1, 9).encode(&Key::from_bytes([3; 16]));
    assert_eq!(
        Beat::verify(&stranger, &keys).unwrap_err(),
        BeatFate::Forged
    );
}

#[test]
fn only_a_beat_with_an_epoch_is_one() {
    let keys = keys();
    for kind in [Kind::Ping, Kind::Pong, Kind::Ack] {
        let packet = Message { kind, ..beat(1, 9) }.encode(&keys[0]);
        assert_eq!(
            Beat::verify(&packet, &keys).unwrap_err(),
            BeatFate::Malformed
        );
    }
    let packet = beat(1, 0).encode(&keys[0]);
    assert_eq!(
        Beat::verify(&packet, &keys).unwrap_err(),
        BeatFate::Malformed
    );
}

#[test]
fn the_receiver_takes_the_open_session_alone() {
    let keys = keys();
    let verified = |message: Message| Beat::verify(&message.encode(&keys[0]), &keys).unwrap();
    let row = Row::default();
    row.assign_service(WHO, 0);
    assert_eq!(verified(beat(1, 9)).land(&row, 5), Err(NoSession));
    row.open_session(&beat(1, 9), 5, false);
    assert_eq!(verified(beat(1, 9)).land(&row, 6), Ok(BeatFate::Duplicate));
    assert_eq!(verified(beat(2, 9)).land(&row, 7), Ok(BeatFate::Ok));
    assert_eq!(verified(beat(3, 8)).land(&row, 8), Err(NoSession));
    assert_eq!((row.heard().at, row.heard().seq, row.pongs()), (7, 2, 2));

    row.assign_service([11, 23], 0);
    assert_eq!(verified(beat(3, 9)).land(&row, 9), Ok(BeatFate::Stranger));
    assert_eq!(row.pongs(), 0);
}

#[test]
fn fates_stand_in_the_order_of_their_numbers() {
    for (i, fate) in BeatFate::ALL.into_iter().enumerate() {
        assert_eq!(fate as usize, i);
    }
}
