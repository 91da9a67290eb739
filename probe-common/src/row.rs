//! One target's row: a cache line that the kernel and the daemon share. A service's row is the same, see [`session`].
//!
//! Each word has one writer at a time but for the windows, which are changed by atomic or/and alone:
//!
//! | field | written by | when |
//! | --- | --- | --- |
//! | address, port, class | the daemon | when the target is added or its address changes |
//! | sent, a window's bit cleared | the transmitting engine | before it sends a ping |
//! | way: the hop in it | the daemon | when routes change |
//! | way: the round in it | the prober | when a target moves on to fresh ports |
//! | pong, a window's bit set, pongs, health, boot | the receiver (XDP or socket) | for a pong that counts |
//!
//! Benign race: two pongs of one target on two CPUs may each write `pong`; either pair is whole, for it is one word.

pub mod session;

use core::sync::atomic::Ordering::Relaxed;

use crate::{
    address::Address,
    word::{AtomicU16, AtomicU32, AtomicU64},
};

/// Pings of one target that can be in flight and told apart: the width of the windows, as in the anti-replay
/// window of RFC 4303 §3.4.3.
pub const WINDOW: u32 = u64::BITS;

/// A target's row: 64 bytes, aligned to them.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Row {
    address: [AtomicU64; 2],
    /// `{seq: 32, rtt_ns: 32}` of the newest pong.
    pong: AtomicU64,
    /// Bit `seq % 64` is set when the pong of ping `seq` has come.
    answered: AtomicU64,
    /// Likewise when it came late.
    late: AtomicU64,
    port: AtomicU16,
    class: AtomicU16,
    sent: AtomicU32,
    pongs: AtomicU32,
    health: AtomicU32,
    boot: AtomicU32,
    /// `{round: 8, hop: 24}`: number of the next hop, 0 = not known, and the round of its ports.
    way: AtomicU32,
}

const _: () = assert!(size_of::<Row>() == 64 && align_of::<Row>() == 64);

/// The bits of a row's way that are the number of its next hop: they tell more hops apart than there are targets.
const HOP: u32 = (1 << 24) - 1;

/// What a row tells of one ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No pong within the timeout, so far.
    None,
    /// A pong in time.
    Good,
    /// A pong within the timeout, but after `late_after`.
    Late,
}

impl Row {
    /// Makes this the row of a new target; forgets all that it held.
    pub fn assign(&self, address: Address, port: u16, class: u16) {
        self.set_address(address, port);
        self.set_class(class);
        for word in [&self.pong, &self.answered, &self.late] {
            word.store(0, Relaxed);
        }
        for half in [&self.sent, &self.pongs, &self.boot] {
            half.store(0, Relaxed);
        }
        self.health.store(u32::MAX, Relaxed);
    }

    /// Frees the row: no pong of a target that is gone can match it, since no host sends from port 0.
    pub fn clear(&self) {
        self.assign(Address::default(), 0, 0);
    }

    /// A target whose name now has another address keeps its counters.
    pub fn set_address(&self, address: Address, port: u16) {
        self.port.store(port, Relaxed);
        for (to, word) in self.address.iter().zip(address.0) {
            to.store(word, Relaxed);
        }
    }

    /// Which class (group and policy) the target is judged by.
    pub fn set_class(&self, class: u16) {
        self.class.store(class, Relaxed);
    }

    /// The number of the target's class.
    #[inline(always)]
    pub fn class(&self) -> u16 {
        self.class.load(Relaxed)
    }

    /// The target's address and port.
    #[inline(always)]
    pub fn address(&self) -> (Address, u16) {
        let [a, b] = &self.address;
        (
            Address([a.load(Relaxed), b.load(Relaxed)]),
            self.port.load(Relaxed),
        )
    }

    /// Number of the next hop that its pings go to, see [`crate::maps::Hop`]; 0 = not known.
    #[inline(always)]
    pub fn hop(&self) -> u32 {
        self.way.load(Relaxed) & HOP
    }

    /// Routes changed: the target's pings now go to another next hop. For the daemon alone: it is the only one that knows
    /// the number that it replaces.
    #[cfg(not(target_arch = "bpf"))]
    pub fn set_hop(&self, number: u32) {
        self.way.fetch_xor(self.hop() ^ number & HOP, Relaxed);
    }

    /// The round of ports that its pings leave from, see [`crate::ports`].
    #[inline(always)]
    pub fn round(&self) -> u8 {
        (self.way.load(Relaxed) >> HOP.trailing_ones()) as u8
    }

    /// From the next ping on they leave from fresh ports.
    pub fn next_round(&self) {
        self.way.fetch_add(HOP + 1, Relaxed);
    }

    /// Sequence number of the last ping sent, which is also how many were: 0 before the first.
    #[inline(always)]
    pub fn sent(&self) -> u32 {
        self.sent.load(Relaxed)
    }

    /// Opens the next ping: its sequence number, with its bit in the windows cleared. To be sent at once, or
    /// taken back.
    #[inline(always)]
    pub fn open(&self) -> u32 {
        let seq = self.sent().wrapping_add(1);
        self.answered.fetch_and(!bit(seq), Relaxed);
        self.late.fetch_and(!bit(seq), Relaxed);
        self.sent.store(seq, Relaxed);
        seq
    }

    /// Takes back the ping that was opened last, because it could not be sent: it was none.
    pub fn take_back(&self, seq: u32) {
        self.sent.store(seq.wrapping_sub(1), Relaxed);
    }

    /// Whether ping `seq` was sent and is still within the window.
    #[inline(always)]
    pub fn is_open(&self, seq: u32) -> bool {
        let sent = self.sent();
        // A row counts 497 days to its wrap even at a ping each 10 ms; there, one ping may count as missed.
        seq != 0 && seq <= sent && sent - seq < WINDOW
    }

    /// Records the pong of an open ping; `false` when its pong had come before.
    #[inline(always)]
    pub fn record(&self, seq: u32, rtt_ns: u32, late: bool, health: u32, boot: u32) -> bool {
        if self.answered.fetch_or(bit(seq), Relaxed) & bit(seq) != 0 {
            return false;
        }
        if late {
            self.late.fetch_or(bit(seq), Relaxed);
        }
        let (newest, _) = self.pong();
        if newest == 0 || (seq.wrapping_sub(newest) as i32) > 0 {
            self.pong.store((seq as u64) << 32 | rtt_ns as u64, Relaxed);
            self.health.store(health, Relaxed);
            self.boot.store(boot, Relaxed);
        }
        self.pongs.fetch_add(1, Relaxed);
        true
    }

    /// Sequence number and round-trip time (ns) of the newest pong; sequence 0: none yet.
    #[inline(always)]
    pub fn pong(&self) -> (u32, u32) {
        let word = self.pong.load(Relaxed);
        ((word >> 32) as u32, word as u32)
    }

    /// How many pings were answered, each counted once.
    pub fn pongs(&self) -> u32 {
        self.pongs.load(Relaxed)
    }

    /// CPU load and memory used as the last pong told them, see [`crate::wire::Message::health`].
    pub fn health(&self) -> u32 {
        self.health.load(Relaxed)
    }

    /// A hash of the host's boot id as the last pong told it, 0 = not known.
    pub fn boot(&self) -> u32 {
        self.boot.load(Relaxed)
    }

    /// What became of ping `seq`, which must be among the last [`WINDOW`] sent.
    pub fn answer(&self, seq: u32) -> Answer {
        if self.answered.load(Relaxed) & bit(seq) == 0 {
            Answer::None
        } else if self.late.load(Relaxed) & bit(seq) == 0 {
            Answer::Good
        } else {
            Answer::Late
        }
    }
}

#[inline(always)]
const fn bit(seq: u32) -> u64 {
    1 << (seq % WINDOW)
}

#[cfg(test)]
mod tests;
