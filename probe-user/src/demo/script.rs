//! What ails each host of the demo, and when: a pure function, so that every run tells the same story.

use std::time::Duration;

/// A host's behaviour at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Answers after this long.
    Answers(Duration),
    /// Does not answer.
    Silent,
}

/// Each host has one trouble in this time, at a moment of its own.
const CYCLE: Duration = Duration::from_secs(90);

/// What can go wrong, how many of a hundred hosts it befalls, and for how long.
const TROUBLES: [(Trouble, u64, Duration); 4] = [
    (Trouble::Dies, 16, Duration::from_secs(9)),
    (Trouble::Slows, 16, Duration::from_secs(9)),
    (Trouble::Stumbles, 10, Duration::from_millis(1300)),
    (Trouble::LosesOne, 20, Duration::from_millis(450)),
];

#[derive(Clone, Copy)]
enum Trouble {
    Dies,
    Slows,
    /// Misses enough to be critical, and comes back before it is dead.
    Stumbles,
    /// A single lost pong, which must change nothing.
    LosesOne,
}

/// How host `number` behaves `at` this time after the demo's start. A slow host takes `slow`.
pub fn mood(number: u32, at: Duration, slow: Duration) -> Mood {
    let dice = mix(number.into());
    let well = Mood::Answers(Duration::from_micros(dice % 40 * (dice % 7) * 30));
    // The first troubles come within seconds: a newcomer should see some at once.
    let begins = Duration::from_millis(dice / 100 % (CYCLE.as_millis() as u64 - 10_000))
        + Duration::from_secs(3);
    let now = Duration::from_millis((at.as_millis() % CYCLE.as_millis()) as u64);
    let mut share = dice % 100;
    for (trouble, of_hundred, lasts) in TROUBLES {
        if share < of_hundred {
            return match trouble {
                _ if now < begins || now >= begins + lasts => well,
                Trouble::Slows => Mood::Answers(slow),
                Trouble::Dies | Trouble::Stumbles | Trouble::LosesOne => Mood::Silent,
            };
        }
        share -= of_hundred;
    }
    well
}

/// How long a service hangs, while its host goes on answering.
const HANGS: Duration = Duration::from_secs(15);

/// One service in so many hangs once in each cycle.
const HANGS_ONE_IN: u64 = 4;

/// Whether the service on host `number` beats `at` this time after the demo's start.
pub fn beats(number: u32, at: Duration) -> bool {
    let dice = mix(u64::from(number) << 32);
    let last = CYCLE.saturating_sub(HANGS).as_millis() as u64;
    let begins = Duration::from_millis(dice / 100 % last);
    let now = Duration::from_millis((at.as_millis() % CYCLE.as_millis()) as u64);
    !dice.is_multiple_of(HANGS_ONE_IN) || now < begins || now >= begins + HANGS
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_millis(150);

    fn share(at: u64, is: impl Fn(Mood) -> bool) -> usize {
        (0..1000)
            .filter(|&n| is(mood(n, Duration::from_secs(at), SLOW)))
            .count()
    }

    #[test]
    fn something_is_to_be_seen_within_seconds_and_ever_after() {
        for at in (8..600).step_by(10) {
            assert!(
                (1..100).contains(&share(at, |m| m == Mood::Silent)),
                "silent at {at} s"
            );
            assert!(
                (1..100).contains(&share(at, |m| m == Mood::Answers(SLOW))),
                "slow at {at} s"
            );
        }
    }

    #[test]
    fn some_service_hangs_at_most_times_and_each_comes_back() {
        let hang = |at| {
            (160..220)
                .filter(|&n| !beats(n, Duration::from_secs(at)))
                .count()
        };
        let seen = (5..95).filter(|&at| hang(at) > 0).count();
        assert!(seen > 80, "{seen} of 90 s");
        assert!(hang(5) > 0, "a newcomer should see one at once");
        assert!((0..90).all(|at| hang(at) < 10));
        for host in 160..220 {
            assert!(
                (0..90).any(|at| beats(host, Duration::from_secs(at))),
                "{host}"
            );
        }
    }

    #[test]
    fn everyone_is_well_at_first() {
        assert_eq!(share(0, |m| m == Mood::Silent), 0);
    }

    #[test]
    fn whoever_dies_comes_back() {
        let silent = |n, at| mood(n, Duration::from_secs(at), SLOW) == Mood::Silent;
        for host in 0..1000 {
            assert!(
                (0..90).any(|at| !silent(host, at)),
                "host {host} is never well"
            );
        }
    }
}
