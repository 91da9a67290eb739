//! A simulated fleet: what becomes of a ping is a pure function of the seed, the host, the ping's number and the time. So the
//! program that answers for the fleet and the simulator that judges the monitor's verdicts know the same truth.

use crate::address::Address;

/// The part that a host plays.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Answers every ping at once.
    Well = 0,
    /// Never answers.
    Dead = 1,
    /// Answers for a time, then is silent for as long, over and over.
    Flapping = 2,
    /// Loses each ping with the same probability.
    Lossy = 3,
    /// Answers every ping after a delay.
    Late = 4,
    /// Is well but for one time, in which it is silent with all others of this part.
    Outage = 5,
}

impl Part {
    /// Every part but [`Part::Well`], which is for all that play none of these.
    pub const ILL: [Self; 5] = [
        Self::Dead,
        Self::Flapping,
        Self::Lossy,
        Self::Late,
        Self::Outage,
    ];

    /// As a report calls a host that plays it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Dead => "dead",
            Self::Flapping => "flapping",
            Self::Lossy => "lossy",
            Self::Late => "late",
            Self::Outage => "in the outage",
        }
    }
}

/// What becomes of a ping. The discriminant is its place in the counters.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A pong, at once.
    AtOnce = 0,
    /// A pong after the delay: for a socket to send, since XDP cannot wait.
    Later = 1,
    /// No pong.
    None = 2,
}

impl Reply {
    /// Every reply, in the order of the counters.
    pub const ALL: [Self; 3] = [Self::AtOnce, Self::Later, Self::None];
}

/// A time in which a host does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Whether it answers.
    pub answers: bool,
    /// When that began, ns of the monotonic clock; 0 = it was never otherwise.
    pub since: u64,
}

/// A fleet of neighbouring addresses, and how many of its hosts play which part. All times in ns of the monotonic clock.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Simulation {
    /// The address of host 0; the others follow it.
    pub first: Address,
    /// Whatever is drawn by lot is drawn from it.
    pub seed: u64,
    /// When flapping began.
    pub begin: u64,
    /// How long a flapping host answers, and then is silent; not 0.
    pub flap: u64,
    /// When the outage begins, and when it is over.
    pub outage: [u64; 2],
    /// How many hosts there are.
    pub hosts: u32,
    /// How many of them play each part of [`Part::ILL`]; together no more than there are hosts.
    pub ill: [u32; Part::ILL.len()],
    /// How many pings of a million a lossy host loses.
    pub loss_ppm: u32,
    /// From [`stride`]: what spreads the parts over the fleet.
    pub stride: u32,
}

impl Simulation {
    /// The number of the host with this address, if it is one of the fleet.
    #[inline(always)]
    pub const fn number(&self, address: Address) -> Option<u32> {
        let (Address([high, low]), Address([first_high, first])) = (address, self.first);
        let number = u64::from_be(low).wrapping_sub(u64::from_be(first));
        if high == first_high && number < self.hosts as u64 {
            Some(number as u32)
        } else {
            None
        }
    }

    /// The address of a host.
    pub const fn address(&self, number: u32) -> Address {
        let Address([high, first]) = self.first;
        let low = u64::from_be(first).wrapping_add(number as u64);
        Address([high, low.to_be()])
    }

    /// The part that a host plays. Each part is played by exactly as many hosts as it is told, whatever the seed: they draw
    /// ranks of which no two have the same.
    #[inline(always)]
    pub fn part(&self, number: u32) -> Part {
        let drawn = (number as u64).wrapping_mul(self.stride as u64) + (self.seed as u32) as u64;
        let mut rank = drawn.checked_rem(self.hosts as u64).unwrap_or(0);
        for (part, count) in Part::ILL.into_iter().zip(self.ill) {
            if rank < count as u64 {
                return part;
            }
            rank -= count as u64;
        }
        Part::Well
    }

    /// What becomes of ping `seq` to a host at the time `now`.
    #[inline(always)]
    pub fn reply(&self, number: u32, seq: u32, now: u64) -> Reply {
        let part = self.part(number);
        let answers = match part {
            Part::Well => true,
            Part::Late => return Reply::Later,
            Part::Lossy => !self.loses(number, seq),
            Part::Dead | Part::Flapping | Part::Outage => self.phase(part, number, now).answers,
        };
        if answers { Reply::AtOnce } else { Reply::None }
    }

    /// Whether a lossy host loses ping `seq`.
    #[inline(always)]
    pub const fn loses(&self, number: u32, seq: u32) -> bool {
        let lot = draw(self.seed, (number as u64) << 32 | seq as u64) >> 32;
        (lot * 1_000_000) >> 32 < self.loss_ppm as u64
    }

    /// The phase that a host of this part is in at the time `now`. What a lossy or late host does is no matter of time: it
    /// answers.
    #[inline(always)]
    pub fn phase(&self, part: Part, number: u32, now: u64) -> Phase {
        let [from, until] = self.outage;
        let (answers, since) = match part {
            Part::Well | Part::Lossy | Part::Late => (true, 0),
            Part::Dead => (false, 0),
            Part::Outage if now < from => (true, 0),
            Part::Outage if now < until => (false, from),
            Part::Outage => (true, until),
            Part::Flapping => {
                let flap = if self.flap == 0 { 1 } else { self.flap };
                let lot = draw(self.seed, number as u64);
                let at = now.saturating_sub(self.begin).wrapping_add(lot % flap);
                let turn = (at / flap).wrapping_add(lot >> 63);
                (turn.is_multiple_of(2), now.saturating_sub(at % flap))
            }
        };
        Phase { answers, since }
    }
}

/// What [`Simulation::stride`] is for so many hosts: it has no divisor in common with their number.
pub fn stride(seed: u64, hosts: u32) -> u32 {
    let hosts = hosts.max(1);
    let first = (draw(seed, u64::MAX) % hosts as u64) as u32;
    (first..hosts)
        .find(|&stride| is_coprime(stride, hosts))
        .unwrap_or(1)
}

const fn is_coprime(mut a: u32, mut b: u32) -> bool {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): number `lot` of the sequence
/// that begins at the seed.
#[inline(always)]
const fn draw(seed: u64, lot: u64) -> u64 {
    let z = seed.wrapping_add(lot.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests;
