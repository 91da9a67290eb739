//! The Internet checksum (RFC 1071) of what a program writes into a packet.
//!
//! Words are summed as they stand in memory: the sum does not care for byte order (RFC 1071 §2 B), so a checksum of this
//! module is stored as it is.

use crate::{
    address::Address,
    wire::{LEN, Packet},
};

/// Bytes of a UDP header.
pub const UDP_HEADER: usize = 8;

/// Bytes of a UDP datagram that holds one message.
pub const DATAGRAM: u16 = (UDP_HEADER + LEN) as u16;

/// UDP's number among the protocols of IP.
pub const UDP: u8 = 17;

/// A ones' complement sum of up to 2³¹ words.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum with one more word.
    #[inline(always)]
    #[must_use]
    pub const fn with(self, word: u64) -> Self {
        Self(self.0 + (word >> 32) + (word & 0xffff_ffff))
    }

    /// The sum with `word` taken out.
    #[inline(always)]
    #[must_use]
    pub const fn without(self, word: u64) -> Self {
        self.with(!word)
    }

    /// The sum in 32 bits, as the kernel's helpers take it.
    #[inline(always)]
    pub const fn partial(self) -> u32 {
        let sum = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        (sum + (sum >> 32)) as u32
    }

    /// The checksum: the complement of the sum in 16 bits.
    #[inline(always)]
    pub const fn checksum(self) -> u16 {
        let sum = self.partial();
        let sum = (sum >> 16) + (sum & 0xffff);
        !((sum + (sum >> 16)) as u16)
    }
}

/// The UDP checksum (RFC 768, RFC 8200 §8.1) of a datagram that holds `packet`, over IPv4 and IPv6 alike: an IPv4-mapped
/// address has the sum of its IPv4 address, for 0xffff counts as nothing.
#[inline(always)]
pub fn udp(source: (Address, u16), destination: (Address, u16), packet: &Packet) -> u16 {
    // The length stands both in the pseudo header and in the UDP header.
    let mut sum = Sum::default()
        .with((UDP as u16).to_be() as u64)
        .with(DATAGRAM.to_be() as u64)
        .with(DATAGRAM.to_be() as u64);
    for (Address([a, b]), port) in [source, destination] {
        sum = sum.with(a).with(b).with(port.to_be() as u64);
    }
    for word in packet.0 {
        sum = sum.with(word);
    }
    match sum.checksum() {
        // Zero would say that there is none.
        0 => 0xffff,
        checksum => checksum,
    }
}

/// What `checksum` becomes when a 16-bit word under it changes from `old` to `new` (RFC 1624, equation 3).
#[inline(always)]
pub const fn updated(checksum: u16, old: u16, new: u16) -> u16 {
    // Complemented in 16 bits, so that no lane above them is set.
    Sum(!checksum as u64)
        .with(!old as u64)
        .with(new as u64)
        .checksum()
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::net::IpAddr;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// As RFC 1071 §4.1 has it, byte by byte.
    fn plain(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        !(sum as u16)
    }

    fn octets(ip: IpAddr) -> Vec<u8> {
        match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        }
    }

    proptest! {
        #[test]
        fn udp_is_the_plain_checksum(ends: [(IpAddr, u16); 2], words: [u64; 8]) {
            // Only two addresses of one family make a datagram.
            let ends = ends.map(|(ip, port)| (if ends[0].0.is_ipv4() == ip.is_ipv4() { ip } else { ends[0].0 }, port));
            let mut bytes = Vec::new();
            for (ip, _) in ends { bytes.extend(octets(ip)); }
            bytes.extend([0, 0, 0, 72, 0, 0, 0, 17]);
            for (_, port) in ends { bytes.extend(port.to_be_bytes()); }
            bytes.extend([0, 72, 0, 0]);
            bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
            let expected = match plain(&bytes) { 0 => 0xffff, sum => sum };
            let [source, destination] = ends.map(|(ip, port)| (Address::from(ip), port));
            prop_assert_eq!(u16::from_be(udp(source, destination, &Packet(words))), expected);
        }

        #[test]
        fn an_update_is_a_sum_anew(mut words: [u64; 5], at in 0..10_usize, new: u16) {
            // Never all zero, as no header is: there +0 and -0 would differ.
            words[4] |= 1 << 56;
            let bytes = |words: [u64; 5]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
            let mut changed = bytes(words);
            let old = u16::from_ne_bytes([changed[2 * at], changed[2 * at + 1]]);
            let before = plain(&changed).to_be();
            changed[2 * at..2 * at + 2].copy_from_slice(&new.to_ne_bytes());
            prop_assume!(changed.iter().any(|&byte| byte != 0));
            prop_assert_eq!(updated(before, old, new), plain(&changed).to_be());
        }

        #[test]
        fn a_difference_moves_a_sum(old: [u64; 8], new: [u64; 2]) {
            let mut changed = old;
            changed[3] = new[0];
            changed[7] = new[1];
            let sum = |words: [u64; 8]| words.into_iter().fold(Sum::default(), Sum::with);
            let difference = Sum::default().without(old[3]).with(new[0]).without(old[7]).with(new[1]);
            let moved = sum(old).with(difference.partial().into());
            // Both zeros of ones' complement are zero.
            let zero = |checksum: u16| if checksum == 0xffff { 0 } else { checksum };
            prop_assert_eq!(zero(moved.checksum()), zero(sum(changed).checksum()));
        }
    }
}
