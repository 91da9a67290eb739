use std::net::{IpAddr, Ipv4Addr};

use probe_common::{
    address::Address,
    simulation::{Reply, stride},
};
use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1000 * SECOND;

fn rules() -> Rules {
    Rules {
        interval: SECOND,
        timeout: SECOND,
        late_after: SECOND / 4,
        delay: SECOND / 2,
        policy: Policy::default(),
    }
}

fn fleet(seed: u64) -> Simulation {
    Simulation {
        first: Address::from(IpAddr::V4(Ipv4Addr::new(198, 18, 0, 0))),
        seed,
        begin: START,
        flap: rules().shortest_phase(),
        outage: [START + 20 * SECOND, START + 30 * SECOND],
        hosts: 100,
        ill: [10; 5],
        loss_ppm: 400_000,
        stride: stride(seed, 100),
    }
}

/// What a monitor without fault tells at the time `now` of a host whose pings leave `slot` after the start, and so many ns
/// after each interval; and what it has sent until then.
fn ideal(fleet: &Simulation, number: u32, slot: u64, now: u64) -> (State, u32) {
    let mut standing = Standing::default();
    let mut pings = 0;
    for seq in 1.. {
        let sent = START + slot + u64::from(seq - 1) * rules().interval;
        if sent > now {
            break;
        }
        pings = seq;
        if sent + rules().timeout <= now {
            let outcome = match fleet.reply(number, seq, sent) {
                Reply::AtOnce => Outcome::Good,
                Reply::Later => Outcome::Late,
                Reply::None => Outcome::Missed,
            };
            standing = standing.after(outcome, Policy::default());
        }
    }
    (standing.state, pings)
}

/// Looks at that monitor every so many ns for a minute, `lag` behind.
fn watch(
    fleet: &Simulation,
    step: u64,
    lag: u64,
    mut tell: impl FnMut(u32, State) -> State,
) -> Judge {
    let mut judge = Judge::new(rules());
    let settled = START + SECOND + rules().warm_up();
    for now in (START..START + 60 * SECOND).step_by(step as usize) {
        if now >= settled {
            judge.settled = Some(settled);
        }
        let mut scrape = Scrape {
            between: [now, now],
            ..Scrape::default()
        };
        for number in 0..fleet.hosts {
            let slot = u64::from(number) * SECOND / u64::from(fleet.hosts);
            let (state, pings) = ideal(fleet, number, slot, now.saturating_sub(lag));
            scrape.states.push(tell(number, state));
            scrape.pings.push(pings);
        }
        judge.look(fleet, &scrape);
    }
    judge
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn nothing_is_wrong_with_a_monitor_without_fault(seed: u64, step in SECOND / 3..2 * SECOND, lag in 0..GRACE) {
        let judge = watch(&fleet(seed), step, lag, |_, state| state);
        prop_assert_eq!(&judge.wrong, &BTreeMap::new());
        prop_assert!(judge.unknown.is_empty());
        let Detections { deaths, critical, dead } = judge.detections;
        // The outage, and most of those that flap.
        prop_assert!(deaths >= 15 && critical.len() >= 15 && dead.len() >= 15);
        let latest = rules().bound(State::Dead) + step + lag;
        prop_assert!(dead.iter().all(|&after| after <= latest), "{:?}", dead);
        // Ten more flap, and may die but seconds before the end.
        prop_assert!(deaths as usize - dead.len() <= 10);
    }
}

#[test]
fn a_dead_host_that_is_not_found_is_told() {
    let fleet = fleet(1);
    let blind = watch(&fleet, SECOND, 0, |_, _| State::Up);
    for part in [
        Part::Dead,
        Part::Outage,
        Part::Flapping,
        Part::Late,
        Part::Lossy,
    ] {
        let found = blind
            .wrong
            .values()
            .filter(|wrong| wrong.part == part)
            .count();
        let least = if part == Part::Lossy { 2 } else { 10 };
        assert!(found >= least, "{part:?}: {found}");
    }
    assert!(
        blind
            .wrong
            .values()
            .all(|wrong| wrong.held == State::Up && wrong.part != Part::Well)
    );
}

#[test]
fn a_host_held_dead_that_is_not_is_told() {
    let fleet = fleet(1);
    for held in [
        State::Critical,
        State::Dead,
        State::Overloaded,
        State::Pending,
    ] {
        let judge = watch(&fleet, SECOND, 0, |number, state| {
            if fleet.part(number) == Part::Well {
                held
            } else {
                state
            }
        });
        assert_eq!(judge.wrong.len(), 50, "{held:?}");
        assert!(
            judge
                .wrong
                .values()
                .all(|wrong| wrong.answered && wrong.held == held)
        );
    }
}

#[test]
fn one_that_cannot_be_judged_is_no_false_verdict() {
    let judge = watch(&fleet(1), SECOND, 0, |number, state| {
        if number == 7 { State::Unknown } else { state }
    });
    assert!(judge.wrong.is_empty());
    assert_eq!(judge.unknown.keys().collect::<Vec<_>>(), [&7]);
}

#[test]
fn a_monitor_that_is_slow_is_told() {
    let judge = watch(&fleet(1), SECOND, 3 * SECOND, |_, state| state);
    assert!(judge.wrong.values().any(|wrong| wrong.part == Part::Outage));
}
