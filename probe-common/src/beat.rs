//! The rules by which a beat is judged: one source for the XDP program and for the daemon's sockets.

use crate::{
    row::Row,
    siphash::Key,
    wire::{Kind, Message, Packet},
};

/// What became of a beat. The discriminant is its place in [`BeatFates`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeatFate {
    /// It counts.
    Ok = 0,
    /// It had come before.
    Duplicate = 1,
    /// Too far behind the newest one, or of a sender that had ended before another began.
    Stale = 2,
    /// Wrong tag.
    Forged = 3,
    /// Not a beat at all: wrong length, magic or kind, or without an epoch.
    Malformed = 4,
    /// Of a service that this monitor does not know.
    Stranger = 5,
}

impl BeatFate {
    /// Every fate, in the order of [`BeatFates`].
    pub const ALL: [Self; 6] = [
        Self::Ok,
        Self::Duplicate,
        Self::Stale,
        Self::Forged,
        Self::Malformed,
        Self::Stranger,
    ];

    /// The value of the `fate` label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Forged => "forged",
            Self::Malformed => "malformed",
            Self::Stranger => "stranger",
        }
    }

    /// Whether the monitor has recorded the beat, now or before: then its sender may be told so.
    pub const fn is_recorded(self) -> bool {
        matches!(self, Self::Ok | Self::Duplicate)
    }
}

/// How many beats met each [`BeatFate`]: `[fate as usize]`.
pub type BeatFates = [u64; BeatFate::ALL.len()];

/// The beat's sender has no session: whether it may have one is for the daemon to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSession;

/// A message that carries one of our keys' tags and is a beat.
#[derive(Clone, Copy, Debug)]
pub struct Beat {
    message: Message,
}

impl Beat {
    /// Checks everything that needs no row.
    #[inline(always)]
    pub fn verify(packet: &Packet, keys: &[Key; 2]) -> Result<Self, BeatFate> {
        let Ok(message) = packet.message() else {
            return Err(BeatFate::Malformed);
        };
        if !matches!(message.kind, Kind::Beat) || message.epoch == 0 {
            return Err(BeatFate::Malformed);
        }
        if packet.signer(keys).is_none() {
            return Err(BeatFate::Forged);
        }
        Ok(Self { message })
    }

    /// What it says.
    #[inline(always)]
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// Whom it is for: the identities of the host and of the service.
    #[inline(always)]
    pub const fn identity(&self) -> [u64; 2] {
        [self.message.received, self.message.sent]
    }

    /// Records it in its service's row, if its sender has the session that is open there. `now` is the monotonic time (ns)
    /// at which it was received.
    #[inline(always)]
    pub fn land(&self, row: &Row, now: u64) -> Result<BeatFate, NoSession> {
        // The row may have been given to another service since its number was looked up.
        if row.identity() != self.identity() {
            return Ok(BeatFate::Stranger);
        }
        if row.session() != self.message.epoch {
            return Err(NoSession);
        }
        Ok(row.hear(&self.message, now))
    }
}

#[cfg(test)]
mod tests;
