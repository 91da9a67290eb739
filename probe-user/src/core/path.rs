//! Paths: where routers spread flows over several, each source port takes its own, and a broken one loses the pings of its port
//! alone.

/// Outcomes of one path that must be known before it is compared with the others.
const ENOUGH: u32 = 16;

/// A path must lose this share more than the others do.
const APART: f64 = 0.2;

/// By how many standard errors the shares must differ: of a million targets with the same loss on every path, few reach it.
const ERRORS: f64 = 4.0;

/// The last 31 outcomes of one target's pings by one path: the newest is the lowest bit, set if it was lost; above the oldest
/// stands a set bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History(u32);

impl Default for History {
    fn default() -> Self {
        Self(1)
    }
}

impl History {
    /// With one more outcome.
    #[must_use]
    pub fn with(self, lost: bool) -> Self {
        let full = self.0 & 1 << 31;
        Self(self.0 << 1 | u32::from(lost) | full)
    }

    /// Its bits, to be stored; 0 stands for an empty one too.
    pub fn to_bits(self) -> u32 {
        self.0
    }

    /// What [`History::to_bits`] gave.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits.max(1))
    }

    /// How many outcomes it holds.
    fn known(self) -> u32 {
        self.0.ilog2()
    }

    /// How many of them were lost.
    fn lost(self) -> u32 {
        self.0.count_ones() - 1
    }
}

/// The path that loses more than the others together, and by more than chance: its place and the share that it loses, of 1. The
/// two shares are compared as independent samples of one proportion (the pooled two-proportion z-test).
pub fn worst(paths: &[History]) -> Option<(usize, f64)> {
    let share = |lost: u32, known: u32| f64::from(lost) / f64::from(known);
    let compared = paths.iter().enumerate();
    let compared = compared.filter(|(_, path)| path.known() >= ENOUGH);
    let (place, path) = compared.max_by(|(_, a), (_, b)| {
        share(a.lost(), a.known()).total_cmp(&share(b.lost(), b.known()))
    })?;
    let sum = |count: fn(History) -> u32| paths.iter().map(|&path| count(path)).sum::<u32>();
    let (lost, known) = (path.lost(), path.known());
    let (all_lost, all_known) = (sum(History::lost), sum(History::known));
    let (others_lost, others_known) = (all_lost - lost, all_known - known);
    if others_known < ENOUGH {
        return None;
    }
    let apart = share(lost, known) - share(others_lost, others_known);
    let pooled = share(all_lost, all_known);
    let spread = 1.0 / f64::from(known) + 1.0 / f64::from(others_known);
    let error = (pooled * (1.0 - pooled) * spread).sqrt();
    (apart >= APART && apart > ERRORS * error).then(|| (place, share(lost, known)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn history(outcomes: impl IntoIterator<Item = bool>) -> History {
        outcomes.into_iter().fold(History::default(), History::with)
    }

    proptest! {
        #[test]
        fn the_last_31_outcomes_count(outcomes: Vec<bool>) {
            let history = history(outcomes.iter().copied());
            let last = &outcomes[outcomes.len().saturating_sub(31)..];
            prop_assert_eq!(history.known() as usize, last.len());
            prop_assert_eq!(history.lost() as usize, last.iter().filter(|lost| **lost).count());
            prop_assert_eq!(History::from_bits(history.to_bits()), history);
        }

        /// However much all lose alike, in whatever order.
        #[test]
        fn loss_on_every_path_is_none_of_one(paths in 1..=16_usize, each in 0..=31_u32) {
            let even = vec![history((0..31).map(|i| i < each)); paths];
            prop_assert_eq!(worst(&even), None);
        }

        #[test]
        fn a_broken_path_is_found(paths in 2..=16_usize, broken in 0..16_usize, known in 16..40_u32) {
            let broken = broken % paths;
            let paths: Vec<_> = (0..paths).map(|path| history((0..known).map(|_| path == broken))).collect();
            prop_assert_eq!(worst(&paths), Some((broken, 1.0)));
        }
    }

    #[test]
    fn a_path_that_loses_half_is_found_and_chance_is_not() {
        let path = |lost| history((0..31).map(|i| i < lost));
        let found = worst(&[path(1), path(0), path(15), path(1)]);
        assert_eq!(found.map(|(place, _)| place), Some(2));
        assert_eq!(worst(&[path(3), path(1), path(8), path(2)]), None);
        assert_eq!(
            worst(&[path(0), path(0), path(6), path(0)]),
            None,
            "apart by less than 0.2"
        );
    }

    #[test]
    fn few_outcomes_say_nothing() {
        let path = |known, lost: bool| history((0..known).map(|_| lost));
        assert_eq!(worst(&[]), None);
        assert_eq!(worst(&[path(31, true)]), None, "there is no other");
        assert_eq!(worst(&[path(15, true), path(15, false)]), None);
        assert!(worst(&[path(16, true), path(16, false)]).is_some());
    }
}
