use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

const TERMS: Terms = Terms {
    timeout: 15 * SECOND,
    interval: 0,
    critical_after: 2,
};

fn silence(beat: Option<u64>, heard: u64) -> Silence {
    Silence {
        beat,
        heard,
        deaf: false,
    }
}

#[test]
fn the_configuration_goes_before_the_sender_and_that_before_the_usual() {
    let asks = Terms {
        timeout: 0,
        ..TERMS
    };
    assert_eq!(asks.bounds(0).timeout, USUAL_TIMEOUT);
    assert_eq!(asks.bounds(30_000).timeout, 30 * SECOND);
    assert_eq!(
        asks.bounds(1).timeout,
        SECOND / 10,
        "nobody is looked at all the time"
    );
    assert_eq!(asks.bounds(u32::MAX).timeout, 7 * 86_400 * SECOND);
    assert_eq!(TERMS.bounds(30_000).timeout, 15 * SECOND);
    assert_eq!(TERMS.bounds(0).overdue, 10 * SECOND, "two beats of 5 s");
    let slow = Terms {
        interval: 14 * SECOND,
        ..TERMS
    };
    assert_eq!(slow.bounds(0).overdue, 15 * SECOND, "no later than its end");
}

#[test]
fn beats_that_stop_make_it_critical_then_dead_and_one_beat_brings_it_back() {
    let bounds = TERMS.bounds(0);
    let at = |before, age| judge(before, silence(Some(age), age), bounds);
    assert_eq!(at(State::Pending, 0), (State::Up, Some(10 * SECOND)));
    assert_eq!(at(State::Up, 9 * SECOND), (State::Up, Some(SECOND)));
    assert_eq!(at(State::Up, 10 * SECOND), (State::Critical, Some(RECHECK)));
    assert_eq!(at(State::Critical, 15 * SECOND), (State::Dead, None));
    assert_eq!(at(State::Up, 16 * SECOND), (State::Dead, None));
    assert_eq!(at(State::Dead, SECOND).0, State::Up);
}

#[test]
fn who_never_beats_is_dead_after_the_timeout() {
    let bounds = TERMS.bounds(0);
    let at = |heard| judge(State::Pending, silence(None, heard), bounds);
    assert_eq!(at(0), (State::Pending, Some(15 * SECOND)));
    assert_eq!(at(14 * SECOND), (State::Pending, Some(SECOND)));
    assert_eq!(at(15 * SECOND), (State::Dead, None));
}

#[test]
fn what_the_monitor_could_not_hear_is_not_missed() {
    let bounds = TERMS.bounds(0);
    let deaf = Silence {
        deaf: true,
        ..silence(Some(20 * SECOND), 20 * SECOND)
    };
    assert_eq!(judge(State::Up, deaf, bounds).0, State::Unknown);
    // It hears again: the last beat is as old as ever, but silence counts anew.
    let again = |heard| silence(Some(60 * SECOND), heard);
    assert_eq!(
        judge(State::Unknown, again(SECOND), bounds),
        (State::Unknown, Some(RECHECK))
    );
    assert_eq!(judge(State::Up, again(SECOND), bounds).0, State::Unknown);
    // After a short one there was no time to end in.
    let short = silence(Some(12 * SECOND), SECOND);
    assert_eq!(
        judge(State::Up, short, bounds),
        (State::Up, Some(9 * SECOND))
    );
    assert_eq!(
        judge(State::Unknown, again(15 * SECOND), bounds),
        (State::Dead, None)
    );
    assert_eq!(
        judge(State::Dead, again(SECOND), bounds).0,
        State::Dead,
        "an outage raises nobody"
    );
}

#[test]
fn a_replayed_sender_is_not_admitted_and_a_restarted_one_is() {
    let mut senders = Senders::default();
    assert!(senders.admit(7, 100));
    senders.note(7, 100);
    assert!(!senders.admit(7, 100) && !senders.admit(7, 50));
    assert!(senders.admit(7, 101), "the service was started anew");
    assert!(senders.admit(8, 1), "the host was booted anew");
    senders.note(8, 1);
    assert!(
        !senders.admit(7, 100),
        "what was heard before the boot is not believed after it"
    );
    assert!(
        senders.admit(7, 200),
        "two hosts that take turns under one name"
    );
    senders.note(0, 9);
    assert!(senders.admit(0, 1), "who tells no boot is believed");
    senders.note(8, (1 << 48) - 1);
    assert!(senders.admit(8, 1), "time wraps");
}

proptest! {
    /// Looked at when it asks to be, a service is dead exactly when its timeout has passed since the last beat, and never with
    /// beats in time.
    #[test]
    fn dead_exactly_after_the_timeout(gaps in proptest::collection::vec(1..20 * SECOND, 1..40)) {
        let bounds = TERMS.bounds(0);
        let (mut state, mut now, mut beat, mut look) = (State::Pending, 0, None, Some(bounds.timeout));
        let since = |now: u64, beat: Option<u64>| silence(beat.map(|at| now - at), now - beat.unwrap_or(0));
        for gap in gaps {
            let next = now + gap;
            while let Some(at) = look.filter(|&at| at < next) {
                let last = beat.unwrap_or(0);
                let (after, again) = judge(state, since(at, beat), bounds);
                let silent = at - last;
                prop_assert_eq!(after == State::Dead, silent >= bounds.timeout);
                prop_assert_eq!(after == State::Critical, beat.is_some() && silent >= bounds.overdue && silent < bounds.timeout);
                prop_assert!(again.is_none_or(|again| again > 0));
                (state, look) = (after, again.map(|again| at + again));
            }
            now = next;
            beat = Some(now);
            let (after, again) = judge(state, since(now, beat), bounds);
            prop_assert_eq!(after, State::Up);
            (state, look) = (after, again.map(|again| now + again));
        }
    }

    #[test]
    fn the_newest_boots_are_remembered(notes in proptest::collection::vec((1..6_u32, 0..50_u64), 0..60)) {
        let mut senders = Senders::default();
        let mut newest: Vec<(u32, u64)> = Vec::new();
        for (boot, time) in notes {
            senders.note(boot, time);
            newest.retain(|&(known, _)| known != boot);
            newest.insert(0, (boot, time));
        }
        for &(boot, time) in newest.iter().take(BOOTS) {
            prop_assert!(!senders.admit(boot, time));
            prop_assert!(senders.admit(boot, time + 1));
        }
    }
}
