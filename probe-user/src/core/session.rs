//! A service's session: as long as its beats come in time it lives.
//!
//! ```text
//!             beat                   critical_after beats overdue
//!   pending ────────▶ up ─────────────────────────────▶ critical
//!      │               ▲ ◀──────────── beat ──────────────┤
//!      │               │ beat                             │
//!      │             dead ◀── no beat for the timeout ────┤
//!      └── no beat for the timeout ──▶ dead               │
//!                                     unknown ◀───────────┘ while the monitor cannot hear
//! ```
//!
//! A beat that this box could not have heard is not missed: silence counts from the end of the monitor's own outage on.

use std::ops::RangeInclusive;

use probe_common::row::session::is_later;

use super::verdict::State;

/// The session timeout where neither the configuration nor the sender has one, ns.
pub const USUAL_TIMEOUT: u64 = 15_000_000_000;

/// What a sender may ask for at least and at most, ns: as the configuration may say.
const ASKED: RangeInclusive<u64> = 100_000_000..=7 * 86_400 * 1_000_000_000;

/// How often a service is looked at whose next beat would change its state, ns: beats of an open session tell nobody that they
/// came.
const RECHECK: u64 = 200_000_000;

/// What the configuration says of a service's beats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Without a beat for so long its session ends, ns; 0: as its sender asks, or [`USUAL_TIMEOUT`].
    pub timeout: u64,
    /// Between two beats, ns; 0: a third of the timeout.
    pub interval: u64,
    /// Beats overdue until `critical`.
    pub critical_after: u8,
}

/// What silence means to a service, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// What is expected between two beats.
    pub interval: u64,
    /// Silence that makes it `critical`.
    pub overdue: u64,
    /// Silence that ends its session.
    pub timeout: u64,
}

impl Terms {
    /// What silence means where the sender asks for a session timeout of `asked` ms (0: for none).
    pub fn bounds(self, asked: u32) -> Bounds {
        let timeout = match (self.timeout, asked) {
            (0, 0) => USUAL_TIMEOUT,
            (0, asked) => (u64::from(asked) * 1_000_000).clamp(*ASKED.start(), *ASKED.end()),
            (timeout, _) => timeout,
        };
        let interval = match self.interval {
            0 => timeout / 3,
            interval => interval,
        };
        Bounds {
            interval,
            overdue: (interval * u64::from(self.critical_after)).min(timeout),
            timeout,
        }
    }
}

/// How long a service has been silent, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Since its last beat; `None` if there was none.
    pub beat: Option<u64>,
    /// While the monitor was able to hear: since the last beat, since it was configured, or since the end of the monitor's last
    /// outage, whatever was last.
    pub heard: u64,
    /// Whether the monitor cannot hear now.
    pub deaf: bool,
}

/// The state of a service that was in state `before`, and in how long (ns) to look again: `None` where only a beat can change it.
pub fn judge(before: State, silence: Silence, bounds: Bounds) -> (State, Option<u64>) {
    let Silence { beat, heard, deaf } = silence;
    if let Some(age) = beat
        && age < bounds.overdue
    {
        return (State::Up, Some(bounds.overdue - age));
    }
    // From here on the last beat is too old to say anything.
    if deaf {
        return (State::Unknown, Some(RECHECK));
    }
    if before == State::Dead || heard >= bounds.timeout {
        return (State::Dead, None);
    }
    let to_end = bounds.timeout - heard;
    if beat.is_some_and(|age| age >= bounds.timeout) {
        // For some of that time it could not have been heard.
        return (State::Unknown, Some(to_end.min(RECHECK)));
    }
    match before {
        State::Up if heard < bounds.overdue => (State::Up, Some(bounds.overdue - heard)),
        State::Up | State::Critical => (State::Critical, Some(to_end.min(RECHECK))),
        State::Unknown => (before, Some(to_end.min(RECHECK))),
        _ => (before, Some(to_end)),
    }
}

/// How many boots of its host are remembered for a service.
const BOOTS: usize = 4;

/// The senders that a service had, so that what was heard from one of them is not believed when it is replayed.
///
/// A host's monotonic clock does not go back within a boot: a sender that begins anew tells a later time than any before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Senders {
    /// Boots with the latest time heard from each, the newest first. Boot 0 is none: its senders are believed.
    boots: [(u32, u64); BOOTS],
}

impl Senders {
    /// Notes what was heard last: a boot and the sender's time, see [`probe_common::row::session::sender_time`].
    pub fn note(&mut self, boot: u32, time: u64) {
        if boot == 0 {
            return;
        }
        let known = self.boots.iter().position(|&(known, _)| known == boot);
        let last = known.unwrap_or(BOOTS - 1);
        self.boots[..=last].rotate_right(1);
        self.boots[0] = (boot, time);
    }

    /// Whether a sender that tells this boot and time is none of those before, replayed.
    pub fn admit(&self, boot: u32, time: u64) -> bool {
        let mut boots = self.boots.iter().filter(|_| boot != 0);
        boots
            .find(|&&(known, _)| known == boot)
            .is_none_or(|&(_, last)| is_later(time, last))
    }
}

#[cfg(test)]
mod tests;
