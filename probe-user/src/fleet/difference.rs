//! What changes from one fleet to the next, so that a reload touches nobody else.

use super::Fleet;

/// One target or service that changes, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is new.
    Add(u32),
    /// It stays, but at another address or in another class.
    Change(u32),
    /// It is gone.
    Remove(u32),
    /// A service, by its own number, is new, changes, or is gone.
    Service(u32),
}

/// The steps from `old` to `new`, in the order of the numbers: targets first, then services. A number that both have is the same
/// target or service.
pub fn difference(old: &Fleet, new: &Fleet) -> Vec<Step> {
    let target = |fleet: &'_ Fleet, number: usize| {
        fleet
            .targets
            .get(number)?
            .as_ref()
            .map(|t| (t.address, t.class))
    };
    let numbers = 0..old.targets.len().max(new.targets.len());
    let steps = numbers.filter_map(|at| {
        let number = at as u32;
        match (target(old, at), target(new, at)) {
            (None, Some(_)) => Some(Step::Add(number)),
            (Some(_), None) => Some(Step::Remove(number)),
            (before, after) => (before != after).then_some(Step::Change(number)),
        }
    });
    steps.chain(of_services(old, new)).collect()
}

fn of_services<'a>(old: &'a Fleet, new: &'a Fleet) -> impl Iterator<Item = Step> + 'a {
    // Where a host is known by its address, its services are found by that too.
    let service = |fleet: &'a Fleet, at: usize| {
        let service = fleet.services.get(at)?.as_ref()?;
        let host = fleet.host_of(service)?;
        Some((service, host.address, host.class))
    };
    let numbers = 0..old.services.len().max(new.services.len());
    numbers
        .filter(move |&at| service(old, at) != service(new, at))
        .map(|at| Step::Service(at as u32))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fleet::Target;

    /// A target by the last byte of its address and its class; none if the class is none.
    fn fleet(targets: &[(u8, Option<u16>)]) -> Fleet {
        let target = |&(host, class): &(u8, Option<u16>)| {
            class.map(|class| Target {
                name: None,
                address: Some(([192, 0, 2, host], 4862).into()),
                class,
            })
        };
        Fleet {
            targets: targets.iter().map(target).collect(),
            ..Fleet::default()
        }
    }

    proptest! {
        #[test]
        fn the_steps_lead_from_the_one_to_the_other(
            old in proptest::collection::vec((0..3_u8, proptest::option::of(0..2_u16)), 0..40),
            new in proptest::collection::vec((0..3_u8, proptest::option::of(0..2_u16)), 0..40),
        ) {
            let (old, new) = (fleet(&old), fleet(&new));
            let mut targets = old.targets.clone();
            targets.resize(targets.len().max(new.targets.len()), None);
            let wanted = |number: u32| new.targets.get(number as usize).cloned().flatten();
            for step in difference(&old, &new) {
                let (Step::Add(number) | Step::Change(number) | Step::Remove(number) | Step::Service(number)) = step;
                let at = &mut targets[number as usize];
                let was = std::mem::replace(at, wanted(number));
                prop_assert_eq!(matches!(step, Step::Add(_)), was.is_none());
                prop_assert_eq!(matches!(step, Step::Remove(_)), at.is_none());
                prop_assert_ne!(&was, at);
            }
            targets.truncate(new.targets.len());
            prop_assert_eq!(targets, new.targets);
        }
    }
}
