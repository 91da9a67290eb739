use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::core::verdict::Outcome;

const POLICY: Policy = Policy {
    critical_after: 2,
    dead_after: 3,
    up_after: 1,
    overload: crate::core::verdict::Overload {
        cpu: u16::MAX,
        memory: u16::MAX,
    },
};

fn plan() -> Plan {
    Plan::new(250, 500, POLICY)
}

fn after(outcomes: &[Outcome]) -> Standing {
    outcomes.iter().fold(Standing::default(), |standing, &o| {
        standing.after(o, POLICY)
    })
}

#[test]
fn only_who_was_well_is_suspected_before_a_ping_is_missed() {
    use Outcome::{Good, Late, Missed, Unsent};
    let suspected = |sign, outcomes: &[Outcome]| {
        let suspicion = plan().suspect(sign, after(outcomes), None, 7, 6);
        suspicion.is_some()
    };
    assert!(suspected(Sign::Silent, &[Good]));
    for outcomes in [
        &[][..],
        &[Good, Late],
        &[Good, Missed],
        &[Good, Unsent],
        &[Late, Late],
        &[Missed, Missed],
    ] {
        assert!(!suspected(Sign::Silent, outcomes), "{outcomes:?}");
    }
    assert!(suspected(Sign::Missed, &[Good, Missed]));
    assert!(suspected(Sign::Missed, &[Late, Late, Missed]));
    assert!(suspected(Sign::Missed, &[Missed]));
    assert!(!suspected(Sign::Missed, &[Missed; 3]), "it is dead");
}

#[test]
fn whoever_has_answered_since_is_not_suspected() {
    let well = after(&[Outcome::Good]);
    let suspect = |known, seq, newest| plan().suspect(Sign::Silent, well, known, seq, newest);
    assert_eq!(suspect(None, 7, 7), None);
    assert_eq!(suspect(None, 7, 9), None);
    let first = suspect(None, 7, 6);
    assert_eq!(first.map(|first| first.seq), Some(7));
    assert_eq!(suspect(first, 8, 6), None, "it is already");
    let next = suspect(first, 9, 8);
    assert_eq!(next.map(|next| next.seq), Some(9), "that one is over");
}

#[test]
fn pings_leave_until_they_are_all_out_or_it_has_answered() {
    let well = after(&[Outcome::Good]);
    let suspicion = plan().suspect(Sign::Silent, well, None, 7, 6).unwrap();
    let mut all = suspicion;
    let steps = [0; 4].map(|_| all.step(well, 6));
    assert_eq!(steps, [Step::Ping, Step::Ping, Step::Wait, Step::Wait]);
    assert_eq!(all.step(after(&[Outcome::Missed; 3]), 6), Step::End, "dead");

    for newest in [7, 8] {
        let mut answered = suspicion;
        assert_eq!(answered.step(well, 6), Step::Ping);
        assert_eq!(answered.step(well, newest), Step::End);
    }
    let mut blind = suspicion;
    let unsent = after(&[Outcome::Good, Outcome::Unsent]);
    assert_eq!(blind.step(unsent, 6), Step::End, "the monitor cannot tell");
}

/// One target in virtual time.
#[derive(Debug)]
struct World {
    plan: Plan,
    interval: u64,
    timeout: u64,
    policy: Policy,
}

/// What came of it.
#[derive(Debug, Default)]
struct Course {
    /// When it became dead.
    dead_at: Option<u64>,
    /// Confirming pings of each suspicion.
    confirming: Vec<u32>,
    changes: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive(u32),
    Judge(u32),
    Watch(u32),
    Confirm(u32),
    Schedule,
}

impl World {
    /// Runs until `end`; `delay` tells after what time a ping sent then is answered, by its number and the time.
    fn run(&self, end: u64, delay: impl Fn(u32, u64) -> Option<u64>) -> Course {
        let mut course = Course::default();
        let mut queue = BTreeSet::from([(0, Event::Schedule)]);
        let mut delays = BTreeMap::new();
        let (mut sent, mut newest) = (0, 0);
        let mut standing = Standing::default();
        let mut suspicion: Option<Suspicion> = None;
        while let Some((now, event)) = queue.pop_first().filter(|(now, _)| *now < end) {
            let mut sign = None;
            let mut ping = |queue: &mut BTreeSet<_>| {
                sent += 1;
                let taken = delay(sent, now).filter(|delay| *delay <= self.timeout);
                delays.insert(sent, taken);
                queue.extend(taken.map(|delay| (now + delay, Event::Arrive(sent))));
                queue.insert((now + self.timeout, Event::Judge(sent)));
                sent
            };
            match event {
                Event::Schedule => {
                    let seq = ping(&mut queue);
                    queue.insert((now + self.plan.late_after, Event::Watch(seq)));
                    queue.insert((now + self.interval, Event::Schedule));
                }
                Event::Arrive(seq) => newest = newest.max(seq),
                Event::Watch(seq) => {
                    let silent = delays[&seq].is_none_or(|delay| delay > self.plan.late_after);
                    sign = silent.then_some((Sign::Silent, seq));
                }
                Event::Judge(seq) => {
                    let outcome = match delays[&seq] {
                        Some(delay) if delay <= self.plan.late_after => Outcome::Good,
                        Some(_) => Outcome::Late,
                        None => Outcome::Missed,
                    };
                    let before = standing.state;
                    standing = standing.after(outcome, self.policy);
                    course.changes += u32::from(standing.state != before);
                    if standing.state == State::Dead {
                        course.dead_at.get_or_insert(now);
                    }
                    sign = (outcome == Outcome::Missed).then_some((Sign::Missed, seq));
                }
                Event::Confirm(of) => {
                    if let Some(known) = suspicion.as_mut().filter(|known| known.seq == of) {
                        match known.step(standing, newest) {
                            Step::Ping => {
                                ping(&mut queue);
                                *course.confirming.last_mut().unwrap() += 1;
                                queue.insert((now + self.plan.interval, event));
                            }
                            Step::Wait => {
                                queue.insert((now + self.plan.interval, event));
                            }
                            Step::End => suspicion = None,
                        }
                    }
                }
            }
            if let Some((sign, seq)) = sign {
                let new = self.plan.suspect(sign, standing, suspicion, seq, newest);
                if let Some(new) = new {
                    course.confirming.push(0);
                    suspicion = Some(new);
                    queue.insert((now, Event::Confirm(new.seq)));
                }
            }
        }
        course
    }
}

prop_compose! {
    fn world()(
        interval in 100..10_000_u64,
        timeout in 2..=100_u64,
        late in 1..=100_u64,
        confirm in 1..=100_u64,
        critical_after in 2..4_u8,
        more in 0..5_u32,
        up_after in 1..3_u8,
    ) -> World {
        let timeout = interval * timeout / 100;
        let policy = Policy {
            critical_after,
            dead_after: u32::from(critical_after) + more,
            up_after,
            ..POLICY
        };
        World {
            plan: Plan::new((timeout * late / 100).max(1), (interval * confirm / 100).max(1), policy),
            interval,
            timeout,
            policy,
        }
    }
}

proptest! {
    #[test]
    fn who_answers_in_time_gets_no_further_ping(world in world(), share in 0..=100_u64) {
        let delay = world.plan.late_after * share / 100;
        let course = world.run(world.interval * 50, |_, _| Some(delay));
        prop_assert_eq!(course.confirming, []);
        prop_assert_eq!(course.changes, 1, "pending, up");
    }

    /// Whatever is lost and late, no suspicion costs more than it may.
    #[test]
    fn no_suspicion_has_more_pings_than_a_death_takes(
        world in world(),
        fates in proptest::collection::vec(proptest::option::weighted(0.7, 0..150_u64), 1..60),
    ) {
        let delay = |seq: u32, _| fates[seq as usize % fates.len()].map(|share| world.timeout * share / 100);
        let course = world.run(world.interval * 100, delay);
        prop_assert!(course.confirming.iter().all(|&pings| pings < world.policy.dead_after));
    }

    #[test]
    fn one_lost_ping_changes_nothing(world in world(), lost in 10..20_u32) {
        let course = world.run(world.interval * 50, |seq, _| (seq != lost).then_some(0));
        prop_assert_eq!(course.changes, 1, "pending, up");
        prop_assert_eq!(course.confirming, [1]);
    }

    /// A host that answered in time until its death is dead in the time that `check-config` tells.
    #[test]
    fn a_death_is_known_in_time(world in world(), death in 20..4_000_u64) {
        let death = world.interval * death / 100;
        // Well before it dies: its first ping was judged.
        let death = death.max(world.timeout + 1);
        let course = world.run(death + world.interval * 1_000, |_, now| (now < death).then_some(0));
        let World { plan, interval, timeout, policy } = world;
        let plain = interval * u64::from(policy.dead_after) + timeout;
        let confirmed = interval + plan.late_after + plan.interval * u64::from(policy.dead_after - 2) + timeout;
        let took = course.dead_at.map(|at| at - death);
        prop_assert!(took.is_some_and(|took| took <= plain.min(confirmed)), "{took:?} of {confirmed}");
    }

    /// Of one that was ill before, the first sign is a missed ping.
    #[test]
    fn a_death_after_an_illness_is_known_in_time(
        world in world(),
        fates in proptest::collection::vec(proptest::option::weighted(0.8, 0..=100_u64), 1..60),
        death in 1_000..4_000_u64,
    ) {
        let death = world.interval * death / 100;
        let delay = |seq: u32, now: u64| {
            let share = fates[seq as usize % fates.len()].filter(|_| now < death)?;
            Some(world.timeout * share / 100)
        };
        let course = world.run(death + world.interval * 1_000, delay);
        let World { plan, interval, timeout, policy } = world;
        let bound = interval + timeout + plan.interval * u64::from(policy.dead_after - 2) + timeout;
        prop_assert!(course.dead_at.is_some_and(|at| at <= death + bound), "{:?} of {bound} after {death}", course.dead_at);
    }
}
