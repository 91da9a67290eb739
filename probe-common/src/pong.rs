//! The rules by which a pong is judged: one source for the XDP program and for the daemon's sockets.

use crate::{
    address::Address,
    clock::Exchange,
    maps::{Class, Fate, Settings},
    row::Row,
    wire::{Kind, Message, Packet},
};

/// A message that carries one of our keys' tags, is a pong and is of our epoch.
///
/// What is left to check needs its row: [`Pong::land`].
#[derive(Clone, Copy, Debug)]
pub struct Pong {
    message: Message,
}

impl Pong {
    /// Checks everything that needs no row. The tag comes first: of a message that is not from the fleet nothing
    /// else can be believed.
    #[inline(always)]
    pub fn verify(packet: &Packet, settings: &Settings) -> Result<Self, Fate> {
        let Ok(message) = packet.message() else {
            return Err(Fate::Malformed);
        };
        if !matches!(message.kind, Kind::Pong) {
            return Err(Fate::Malformed);
        }
        if packet.signer(&settings.keys).is_none() {
            return Err(Fate::Forged);
        }
        if message.epoch != settings.epoch || message.target >= settings.rows {
            return Err(Fate::Stale);
        }
        Ok(Self { message })
    }

    /// The number of the row that it belongs to.
    #[inline(always)]
    pub fn target(&self) -> u32 {
        self.message.target
    }

    /// Judges it against its target's row and records it there if it counts; with the round-trip time in ns where
    /// that is known to be true. `now` is the monotonic time (ns) at which it was received.
    #[inline(always)]
    pub fn land(
        &self,
        row: &Row,
        class: &Class,
        source: (Address, u16),
        now: u64,
    ) -> (Fate, Option<u32>) {
        let message = &self.message;
        if row.address() != source {
            return (Fate::Forged, None);
        }
        // Clocks of two CPUs may differ by some ns: never below zero.
        let rtt = now.saturating_sub(message.time);
        if rtt > class.timeout_ns as u64 || !row.is_open(message.seq) {
            return (Fate::Stale, None);
        }
        let rtt = rtt as u32;
        let late = rtt > class.late_after_ns;
        if !row.record(message.seq, rtt, late, message.health, message.boot) {
            return (Fate::Duplicate, None);
        }
        (if late { Fate::Late } else { Fate::Ok }, Some(rtt))
    }

    /// What it tells of its host's clock, if it is the newest one, which has landed with this round-trip time (ns).
    #[inline(always)]
    pub fn exchange(&self, row: &Row, rtt: u32) -> Option<Exchange> {
        let message = &self.message;
        if message.received == 0 || row.pong().0 != message.seq {
            return None;
        }
        let Message {
            seq,
            time,
            received,
            sent,
            ..
        } = *message;
        Exchange::new(seq, time, received, sent, rtt)
    }
}

#[cfg(test)]
mod tests;
