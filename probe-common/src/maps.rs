//! The values of the BPF maps beside the table of rows, and what is counted per CPU.

use crate::{address::Address, ports::Ports, siphash::Key};

/// What became of a pong. The discriminant is its place in [`Fates`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// In time.
    Ok = 0,
    /// Within the timeout, but after `late_after`.
    Late = 1,
    /// Its ping had been answered before.
    Duplicate = 2,
    /// Of another epoch, of a ping no longer open, or after the timeout.
    Stale = 3,
    /// Wrong tag, or from another address or port than was pinged.
    Forged = 4,
    /// Not a pong at all: wrong length, magic or kind.
    Malformed = 5,
}

impl Fate {
    /// Every fate, in the order of [`Fates`].
    pub const ALL: [Self; 6] = [
        Self::Ok,
        Self::Late,
        Self::Duplicate,
        Self::Stale,
        Self::Forged,
        Self::Malformed,
    ];

    /// The value of the `fate` label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Late => "late",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Forged => "forged",
            Self::Malformed => "malformed",
        }
    }
}

/// How many pongs met each [`Fate`]: `[fate as usize]`.
pub type Fates = [u64; Fate::ALL.len()];

/// What the programs need to know of this monitor; one value, changed as a whole when keys rotate.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// The key that signs, then the one still accepted: the same again where there is no other.
    pub keys: [Key; 2],
    /// Drawn at random at start.
    pub epoch: u32,
    /// How many rows there are.
    pub rows: u32,
    /// The UDP ports that the monitor sends from.
    pub ports: Ports,
}

/// What the receiver needs to know of a class of targets: one group under one policy.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// A pong after this is stale, ns.
    pub timeout_ns: u32,
    /// A pong after this is late, ns.
    pub late_after_ns: u32,
    /// Whose histogram its pongs go to.
    pub group: u32,
}

/// Where pings go first on their way, and how they leave. Rows refer to it by its number.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// This box's address on that way; of the family of the targets behind it.
    pub source: Address,
    /// The Ethernet addresses in the order of the wire: the neighbour's, then this box's.
    pub macs: [[u8; 6]; 2],
    /// Index of the interface, 0 = the neighbour is not resolved: the transmit program leaves its targets alone.
    pub interface: u32,
    /// The tag of IEEE 802.1Q: priority and VLAN; 0 = none.
    pub vlan: u16,
    /// IPv4's time to live, IPv6's hop limit.
    pub ttl: u8,
    /// IPv4's type of service, IPv6's traffic class: DSCP in the upper six bits (RFC 2474).
    pub traffic_class: u8,
    /// Keeps the struct free of padding.
    pub reserved: u32,
}

impl Hop {
    /// The Ethernet addresses as words in memory order: as bytes, the BPF compiler would copy them one by one.
    #[inline(always)]
    pub const fn addresses(&self) -> [u32; 3] {
        let [to, from] = self.macs;
        [
            u32::from_ne_bytes([to[0], to[1], to[2], to[3]]),
            u32::from_ne_bytes([to[4], to[5], from[0], from[1]]),
            u32::from_ne_bytes([from[2], from[3], from[4], from[5]]),
        ]
    }
}

/// What the kernel's reflector needs to know; its clock offset is kept fresh by the command that attached it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Reflector {
    /// The key that signs, then the one still accepted: the same again where there is no other.
    pub keys: [Key; 2],
    /// Added to the monotonic clock gives ns since the Unix epoch; 0 = not known.
    pub clock_offset_ns: u64,
    /// CPU load and memory used, see [`crate::wire::Message::health`].
    pub health: u32,
    /// A hash of the host's boot id.
    pub boot: u32,
    /// The UDP port that is answered.
    pub port: u16,
    /// Keeps the struct free of padding.
    pub reserved: [u16; 3],
}

/// What became of a packet that reached a reflector's port. The discriminant is its place in the counters.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reflection {
    /// A ping with the right tag, answered.
    Answered = 0,
    /// A ping with the wrong tag: no answer.
    Forged = 1,
    /// Not a ping: no answer.
    Malformed = 2,
}

impl Reflection {
    /// Every outcome, in the order of the counters.
    pub const ALL: [Self; 3] = [Self::Answered, Self::Forged, Self::Malformed];
}

/// Upper bounds of the round-trip histogram's buckets in ns, 1-2-5 from 10 µs to 2 s. Timeouts end at 4 s.
pub const RTT_BOUNDS_NS: [u32; 17] = [
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
];

/// Round-trip times of one group's pongs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Pongs by bucket, each counted in one; the last is for all above the greatest bound.
    pub buckets: [u64; RTT_BOUNDS_NS.len() + 1],
    /// Sum of the times, ns.
    pub sum_ns: u64,
}

impl Histogram {
    /// Counts one pong.
    #[inline(always)]
    pub fn observe(&mut self, rtt_ns: u32) {
        let mut bucket = 0;
        for bound in RTT_BOUNDS_NS {
            // A sum of comparisons, not a search: straight code, no branch for the verifier to follow.
            bucket += usize::from(rtt_ns > bound);
        }
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.sum_ns += rtt_ns as u64;
    }

    /// Adds another CPU's counts.
    pub fn add(&mut self, other: &Self) {
        for (to, count) in self.buckets.iter_mut().zip(other.buckets) {
            *to += count;
        }
        self.sum_ns += other.sum_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive_as_prometheus_has_them() {
        for (i, bound) in RTT_BOUNDS_NS.into_iter().enumerate() {
            let mut at = Histogram::default();
            at.observe(bound);
            assert_eq!(at.buckets[i], 1, "{bound}");
            let mut above = Histogram::default();
            above.observe(bound + 1);
            assert_eq!(above.buckets[i + 1], 1, "{bound} + 1");
        }
    }

    #[test]
    fn histograms_of_cpus_add_up() {
        let mut one = Histogram::default();
        one.observe(15_000);
        let mut two = Histogram::default();
        two.observe(u32::MAX);
        one.add(&two);
        assert_eq!(one.buckets.iter().sum::<u64>(), 2);
        assert_eq!(one.sum_ns, 15_000 + u64::from(u32::MAX));
    }

    #[test]
    fn addresses_of_a_hop_stand_in_the_order_of_the_wire() {
        let hop = Hop {
            macs: [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]],
            ..Hop::default()
        };
        let bytes = hop.addresses().map(u32::to_ne_bytes);
        assert_eq!(bytes.as_flattened(), hop.macs.as_flattened());
    }

    #[test]
    fn fates_stand_in_the_order_of_their_numbers() {
        for (i, fate) in Fate::ALL.into_iter().enumerate() {
            assert_eq!(fate as usize, i);
        }
        for (i, reflection) in Reflection::ALL.into_iter().enumerate() {
            assert_eq!(reflection as usize, i);
        }
    }
}
