//! How a host's clock stands to the monitor's, and how long each way takes: by what pongs tell of their host's time.
//!
//! A ping leaves at t1 and its pong arrives at t4 by the monitor's clock; the host received it at t2 and answered at t3 by its own
//! (RFC 5905, section 8). Where the monitor's times are monotonic and the host's count from the Unix epoch, the difference of
//! the monitor's own two clocks, `wall` below, leads from the one to the other.

use core::sync::atomic::Ordering::Relaxed;

use crate::word::AtomicU64;

/// What a pong told of its host's clock, in two words; beside the [`Row`](crate::row::Row) of its target.
///
/// Each word has one writer at a time, the receiver of the pong. A reader may meet the words of two pongs: then the delay back is
/// off by as much as their round trips differ.
#[repr(C, align(16))]
#[derive(Debug, Default)]
pub struct Clock {
    /// t2 - t1, ns modulo 2^64.
    there: AtomicU64,
    /// `{seq: 32, delay_ns: 32}`, see [`Exchange::delay`]; sequence 0: nothing was told yet.
    exchange: AtomicU64,
}

const _: () = assert!(size_of::<Clock>() == 16);

/// The times of one ping and its pong, as far as they are known without the monitor's own clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The ping's sequence number.
    pub seq: u32,
    /// t2 - t1, ns modulo 2^64: from the monitor's monotonic clock to the host's real-time clock.
    pub there: u64,
    /// (t4 - t1) - (t3 - t2), ns: the time that both ways took together.
    pub delay: u32,
}

impl Exchange {
    /// Of a pong with a round-trip time (ns) that came for a ping sent at `time`; `None` if it tells no times, or such as cannot
    /// be: a host cannot have had the ping for longer than it was away.
    #[inline(always)]
    pub fn new(seq: u32, time: u64, received: u64, sent: u64, rtt: u32) -> Option<Self> {
        let held = sent.wrapping_sub(received);
        if received == 0 || sent == 0 || held > rtt as u64 {
            return None;
        }
        Some(Self {
            seq,
            there: received.wrapping_sub(time),
            delay: rtt - held as u32,
        })
    }

    /// How long the ping took to the host, ns, if both clocks were right. `wall` (ns) added to the monitor's monotonic clock gives
    /// its real-time clock.
    pub fn forward(self, wall: u64) -> i64 {
        self.there.wrapping_sub(wall) as i64
    }

    /// How long the pong took back, ns, likewise.
    pub fn back(self, wall: u64) -> i64 {
        i64::from(self.delay).saturating_sub(self.forward(wall))
    }

    /// How long both took, there and back, ns; `None` where one of them is negative, which proves the clocks apart.
    pub fn ways(self, wall: u64) -> Option<[u64; 2]> {
        let [there, back] = [self.forward(wall), self.back(wall)];
        Some([there.try_into().ok()?, back.try_into().ok()?])
    }

    /// By how much the host's clock is ahead of the monitor's, ns: ((t2 - t1) + (t3 - t4)) / 2. No more is known of it than that
    /// it is true to half of the delay.
    pub fn offset(self, wall: u64) -> i64 {
        let twice = i128::from(self.forward(wall)) - i128::from(self.back(wall));
        (twice / 2) as i64
    }
}

impl Clock {
    /// Notes what the newest pong told.
    #[inline(always)]
    pub fn set(&self, exchange: Exchange) {
        self.there.store(exchange.there, Relaxed);
        let word = (exchange.seq as u64) << 32 | exchange.delay as u64;
        self.exchange.store(word, Relaxed);
    }

    /// What was told last.
    pub fn get(&self) -> Option<Exchange> {
        let word = self.exchange.load(Relaxed);
        (word != 0).then(|| Exchange {
            seq: (word >> 32) as u32,
            there: self.there.load(Relaxed),
            delay: word as u32,
        })
    }

    /// Forgets it.
    pub fn clear(&self) {
        self.exchange.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A host whose clock is ahead by `ahead`, by ways of these lengths; all in ns.
    fn exchange(ahead: i64, forward: u32, held: u32, back: u32, wall: u64) -> Option<Exchange> {
        let sent = 5_000_000_000;
        let host = |time: u64| time.wrapping_add(wall).wrapping_add_signed(ahead);
        let arrived = sent + u64::from(forward);
        let answered = arrived + u64::from(held);
        let rtt = forward + held + back;
        Exchange::new(7, sent, host(arrived), host(answered), rtt)
    }

    #[test]
    fn what_cannot_be_is_not_known() {
        assert_eq!(Exchange::new(1, 0, 0, 0, 9), None);
        assert_eq!(Exchange::new(1, 0, 5, 0, 9), None);
        assert_eq!(Exchange::new(1, 0, 5, 4, 9), None, "sent before received");
        assert_eq!(Exchange::new(1, 0, 5, 15, 9), None, "held for too long");
        assert_eq!(Exchange::new(1, 0, 5, 14, 9).map(|e| e.delay), Some(0));
        let clock = Clock::default();
        assert_eq!(clock.get(), None);
        clock.set(Exchange::new(1, 0, 5, 14, 9).unwrap());
        assert_eq!(clock.get(), Exchange::new(1, 0, 5, 14, 9));
        clock.clear();
        assert_eq!(clock.get(), None);
    }

    proptest! {
        #[test]
        fn ways_are_exact_with_right_clocks(
            forward in 0..1_000_000_000_u32, held in 0..1_000_000_u32, back in 0..1_000_000_000_u32,
        ) {
            let wall = 1_790_000_000_000_000_000;
            let exchange = exchange(0, forward, held, back, wall).unwrap();
            prop_assert_eq!(exchange.ways(wall), Some([forward.into(), back.into()]));
        }

        #[test]
        fn no_way_is_negative(ahead in -2_000_000_i64..2_000_000, forward in 0..1_000_000_u32, back in 0..1_000_000_u32) {
            let wall = 1_790_000_000_000_000_000;
            let exchange = exchange(ahead, forward, 1_000, back, wall).unwrap();
            let there = i64::from(forward) + ahead;
            let all = i64::from(forward + back);
            prop_assert_eq!(exchange.ways(wall).is_some(), (0..=all).contains(&there));
        }

        /// However unlike the ways, half of their sum bounds the error.
        #[test]
        fn the_offset_is_true_to_half_of_the_delay(
            ahead in -4_000_000_000_000_000_000..4_000_000_000_000_000_000_i64,
            forward in 0..1_000_000_000_u32, back in 0..1_000_000_000_u32,
        ) {
            let wall = 1_790_000_000_000_000_000;
            let exchange = exchange(ahead, forward, 1_000, back, wall).unwrap();
            let error = exchange.offset(wall) - ahead;
            prop_assert!(error.unsigned_abs() <= u64::from(forward + back) / 2 + 1, "{error}");
        }

        #[test]
        fn no_times_make_it_panic(seq: u32, time: u64, received: u64, sent: u64, rtt: u32, wall: u64) {
            if let Some(exchange) = Exchange::new(seq, time, received, sent, rtt) {
                let _ = (exchange.forward(wall), exchange.back(wall), exchange.offset(wall));
            }
        }
    }
}
