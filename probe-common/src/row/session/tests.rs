extern crate std;

use std::{collections::HashSet, vec::Vec};

use proptest::prelude::*;

use super::*;

fn beat(seq: u32) -> Message {
    Message {
        session: seq ^ 0xff,
        ..Message::beat(1, 2, seq, 9, u64::from(seq) << TIME_SHIFT)
    }
}

fn row(first: u32) -> Row {
    let row = Row::default();
    row.assign_service([1, 2], 3);
    row.open_session(&beat(first), 1, false);
    row
}

#[test]
fn the_newest_beat_is_what_is_known_of_a_service() {
    let row = row(1);
    assert_eq!((row.session(), row.class(), row.identity()), (9, 3, [1, 2]));
    assert_eq!(row.hear(&beat(5), 50), BeatFate::Ok);
    assert_eq!(row.hear(&beat(4), 60), BeatFate::Ok, "reordered");
    let newest = Heard {
        at: 50,
        seq: 5,
        session: 5 ^ 0xff,
        time: 5,
    };
    assert_eq!((row.heard(), row.pongs()), (newest, 3));
    row.close_session();
    assert_eq!((row.session(), row.heard()), (0, newest), "it is known on");
}

#[test]
fn a_row_is_given_to_a_target_or_a_service_and_forgets_the_other() {
    let row = row(7);
    row.assign(Address::from_v4([192, 0, 2, 1]), 4862, 1);
    assert_eq!((row.sent(), row.pong(), row.pongs()), (0, (0, 0), 0));
    row.assign_service([3, 4], 1);
    assert_eq!((row.heard().at, row.heard().time, row.session()), (0, 0, 0));
}

#[test]
fn times_are_compared_across_their_wrap() {
    let last = (1 << TIME_BITS) - 1;
    assert_eq!(sender_time(u64::MAX), last);
    assert!(is_later(6, 5) && !is_later(5, 5) && !is_later(4, 5));
    assert!(is_later(0, last) && !is_later(last, 0));
    assert_ne!(sender_time(1_000_000), sender_time(1_000_300));
}

#[test]
fn a_session_that_goes_on_does_not_hear_again_what_came_before() {
    let row = row(1);
    assert_eq!(row.hear(&beat(2), 2), BeatFate::Ok);
    row.close_session();
    row.open_session(&beat(5), 9, true);
    for seq in 1..=5 {
        assert_eq!(row.hear(&beat(seq), 10), BeatFate::Duplicate, "{seq}");
    }
    assert_eq!(row.hear(&beat(6), 11), BeatFate::Ok);
    assert_eq!((row.pongs(), row.gaps(5)), (4, 0));
}

proptest! {
    /// Duplicates, gaps and reordering are told apart as a set of what came would, for any first number (also across the wrap).
    #[test]
    fn the_window_agrees_with_a_set(first: u32, steps in proptest::collection::vec(-70..140_i32, 1..300)) {
        let row = row(first);
        let mut came = HashSet::from([first]);
        let mut newest = first;
        for (now, step) in (2..).zip(steps) {
            // Mostly near the newest, at times far ahead.
            let seq = newest.wrapping_add_signed(if step > 70 { step } else { step / 8 });
            let behind = newest.wrapping_sub(seq) as i32;
            let expected = if behind >= WINDOW as i32 {
                BeatFate::Stale
            } else if came.contains(&seq) {
                BeatFate::Duplicate
            } else {
                BeatFate::Ok
            };
            prop_assert_eq!(row.hear(&beat(seq), now), expected);
            if expected == BeatFate::Ok {
                came.insert(seq);
                if behind < 0 {
                    newest = seq;
                    prop_assert_eq!(row.heard().at, now);
                }
            }
        }
        prop_assert_eq!(row.heard().seq, newest);
        prop_assert_eq!(row.pongs() as usize, came.len());
        let listed: Vec<_> = (0..WINDOW).filter(|&back| came.contains(&newest.wrapping_sub(back))).collect();
        prop_assert_eq!(row.answered.load(Relaxed).count_ones() as usize, listed.len());
        let known = newest.wrapping_sub(first).saturating_add(1).min(WINDOW);
        let missing = (0..known).filter(|&back| !came.contains(&newest.wrapping_sub(back)));
        prop_assert_eq!(row.gaps(first) as usize, missing.count());
    }
}
