//! A target's address as the table and the programs hold it: 16 bytes, IPv4 as an IPv4-mapped IPv6 address
//! (RFC 4291 §2.5.5.2), in two words in memory order, so that a comparison is two word compares.

use core::net::{IpAddr, Ipv6Addr};

/// An IP address in the table's form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address(pub [u64; 2]);

impl Address {
    /// From the four bytes of an IPv4 address, in wire order.
    #[inline(always)]
    pub const fn from_v4(bytes: [u8; 4]) -> Self {
        let mapped = (0xffff_u64 << 32 | u32::from_be_bytes(bytes) as u64).to_be();
        Self([0, mapped])
    }

    /// From the sixteen bytes of an IPv6 address, in wire order.
    #[inline(always)]
    pub const fn from_v6(words: [u64; 2]) -> Self {
        Self(words)
    }

    /// The four bytes of an IPv4 address in wire order; `None` for IPv6.
    #[inline(always)]
    pub const fn v4(self) -> Option<[u8; 4]> {
        let mapped = u64::from_be(self.0[1]);
        if self.0[0] == 0 && mapped >> 32 == 0xffff {
            Some((mapped as u32).to_be_bytes())
        } else {
            None
        }
    }

    /// The address as the standard library has it: an IPv4-mapped one as IPv4.
    pub fn ip(self) -> IpAddr {
        let bits = (u64::from_be(self.0[0]) as u128) << 64 | u64::from_be(self.0[1]) as u128;
        Ipv6Addr::from_bits(bits).to_canonical()
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self::from_v4(v4.octets()),
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                Self([((bits >> 64) as u64).to_be(), (bits as u64).to_be()])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn round_trip(ip: IpAddr) {
            let address = Address::from(ip);
            prop_assert_eq!(address.ip(), ip.to_canonical());
            let v4 = match ip.to_canonical() {
                IpAddr::V4(v4) => Some(v4.octets()),
                IpAddr::V6(_) => None,
            };
            prop_assert_eq!(address.v4(), v4);
        }

        #[test]
        fn v4_is_its_mapped_v6(ip: core::net::Ipv4Addr) {
            prop_assert_eq!(Address::from(IpAddr::V4(ip)), Address::from(IpAddr::V6(ip.to_ipv6_mapped())));
        }
    }
}
