extern crate std;

use std::{collections::HashSet, vec::Vec};

use proptest::prelude::*;

use super::*;

fn row() -> Row {
    let row = Row::default();
    row.assign(Address::from_v4([192, 0, 2, 1]), 4862, 3);
    row
}

#[test]
fn a_new_row_has_nothing_open() {
    let row = row();
    assert!(!row.is_open(0) && !row.is_open(1) && !row.is_open(u32::MAX));
    assert_eq!(row.pong(), (0, 0));
    assert_eq!(row.address(), (Address::from_v4([192, 0, 2, 1]), 4862));
    assert_eq!(row.class(), 3);
}

#[test]
fn a_ping_taken_back_was_none() {
    let row = row();
    let seq = row.open();
    row.take_back(seq);
    assert_eq!(row.sent(), 0);
    assert!(!row.is_open(seq));
    assert_eq!(row.open(), seq);
}

#[test]
fn a_late_duplicate_does_not_make_a_good_pong_late() {
    let row = row();
    let seq = row.open();
    assert!(row.record(seq, 1_000, false, 0, 0));
    assert!(!row.record(seq, 9_000, true, 0, 0));
    assert_eq!(row.answer(seq), Answer::Good);
    assert_eq!(row.pong(), (seq, 1_000));
}

#[test]
fn a_reordered_pong_counts_but_is_not_the_newest() {
    let row = row();
    let (first, second) = (row.open(), row.open());
    assert!(row.record(second, 2_000, false, 7, 8));
    assert!(row.record(first, 9_000, false, 1, 2));
    assert_eq!(row.pong(), (second, 2_000));
    assert_eq!((row.health(), row.boot()), (7, 8));
    assert_eq!(row.pongs(), 2);
}

/// A ping of the model and what its row was told of it.
#[derive(Clone, Copy, Debug)]
enum Event {
    Ping,
    /// The pong of the ping that is this many before the newest.
    Pong {
        back: u32,
        late: bool,
    },
}

proptest! {
    /// The windows tell loss, lateness and duplicates ping by ping, as a set of what came would.
    #[test]
    fn windows_agree_with_a_set(events in proptest::collection::vec(prop_oneof![
        2 => Just(Event::Ping),
        3 => (0..80u32, any::<bool>()).prop_map(|(back, late)| Event::Pong { back, late }),
    ], 1..400)) {
        let row = row();
        let (mut good, mut late) = (HashSet::new(), HashSet::new());
        for event in events {
            match event {
                Event::Ping => { row.open(); }
                Event::Pong { back, late: is_late } => {
                    let seq = row.sent().wrapping_sub(back);
                    let open = back < row.sent() && back < WINDOW;
                    prop_assert_eq!(row.is_open(seq), open);
                    if open {
                        let is_new = !good.contains(&seq) && !late.contains(&seq);
                        prop_assert_eq!(row.record(seq, 1, is_late, 0, 0), is_new);
                        if is_new {
                            if is_late { late.insert(seq) } else { good.insert(seq) };
                        }
                    }
                }
            }
            let open: Vec<u32> = (row.sent().saturating_sub(WINDOW - 1).max(1)..=row.sent()).collect();
            for seq in open {
                let expected = if good.contains(&seq) {
                    Answer::Good
                } else if late.contains(&seq) {
                    Answer::Late
                } else {
                    Answer::None
                };
                prop_assert_eq!(row.answer(seq), expected);
            }
        }
        prop_assert_eq!(row.pongs() as usize, good.len() + late.len());
    }
}
