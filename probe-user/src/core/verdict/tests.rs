use proptest::prelude::*;

use super::{Outcome::*, *};

const POLICY: Policy = Policy {
    critical_after: 2,
    dead_after: 3,
    up_after: 1,
    overload: Overload {
        cpu: 9000,
        memory: u16::MAX,
    },
};

fn run(outcomes: &[Outcome], policy: Policy) -> Standing {
    from(Standing::default(), outcomes, policy)
}

fn from(standing: Standing, outcomes: &[Outcome], policy: Policy) -> Standing {
    outcomes.iter().fold(standing, |standing, &outcome| {
        standing.after(outcome, policy)
    })
}

/// Each row: what happened, in order, and the verdict at the end.
#[test]
fn the_table() {
    let rows: &[(&[Outcome], State)] = &[
        (&[], State::Pending),
        (&[Good], State::Up),
        (&[Missed], State::Pending),
        (&[Late], State::Pending),
        (&[Unsent], State::Pending),
        (&[Missed, Missed], State::Critical),
        (&[Missed, Missed, Missed], State::Dead),
        (&[Late, Late], State::Overloaded),
        (&[Unsent, Unsent], State::Unknown),
        (&[Good, Missed], State::Up),
        (&[Good, Missed, Good, Missed, Good], State::Up),
        (&[Good, Missed, Missed], State::Critical),
        (&[Good, Missed, Unsent, Missed], State::Critical),
        (&[Good, Missed, Missed, Unsent, Missed], State::Dead),
        (&[Good, Missed, Missed, Good], State::Up),
        (&[Good, Late], State::Up),
        (&[Good, Late, Late], State::Overloaded),
        (&[Good, Late, Missed, Late], State::Overloaded),
        (&[Good, Late, Late, Missed], State::Overloaded),
        (&[Good, Late, Late, Missed, Missed], State::Critical),
        (&[Good, Late, Late, Good], State::Up),
        (&[Good, Late, Good, Late], State::Up),
        (&[Missed, Missed, Late], State::Critical),
        (&[Missed, Missed, Late, Late], State::Overloaded),
        (&[Missed, Missed, Missed, Late, Late, Late], State::Dead),
        (&[Missed, Missed, Missed, Good], State::Up),
        (&[Missed, Missed, Missed, Unsent], State::Dead),
        (&[Missed, Missed, Missed, Unsent, Unsent], State::Unknown),
        (
            &[Missed, Missed, Missed, Unsent, Unsent, Missed],
            State::Unknown,
        ),
        (
            &[Missed, Missed, Missed, Unsent, Unsent, Missed, Missed],
            State::Critical,
        ),
        (&[Good, Unsent, Unsent, Late], State::Unknown),
        (&[Good, Unsent, Unsent, Late, Late], State::Overloaded),
        (&[Good, Unsent, Unsent, Good], State::Up),
        (&[Loaded], State::Up),
        (&[Loaded, Loaded], State::Up),
        (&[Loaded, Loaded, Loaded], State::Overloaded),
        (&[Good, Loaded, Good, Loaded], State::Up),
        (&[Good, Loaded, Late], State::Overloaded),
        (&[Good, Loaded, Loaded, Good], State::Up),
        (&[Good, Loaded, Missed, Loaded], State::Overloaded),
        (&[Missed, Missed, Loaded], State::Up),
        (&[Missed, Missed, Missed, Loaded], State::Up),
    ];
    for (outcomes, expected) in rows {
        assert_eq!(run(outcomes, POLICY).state, *expected, "{outcomes:?}");
    }
}

#[test]
fn recovery_takes_up_after_good_pongs_in_a_row() {
    let policy = Policy {
        up_after: 3,
        ..POLICY
    };
    let dead = run(&[Missed; 3], policy);
    assert_eq!(from(dead, &[Good, Good], policy).state, State::Dead);
    assert_eq!(
        from(dead, &[Good, Good, Missed, Good, Good], policy).state,
        State::Dead
    );
    assert_eq!(
        from(dead, &[Good, Good, Late, Good], policy).state,
        State::Dead
    );
    assert_eq!(from(dead, &[Good, Good, Good], policy).state, State::Up);
}

#[test]
fn numbers_and_names_are_those_of_the_metric() {
    for (number, state) in State::ALL.into_iter().enumerate() {
        assert_eq!(state as usize, number);
    }
    assert_eq!(State::Dead.name(), "dead");
}

#[test]
fn overload_is_what_a_host_tells_above_its_policy() {
    let overload = Overload {
        cpu: 9000,
        memory: 9550,
    };
    let health = |cpu: u32, memory: u32| cpu << 16 | memory;
    assert!(!overload.shows(health(9000, 9550)));
    assert!(overload.shows(health(9001, 0)));
    assert!(overload.shows(health(0, 9551)));
    assert!(!overload.shows(u32::MAX), "not known is no load");
    assert!(overload.shows(health(0xffff, 10_000)));
    assert!(!Overload::default().shows(health(10_000, 10_000)));
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![4 => Just(Good), 2 => Just(Loaded), 2 => Just(Late), 4 => Just(Missed), 1 => Just(Unsent)]
}

fn policy() -> impl Strategy<Value = Policy> {
    (2..6u8, 0..5u32, 1..5u8).prop_map(|(critical_after, more, up_after)| Policy {
        critical_after,
        dead_after: u32::from(critical_after) + more,
        up_after,
        ..POLICY
    })
}

proptest! {
    #[test]
    fn one_missed_or_late_or_unsent_ping_changes_nothing(
        history in proptest::collection::vec(outcome(), 0..60), policy in policy(),
        single in prop_oneof![Just(Loaded), Just(Late), Just(Missed), Just(Unsent)],
    ) {
        // After good pongs that settled it, whatever went before.
        let settled = from(run(&history, policy), &vec![Good; policy.up_after.into()], policy);
        prop_assert_eq!(settled.state, State::Up);
        prop_assert_eq!(settled.after(single, policy).state, State::Up);
    }

    #[test]
    fn dead_is_known_at_the_bound_and_not_before(
        history in proptest::collection::vec(outcome(), 0..60), policy in policy(),
    ) {
        let mut standing = run(&history, policy).after(Good, policy);
        let before = standing.state;
        for missed in 1..=policy.dead_after {
            standing = standing.after(Missed, policy);
            prop_assert_eq!(standing.missed, missed);
            prop_assert_eq!(standing.state == State::Dead, missed == policy.dead_after || before == State::Dead);
        }
    }

    #[test]
    fn only_pongs_in_time_raise_the_dead(
        outcomes in proptest::collection::vec(prop_oneof![Just(Late), Just(Missed)], 0..60), policy in policy(),
    ) {
        let dead = run(&vec![Missed; policy.dead_after as usize], policy);
        prop_assert_eq!(from(dead, &outcomes, policy).state, State::Dead);
    }

    #[test]
    fn unsent_pings_are_never_missed(
        history in proptest::collection::vec(outcome(), 0..60), policy in policy(), unsent in 1..20usize,
    ) {
        let before = run(&history, policy);
        let after = from(before, &vec![Unsent; unsent], policy);
        prop_assert!(after.missed <= before.missed);
        prop_assert!(after.state == before.state || after.state == State::Unknown);
    }

    #[test]
    fn a_word_holds_it(history in proptest::collection::vec(outcome(), 0..400), policy in policy()) {
        let standing = run(&history, policy);
        prop_assert_eq!(Standing::from_bits(standing.to_bits()), standing);
    }
}
