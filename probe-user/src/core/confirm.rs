//! Confirmation: a target that seems silent is asked again at once and often, instead of once an interval.
//!
//! The first sign is a ping whose pong is not there after `late_after`; of a target that was not well before, it is a missed
//! ping. From then on further pings leave, the first at once, the others `confirm_interval` apart, until a pong of the suspected
//! ping or of a newer one has come, or `dead_after` - 1 of them are out: with the suspected ping, as many as a death takes. They
//! are judged like any other ping, so all rules of the verdict hold.

use super::verdict::{Policy, Standing, State};

/// More pings of a target than this must not be in flight by confirmation: half of what its row can tell apart, see
/// [`probe_common::row::WINDOW`].
pub const MOST_IN_FLIGHT: u32 = probe_common::row::WINDOW / 2;

/// How the targets of a class are confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// A ping without a pong for so long is the first sign, ns.
    pub late_after: u64,
    /// Between two confirming pings, ns.
    pub interval: u64,
    /// How many of them there are for one suspicion at the most.
    pub most: u32,
}

/// Why a target may be suspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A ping's pong is not there after `late_after`.
    Silent,
    /// A ping was missed.
    Missed,
}

/// What is to be done about a suspected target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send it a ping, and ask again after the plan's interval.
    Ping,
    /// Only ask again after the plan's interval: all pings are out.
    Wait,
    /// Nothing any more: it answers, it is dead, or the monitor cannot tell.
    End,
}

/// A target that is suspected to be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// The ping that it did not answer.
    pub seq: u32,
    /// Confirming pings that are still to be sent.
    left: u32,
}

impl Plan {
    /// With this policy.
    pub fn new(late_after: u64, interval: u64, policy: Policy) -> Self {
        Self {
            late_after,
            interval,
            most: policy.dead_after - 1,
        }
    }

    /// Whether a sign makes a target of this standing suspected, which is `known` to be already for another ping. `seq` is the
    /// ping without a pong, `newest` the one that the newest pong answered.
    pub fn suspect(
        self,
        sign: Sign,
        standing: Standing,
        known: Option<Suspicion>,
        seq: u32,
        newest: u32,
    ) -> Option<Suspicion> {
        let may_be = match sign {
            // Whoever is late as a rule would be confirmed without end.
            Sign::Silent => standing.is_well(),
            Sign::Missed => standing.state != State::Dead,
        };
        let is_known = known.is_some_and(|known| !known.is_over(newest));
        (may_be && !is_known && newest < seq).then_some(Suspicion {
            seq,
            left: self.most,
        })
    }
}

impl Suspicion {
    /// What is to be done now, at the beginning and then once each interval of the plan.
    pub fn step(&mut self, standing: Standing, newest: u32) -> Step {
        if self.is_over(newest) || standing.state == State::Dead || standing.is_blind() {
            Step::End
        } else if self.left == 0 {
            Step::Wait
        } else {
            self.left -= 1;
            Step::Ping
        }
    }

    fn is_over(self, newest: u32) -> bool {
        newest >= self.seq
    }
}

#[cfg(test)]
mod tests;
