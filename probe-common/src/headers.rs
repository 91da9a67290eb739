//! The headers before a message, for a program that makes a frame from nothing. As words in memory order: what is
//! computed is what is stored.

use crate::{
    address::Address,
    checksum::{self, DATAGRAM, Sum, UDP},
    wire::Packet,
};

/// Bytes of an IPv4 header without options.
pub const IPV4_HEADER: usize = 20;

/// Bytes of an IPv6 header.
pub const IPV6_HEADER: usize = 40;

/// An IPv4 header without options (RFC 791). It must not be fragmented, so it needs no identification (RFC 6864 §4.1).
#[inline(always)]
pub fn ipv4(source: [u8; 4], destination: [u8; 4], ttl: u8, class: u8) -> [u32; IPV4_HEADER / 4] {
    const DO_NOT_FRAGMENT: u32 = 0x4000;
    let length = IPV4_HEADER as u32 + DATAGRAM as u32;
    let mut words = [
        (0x4500_0000 | (class as u32) << 16 | length).to_be(),
        DO_NOT_FRAGMENT.to_be(),
        ((ttl as u32) << 24 | (UDP as u32) << 16).to_be(),
        u32::from_ne_bytes(source),
        u32::from_ne_bytes(destination),
    ];
    let mut sum = Sum::default();
    for word in words {
        sum = sum.with(word as u64);
    }
    words[2] |= (u16::from_be(sum.checksum()) as u32).to_be();
    words
}

/// An IPv6 header (RFC 8200 §3), without a flow label.
#[inline(always)]
pub fn ipv6(source: Address, destination: Address, ttl: u8, class: u8) -> [u64; IPV6_HEADER / 8] {
    let first = 6_u64 << 60
        | (class as u64) << 52
        | (DATAGRAM as u64) << 16
        | (UDP as u64) << 8
        | ttl as u64;
    let (Address([a, b]), Address([c, d])) = (source, destination);
    [first.to_be(), a, b, c, d]
}

/// The UDP header (RFC 768) of a datagram that holds `packet`.
#[inline(always)]
pub fn udp(source: (Address, u16), destination: (Address, u16), packet: &Packet) -> u64 {
    let checksum = u16::from_be(checksum::udp(source, destination, packet));
    ((source.1 as u64) << 48
        | (destination.1 as u64) << 32
        | (DATAGRAM as u64) << 16
        | checksum as u64)
        .to_be()
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::net::{Ipv4Addr, Ipv6Addr};
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_ipv4_header_is_as_another_wrote_it() {
        // Checked by hand, word by word: 4504 + 005c + 4000 + 4011 + c612 + 0001 + c612 + 0002 = 0x2_5198, folded 0x519a.
        let bytes: Vec<u8> = ipv4([198, 18, 0, 1], [198, 18, 0, 2], 64, 4)
            .into_iter()
            .flat_map(u32::to_ne_bytes)
            .collect();
        let expected = [
            0x45, 4, 0, 92, 0, 0, 0x40, 0, 64, 17, 0xae, 0x65, 198, 18, 0, 1, 198, 18, 0, 2,
        ];
        assert_eq!(bytes, expected);
    }

    proptest! {
        #[test]
        fn an_ipv4_header_adds_up(source: [u8; 4], destination: [u8; 4], ttl: u8, class: u8) {
            let words = ipv4(source, destination, ttl, class);
            let sum = words.into_iter().fold(Sum::default(), |sum, word| sum.with(word.into()));
            prop_assert_eq!(sum.checksum(), 0);
        }

        #[test]
        fn an_ipv6_header_is_laid_out_as_the_rfc_has_it(source: Ipv6Addr, destination: Ipv6Addr, ttl: u8, class: u8) {
            let [from, to] = [source, destination].map(|ip| Address::from(core::net::IpAddr::V6(ip)));
            let bytes: Vec<u8> = ipv6(from, to, ttl, class).into_iter().flat_map(u64::to_ne_bytes).collect();
            let mut expected = Vec::from([0x60 | class >> 4, class << 4, 0, 0, 0, 72, 17, ttl]);
            expected.extend(source.octets());
            expected.extend(destination.octets());
            prop_assert_eq!(bytes, expected);
        }

        #[test]
        fn a_udp_header_has_ports_length_and_checksum(ports: [u16; 2], words: [u64; 8], ips: [Ipv4Addr; 2]) {
            let [from, to] = [0, 1].map(|i| (Address::from_v4(ips[i].octets()), ports[i]));
            let packet = Packet(words);
            let bytes = udp(from, to, &packet).to_ne_bytes();
            prop_assert_eq!(&bytes[..2], ports[0].to_be_bytes());
            prop_assert_eq!(&bytes[2..4], ports[1].to_be_bytes());
            prop_assert_eq!(&bytes[4..6], [0, 72]);
            prop_assert_eq!(&bytes[6..], checksum::udp(from, to, &packet).to_ne_bytes());
        }
    }
}
