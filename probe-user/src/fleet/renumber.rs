//! From one configuration to the next: who stays keeps the number, and with it row, counters, verdict and phase.

use std::{
    cell::LazyCell,
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
};

use super::{Fleet, Group, Target};

/// By what a target is known again: its group and its name, or its address if it has no name of its own.
#[derive(PartialEq, Eq, Hash)]
enum Identity<'a> {
    Name(u32, &'a str),
    Address(u32, Option<SocketAddr>),
}

fn identity(group: u32, target: &Target) -> Identity<'_> {
    match &target.name {
        Some(name) => Identity::Name(group, name),
        None => Identity::Address(group, target.address),
    }
}

/// How far behind the last one found a target is looked for before all are.
const NEAR: usize = 16;

/// Gives the targets, groups and classes of `new` the numbers that they have in `old`; its services are to be placed after that. Numbers that `old` uses and
/// `new` does not stay free until the next time, so that a pong still on its way finds nobody in their place.
pub fn renumber(new: Fleet, old: &Fleet) -> Fleet {
    let Fleet {
        groups,
        classes,
        detail,
        targets,
        services: _,
    } = new;
    let mut fleet = Fleet {
        groups: old
            .groups
            .iter()
            .map(|group| Group {
                gone: true,
                ..group.clone()
            })
            .collect(),
        classes: old.classes.clone(),
        detail,
        targets: Vec::new(),
        services: Vec::new(),
    };
    let group_numbers: Vec<u32> = groups
        .into_iter()
        .map(|g| place_group(&mut fleet.groups, g))
        .collect();
    let class_numbers: Vec<u16> = classes
        .into_iter()
        .map(|mut class| {
            class.group = group_numbers[class.group as usize];
            position_or_push(&mut fleet.classes, class) as u16
        })
        .collect();

    fleet.targets.resize_with(old.targets.len(), || None);
    let numbers = LazyCell::new(|| Numbers::of(old));
    let mut fresh = Vec::new();
    let mut next = 0;
    for mut target in targets.into_iter().flatten() {
        target.class = class_numbers[usize::from(target.class)];
        let group = fleet.classes[usize::from(target.class)].group;
        let who = identity(group, &target);
        // Most stand where they stood: behind the one before.
        let mut near = old.targets.iter().enumerate().skip(next).take(NEAR);
        let is_known = |known: &Target| identity(old.class_of(known).group, known) == who;
        let number = near
            .find(|(_, known)| known.as_ref().is_some_and(is_known))
            .map(|(number, _)| number)
            .or_else(|| numbers.get(&who));
        match number {
            Some(number) => {
                fleet.targets[number] = Some(target);
                next = number + 1;
            }
            None => fresh.push(target),
        }
    }
    let free = (0..).filter(|&number| old.targets.get(number).is_none_or(Option::is_none));
    for (number, target) in free.zip(fresh) {
        if fleet.targets.len() <= number {
            fleet.targets.resize_with(number + 1, || None);
        }
        fleet.targets[number] = Some(target);
    }
    fleet
}

/// Everyone's number by who it is. Of a million targets a hash map would take several times the memory and time.
struct Numbers<'a> {
    fleet: &'a Fleet,
    /// In order; above the number's 32 bits are those of a hash.
    hashes: Vec<u64>,
}

impl<'a> Numbers<'a> {
    fn of(fleet: &'a Fleet) -> Self {
        let of_target = |(number, target)| {
            hash(&identity(fleet.class_of(target).group, target)) | u64::from(number)
        };
        let mut hashes: Vec<u64> = fleet.iter().map(of_target).collect();
        hashes.sort_unstable();
        Self { fleet, hashes }
    }

    fn get(&self, who: &Identity<'_>) -> Option<usize> {
        let hash = hash(who);
        let first = self.hashes.partition_point(|&known| known < hash);
        self.hashes[first..]
            .iter()
            .take_while(|&&known| known >> 32 == hash >> 32)
            .map(|&known| known as u32 as usize)
            .find(|&number| {
                let target = self.fleet.targets[number].as_ref();
                target.is_some_and(|t| identity(self.fleet.class_of(t).group, t) == *who)
            })
    }
}

/// The upper 32 bits of a hash.
fn hash(who: &Identity<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    who.hash(&mut hasher);
    hasher.finish() & !u64::from(u32::MAX)
}

fn place_group(groups: &mut Vec<Group>, group: Group) -> u32 {
    let at = groups
        .iter()
        .position(|known| known.name == group.name)
        .unwrap_or_else(|| {
            groups.push(group.clone());
            groups.len() - 1
        });
    groups[at] = group;
    at as u32
}

fn position_or_push<T: PartialEq>(all: &mut Vec<T>, one: T) -> usize {
    all.iter()
        .position(|known| *known == one)
        .unwrap_or_else(|| {
            all.push(one);
            all.len() - 1
        })
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use proptest::prelude::*;

    use super::*;
    use crate::{core::verdict::Policy, fleet::Class};

    /// A fleet of groups, each with an interval in seconds and the last bytes of its targets' addresses.
    fn fleet(groups: &[(&str, u64, &[u8])]) -> Fleet {
        let mut fleet = Fleet::default();
        for (number, &(name, interval, hosts)) in groups.iter().enumerate() {
            fleet.groups.push(Group {
                name: name.into(),
                labels: vec![],
                gone: false,
            });
            fleet.classes.push(Class {
                group: number as u32,
                interval: Duration::from_secs(interval),
                timeout: Duration::from_secs(1),
                late_after: Duration::from_millis(250),
                policy: Policy::default(),
                pinged: true,
                services: [].into(),
                confirm_interval: None,
            });
            fleet.targets.extend(hosts.iter().map(|&host| {
                let address = Some(([192, 0, 2, host], 4862).into());
                Some(Target {
                    name: None,
                    address,
                    class: number as u16,
                })
            }));
        }
        fleet
    }

    /// Who has which number: group, target, interval.
    fn numbers(fleet: &Fleet) -> HashMap<(String, String), (u32, u64)> {
        fleet
            .iter()
            .map(|(number, target)| {
                let group = fleet.group_of(target).name.to_string();
                (
                    (group, target.label().to_string()),
                    (number, fleet.class_of(target).interval.as_secs()),
                )
            })
            .collect()
    }

    #[test]
    fn who_stays_keeps_the_number() {
        let old = fleet(&[("a", 5, &[1, 2, 3]), ("b", 1, &[1, 9])]);
        let new = renumber(
            fleet(&[("c", 5, &[1]), ("b", 2, &[9]), ("a", 5, &[4, 3, 1])]),
            &old,
        );
        let (before, after) = (numbers(&old), numbers(&new));
        for who in [("a", "192.0.2.1"), ("a", "192.0.2.3"), ("b", "192.0.2.9")] {
            let who = (who.0.to_string(), who.1.to_string());
            assert_eq!(before[&who].0, after[&who].0, "{who:?}");
        }
        assert_eq!(
            after[&("b".into(), "192.0.2.9".into())].1,
            2,
            "with its new interval"
        );
        assert_eq!(new.len(), 5);
        assert!(!new.groups[0].gone && !new.groups[1].gone && !new.groups[2].gone);
    }

    #[test]
    fn a_number_rests_once_before_another_gets_it() {
        let first = fleet(&[("a", 5, &[1, 2])]);
        let second = renumber(fleet(&[("a", 5, &[2, 3])]), &first);
        assert_eq!(numbers(&second)[&("a".into(), "192.0.2.3".into())].0, 2);
        let third = renumber(fleet(&[("a", 5, &[2, 3, 4])]), &second);
        assert_eq!(numbers(&third)[&("a".into(), "192.0.2.4".into())].0, 0);
    }

    #[test]
    fn a_group_that_left_is_gone_and_may_come_back() {
        let first = fleet(&[("a", 5, &[1]), ("b", 5, &[2])]);
        let second = renumber(fleet(&[("b", 5, &[2])]), &first);
        assert!(second.groups[0].gone);
        let third = renumber(fleet(&[("b", 5, &[2]), ("a", 5, &[1])]), &second);
        assert!(!third.groups[0].gone);
        assert_eq!(third.classes.len(), 2, "classes do not pile up");
    }

    proptest! {
        /// Whatever the reload, exactly the new targets are there, each under the policy that it asks for.
        #[test]
        fn nobody_is_lost(
            old in proptest::collection::btree_set(any::<u8>(), 0..40),
            new in proptest::collection::btree_set(any::<u8>(), 0..40),
        ) {
            let (old, new): (Vec<u8>, Vec<u8>) = (old.into_iter().collect(), new.into_iter().collect());
            let before = fleet(&[("a", 5, &old), ("b", 1, &[7])]);
            let wanted = fleet(&[("b", 3, &[7]), ("a", 9, &new)]);
            let expected: HashMap<_, u64> =
                numbers(&wanted).into_iter().map(|(who, (_, interval))| (who, interval)).collect();
            let after = numbers(&renumber(wanted, &before));
            let got: HashMap<_, u64> =
                after.iter().map(|(who, &(_, interval))| (who.clone(), interval)).collect();
            prop_assert_eq!(got, expected);
            for (who, (number, _)) in numbers(&before) {
                if let Some(&(kept, _)) = after.get(&who) {
                    prop_assert_eq!(kept, number);
                }
            }
        }
    }
}
