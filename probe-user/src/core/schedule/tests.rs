use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;

fn collect(schedule: &mut Schedule, now: u64) -> Vec<(u32, u64)> {
    let mut due = Vec::new();
    schedule.due(now, |target, at| due.push((target, at)));
    due
}

#[test]
fn nothing_is_never_due() {
    let mut schedule = Schedule::new();
    assert_eq!(schedule.next_due(), None);
    assert!(collect(&mut schedule, 1_000 * MS).is_empty());
}

#[test]
fn a_block_is_not_pinged_in_order() {
    let mut schedule = Schedule::new();
    (0..1000).for_each(|target| schedule.set(target, 1000 * MS, 0));
    let order: Vec<u32> = collect(&mut schedule, 1000 * MS)
        .into_iter()
        .map(|(t, _)| t)
        .collect();
    let neighbours = order
        .windows(2)
        .filter(|w| w[0].abs_diff(w[1]) == 1)
        .count();
    assert!(neighbours < 10, "{neighbours} neighbours follow each other");
}

#[test]
fn a_stall_is_not_made_up_for_by_a_burst() {
    let mut schedule = Schedule::new();
    (0..100).for_each(|target| schedule.set(target, 100 * MS, 0));
    let due = collect(&mut schedule, 60_000 * MS);
    assert_eq!(due.len(), 100);
    assert!(due.iter().all(|&(_, at)| at > 59_900 * MS));
}

/// How often a second the loop is woken.
fn wakes(targets: u32, interval: u64) -> usize {
    let mut schedule = Schedule::new();
    (0..targets).for_each(|target| schedule.set(target, interval, 0));
    collect(&mut schedule, interval);
    let mut wakes = 0;
    while let Some(at) = schedule.next_due().filter(|&at| at <= interval + 1000 * MS) {
        assert!(!collect(&mut schedule, at).is_empty());
        wakes += 1;
    }
    wakes
}

#[test]
fn a_small_fleet_wakes_seldom_and_a_large_one_each_millisecond() {
    assert_eq!(wakes(1, 1000 * MS), 1);
    assert_eq!(wakes(1000, 1000 * MS), 32);
    assert!((30..35).contains(&wakes(10_000, 5000 * MS)));
    assert_eq!(wakes(64_000, 1000 * MS), 1000);
}

#[test]
fn a_target_changes_its_interval() {
    let mut schedule = Schedule::new();
    schedule.set(3, 100 * MS, 0);
    schedule.set(3, 10 * MS, 0);
    collect(&mut schedule, 10 * MS);
    let pings: usize = (2..=11)
        .map(|i| collect(&mut schedule, 10 * i * MS).len())
        .sum();
    assert_eq!(pings, 10);
    schedule.remove(3);
    schedule.remove(3);
    assert_eq!(schedule.next_due(), None);
}

proptest! {
    /// Every target once an interval, at the same phase each time, however the clock advances.
    #[test]
    fn once_an_interval_at_a_steady_phase(
        intervals in proptest::collection::vec(10..400u64, 1..60),
        steps in proptest::collection::vec(1..10 * MS, 100..600), start in 0..u64::from(u32::MAX) * 1000,
    ) {
        let mut schedule = Schedule::new();
        for (target, ms) in intervals.iter().enumerate() {
            schedule.set(target as u32, ms * MS, start);
        }
        let mut now = start;
        let mut pings: HashMap<u32, Vec<u64>> = HashMap::new();
        for step in steps {
            now += step;
            for (target, at) in collect(&mut schedule, now) {
                prop_assert!(at <= now && at > start && now - at <= step, "due {at}, handed out at {now}");
                pings.entry(target).or_default().push(at);
            }
            prop_assert!(schedule.next_due().is_some_and(|at| at > now));
        }
        for (target, ms) in intervals.iter().enumerate() {
            let times = pings.remove(&(target as u32)).unwrap_or_default();
            // Its first may have been due in a tick that had begun before.
            prop_assert!(times.len() as u64 >= (now - start).saturating_sub(LONGEST_TICK) / (ms * MS));
            prop_assert!(times.windows(2).all(|w| w[1] - w[0] == ms * MS));
        }
    }

    /// However many there are and whichever left, no slot holds over one more than it must.
    #[test]
    fn evenly_spread(count in 1..3000u32, removed in proptest::collection::vec(0..3000u32, 0..500)) {
        let mut schedule = Schedule::new();
        (0..count).for_each(|target| schedule.set(target, 500 * MS, 0));
        let gone: HashSet<u32> = removed.into_iter().filter(|&target| target < count).collect();
        for &target in &gone {
            schedule.remove(target);
        }
        (0..gone.len() as u32).for_each(|new| schedule.set(count + new, 500 * MS, 0));
        let wheel = &schedule.wheels[0];
        let most = wheel.slots.iter().map(Vec::len).max().unwrap_or(0);
        prop_assert!(most <= (count as usize).div_ceil(wheel.slots.len()), "{most}");
    }

    /// Any part of the interval gets its share of the pings, within the few that a whole slot or two make.
    #[test]
    fn any_part_of_the_interval_gets_its_share(count in 100..2000u32, from in 0..900usize) {
        let mut schedule = Schedule::new();
        (0..count).for_each(|target| schedule.set(target, 1000 * MS, 0));
        let part = schedule.wheels[0].slots[from..from + 100].iter().map(Vec::len).sum::<usize>() as f64;
        let share = f64::from(count) / 10.0;
        prop_assert!((part - share).abs() <= 8.0, "{part} of {share}");
    }

    #[test]
    fn others_keep_their_phase(count in 2..300u32, gone in 0..300u32) {
        let mut schedule = Schedule::new();
        (0..count).for_each(|target| schedule.set(target, 100 * MS, 0));
        let before: HashMap<u32, u64> = collect(&mut schedule, 100 * MS).into_iter().collect();
        schedule.remove(gone % count);
        schedule.set(count + 5, 100 * MS, 100 * MS);
        for (target, at) in collect(&mut schedule, 200 * MS) {
            if let Some(earlier) = before.get(&target) {
                prop_assert_eq!(at - earlier, 100 * MS);
            }
        }
    }
}
