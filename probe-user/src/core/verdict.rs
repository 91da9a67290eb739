//! The verdict: a state machine for each target, fed with what became of each ping.
//!
//! ```text
//!                good × up_after                       late × critical_after
//!   pending ──────────────────────────▶ up ◀──────────────────────────────▶ overloaded
//!      │                                 ▲  good × up_after                      │
//!      │ missed × critical_after         │ good × up_after                       │
//!      └──────────▶ critical ────────────┘ ◀──── missed × critical_after ────────┘
//!                      │ ▲ late: overloaded once late × critical_after
//!   missed × dead_after│
//!                      ▼        unsent × critical_after (from anywhere)
//!                    dead  ───────────────────────────────▶ unknown
//!                      └── good × up_after ──▶ up
//! ```
//!
//! A pong in time that tells of overload counts as late for who is up, and as good for others.
//!
//! Three rules stand above the picture. One single missed or late ping never changes a verdict. A ping that was
//! not sent is not missed. Late pongs never raise the dead: only good ones do.

/// What the daemon holds a target or a service to be. The discriminant is the number that `heartprobe_target_state` carries.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Not yet judged.
    #[default]
    Pending = 0,
    /// Answers in time.
    Up = 1,
    /// Answers, but late, or with a load above its policy's.
    Overloaded = 2,
    /// Missed `critical_after` pings in a row.
    Critical = 3,
    /// Missed `dead_after` pings in a row.
    Dead = 4,
    /// The host answers, its service does not.
    Zombie = 5,
    /// The monitor itself cannot tell.
    Unknown = 6,
}

impl State {
    /// Every state, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Up,
        Self::Overloaded,
        Self::Critical,
        Self::Dead,
        Self::Zombie,
        Self::Unknown,
    ];

    /// The state of this number; `Pending` if there is none.
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Up,
            2 => Self::Overloaded,
            3 => Self::Critical,
            4 => Self::Dead,
            5 => Self::Zombie,
            6 => Self::Unknown,
            _ => Self::Pending,
        }
    }

    /// The value of the `state` label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Up => "up",
            Self::Overloaded => "overloaded",
            Self::Critical => "critical",
            Self::Dead => "dead",
            Self::Zombie => "zombie",
            Self::Unknown => "unknown",
        }
    }

    /// The value of `heartprobe_target_up`: whether the host serves, well or badly.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Up | Self::Overloaded)
    }
}

/// How many pings in a row it takes to change a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Missed in a row until `critical`; also late or loaded in a row until `overloaded`, and unsent in a row until
    /// `unknown`. At least 2, so that one single ping changes nothing.
    pub critical_after: u8,
    /// Missed in a row until `dead`; at least `critical_after`.
    pub dead_after: u32,
    /// Good pongs in a row until `up`; at least 1.
    pub up_after: u8,
    /// A host whose pongs tell more than this is overloaded, too.
    pub overload: Overload,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            critical_after: 2,
            dead_after: 3,
            up_after: 1,
            overload: Overload::default(),
        }
    }
}

/// What of its CPU and memory a host may use, in hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Overload {
    /// CPU load; `u16::MAX`: anything.
    pub cpu: u16,
    /// Memory used; `u16::MAX`: anything.
    pub memory: u16,
}

impl Default for Overload {
    fn default() -> Self {
        Self {
            cpu: u16::MAX,
            memory: u16::MAX,
        }
    }
}

impl Overload {
    /// Whether a host is overloaded that tells this of itself, see [`probe_common::wire::Message::health`]. What is not known
    /// is no load.
    pub fn shows(self, health: u32) -> bool {
        let is_above = |told: u16, most: u16| told != u16::MAX && told > most;
        is_above((health >> 16) as u16, self.cpu) || is_above(health as u16, self.memory)
    }
}

/// What became of one ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its pong came in time.
    Good,
    /// Its pong came in time, but told that the host is overloaded.
    Loaded,
    /// Its pong came within the timeout, but after `late_after`.
    Late,
    /// It was sent and no pong came within the timeout.
    Missed,
    /// It could not be sent, or the monitor could not have heard the pong.
    Unsent,
}

/// A target's verdict and what led to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The verdict.
    pub state: State,
    /// Missed in a row: not broken by a ping that was not sent.
    pub missed: u32,
    /// Good in a row.
    good: u8,
    /// Late or loaded in a row: not broken by a missed ping.
    late: u8,
    /// Unsent in a row.
    unsent: u8,
}

impl Standing {
    /// The standing after one more ping.
    #[must_use]
    pub fn after(self, outcome: Outcome, policy: Policy) -> Self {
        let Self {
            state,
            missed,
            good,
            late,
            unsent,
        } = self;
        let next = match outcome {
            Outcome::Good => Self {
                good: good.saturating_add(1),
                ..Self::in_state(state)
            },
            // Overload is told of who is up; for whoever was not it is a pong in time.
            Outcome::Loaded if !state.is_up() => Self {
                good: good.saturating_add(1),
                ..Self::in_state(state)
            },
            Outcome::Late | Outcome::Loaded => Self {
                late: late.saturating_add(1),
                ..Self::in_state(state)
            },
            Outcome::Missed => Self {
                missed: missed.saturating_add(1),
                late,
                ..Self::in_state(state)
            },
            Outcome::Unsent => Self {
                unsent: unsent.saturating_add(1),
                ..self
            },
        };
        next.judged(policy)
    }

    fn in_state(state: State) -> Self {
        Self {
            state,
            ..Self::default()
        }
    }

    fn judged(self, policy: Policy) -> Self {
        let dead = self.state == State::Dead;
        let state = if self.unsent >= policy.critical_after {
            // What was known is no longer: the next verdict needs evidence of its own.
            return Self {
                unsent: self.unsent,
                ..Self::in_state(State::Unknown)
            };
        } else if self.good >= policy.up_after {
            State::Up
        } else if dead || self.missed >= policy.dead_after {
            State::Dead
        } else if self.missed >= u32::from(policy.critical_after) {
            State::Critical
        } else if self.missed == 0 && self.late >= policy.critical_after {
            State::Overloaded
        } else {
            self.state
        };
        Self { state, ..self }
    }

    /// Whether it answers, and its last ping was answered in time.
    pub const fn is_well(self) -> bool {
        matches!(self.state, State::Up | State::Zombie) && self.good > 0 && self.unsent == 0
    }

    /// Whether the monitor could not send its last ping, or not hear the pong.
    pub const fn is_blind(self) -> bool {
        self.unsent > 0
    }

    /// As one word, which a reader on another thread sees whole.
    pub const fn to_bits(self) -> u64 {
        (self.missed as u64) << 32
            | (self.unsent as u64) << 24
            | (self.late as u64) << 16
            | (self.good as u64) << 8
            | self.state as u64
    }

    /// The standing that [`Standing::to_bits`] made this word of.
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            state: State::from_number(bits as u8),
            missed: (bits >> 32) as u32,
            unsent: (bits >> 24) as u8,
            late: (bits >> 16) as u8,
            good: (bits >> 8) as u8,
        }
    }
}

#[cfg(test)]
mod tests;
