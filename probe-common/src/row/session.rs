//! A service's row: the same cache line, in which the receiver writes beats.
//!
//! | field | of a target | of a service |
//! |---|---|---|
//! | address | where it is | the identities of host and service |
//! | pong | sequence and round-trip time of the newest pong | sequence of the newest beat, and the session timeout that it asks for |
//! | answered | which pings were answered | which beats have come |
//! | late | which were late | when the newest beat came |
//! | sent | sequence of the last ping | epoch of the sender whose session is open; 0 = none is |
//! | pongs | pings answered | beats counted |
//! | way, port | next hop and round; its port | the sender's time of the newest beat |
//!
//! The receiver takes beats of the open session alone. Which session may be opened is for the daemon to decide, which is the
//! only one that opens and closes them: so the kernel needs no memory of senders that were.
//!
//! Benign race: two beats of one service on two CPUs may slide the window at once; one of them may then be counted twice or
//! not at all.

use core::sync::atomic::Ordering::Relaxed;

use super::{Row, WINDOW, bit};
use crate::{address::Address, beat::BeatFate, wire::Message};

/// A sender's time is kept in units of 2^8 ns: so its 48 bits last for over two years.
const TIME_SHIFT: u32 = 8;
const TIME_BITS: u32 = 48;

/// The newest beat of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When it came, ns of the monitor's monotonic clock; 0: none has come since the session was opened or closed.
    pub at: u64,
    /// Its sequence number.
    pub seq: u32,
    /// The session timeout that it asks for, ms; 0 = the monitor's own.
    pub session: u32,
    /// The sender's time, see [`sender_time`].
    pub time: u64,
}

/// A sender's monotonic time (ns) in the units in which [`Heard::time`] has it, see [`is_later`].
#[inline(always)]
pub const fn sender_time(nanos: u64) -> u64 {
    nanos >> TIME_SHIFT & ((1 << TIME_BITS) - 1)
}

/// Whether a sender's time is later than another: as serial numbers are (RFC 1982), for it wraps after two years.
pub const fn is_later(time: u64, than: u64) -> bool {
    (time.wrapping_sub(than) << (u64::BITS - TIME_BITS)).cast_signed() > 0
}

impl Row {
    /// Makes this the row of a new service, known by the identities of its host and its own.
    pub fn assign_service(&self, identity: [u64; 2], class: u16) {
        self.assign(Address(identity), 0, class);
        self.way.store(0, Relaxed);
    }

    /// The service's beats now come under this identity; its counters stay.
    pub fn set_identity(&self, identity: [u64; 2]) {
        for (to, word) in self.address.iter().zip(identity) {
            to.store(word, Relaxed);
        }
    }

    /// The identities of the host and of the service.
    #[inline(always)]
    pub fn identity(&self) -> [u64; 2] {
        self.address().0.0
    }

    /// The epoch of the sender whose session is open; 0: none is.
    #[inline(always)]
    pub fn session(&self) -> u32 {
        self.sent.load(Relaxed)
    }

    /// Opens the session of this beat's sender. One that `goes_on` after a silence has told already, or never will, what came
    /// before this beat. For the daemon alone.
    pub fn open_session(&self, beat: &Message, now: u64, goes_on: bool) {
        self.close_session();
        self.answered
            .store(if goes_on { u64::MAX } else { 0 }, Relaxed);
        self.note(beat, now);
        self.answered.fetch_or(bit(beat.seq), Relaxed);
        self.pongs.fetch_add(1, Relaxed);
        // Last: from now on the kernel takes its beats.
        self.sent.store(beat.epoch, Relaxed);
    }

    /// Ends the session: whoever beats next has to be judged anew. For the daemon alone.
    pub fn close_session(&self) {
        self.sent.store(0, Relaxed);
    }

    /// Records a beat of the open session that came at `now` (ns).
    #[inline(always)]
    pub fn hear(&self, beat: &Message, now: u64) -> BeatFate {
        let (newest, _) = self.pong();
        let ahead = beat.seq.wrapping_sub(newest) as i32;
        if ahead > 0 {
            // The bits of those between are of beats that were, 64 ago.
            let passed = if ahead as u32 >= WINDOW {
                u64::MAX
            } else {
                ((1 << ahead) - 1_u64).rotate_left(newest.wrapping_add(1) % WINDOW)
            };
            self.answered.fetch_and(!passed, Relaxed);
            self.answered.fetch_or(bit(beat.seq), Relaxed);
            self.note(beat, now);
        } else if ahead.unsigned_abs() >= WINDOW {
            return BeatFate::Stale;
        } else if self.answered.fetch_or(bit(beat.seq), Relaxed) & bit(beat.seq) != 0 {
            return BeatFate::Duplicate;
        }
        self.pongs.fetch_add(1, Relaxed);
        BeatFate::Ok
    }

    /// Notes in a target's row what a beat of its host told, where no pongs tell it. For the daemon alone.
    pub fn tell(&self, health: u32, boot: u32) {
        self.health.store(health, Relaxed);
        self.boot.store(boot, Relaxed);
    }

    /// The newest beat.
    pub fn heard(&self) -> Heard {
        let (seq, session) = self.pong();
        Heard {
            at: self.late.load(Relaxed),
            seq,
            session,
            time: (self.way.load(Relaxed) as u64) << 16 | self.port.load(Relaxed) as u64,
        }
    }

    /// How many of the beats from number `first` on that may still come, among the last [`WINDOW`], have not.
    pub fn gaps(&self, first: u32) -> u32 {
        let (newest, _) = self.pong();
        let known = newest.wrapping_sub(first).saturating_add(1).min(WINDOW);
        let asked = u64::MAX >> (WINDOW - known);
        let oldest = newest.wrapping_sub(known).wrapping_add(1);
        (asked.rotate_left(oldest % WINDOW) & !self.answered.load(Relaxed)).count_ones()
    }

    /// Notes the newest beat.
    #[inline(always)]
    fn note(&self, beat: &Message, now: u64) {
        let newest = (beat.seq as u64) << 32 | beat.session as u64;
        self.pong.store(newest, Relaxed);
        self.late.store(now, Relaxed);
        self.health.store(beat.health, Relaxed);
        self.boot.store(beat.boot, Relaxed);
        let time = sender_time(beat.time);
        self.way.store((time >> 16) as u32, Relaxed);
        self.port.store(time as u16, Relaxed);
    }
}

#[cfg(test)]
mod tests;
