//! What messages come to on an Ethernet.

use std::{fmt, iter::Sum, ops::Mul};

use probe_common::wire;

/// Ethernet header and frame check sequence, and the UDP header. Preamble and gap between frames are not counted.
const ETHERNET: usize = 14 + 4;
const UDP: usize = 8;

/// Messages a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// How many.
    pub packets: f64,
    /// How many bits they are on the wire.
    pub bits: f64,
}

impl Traffic {
    /// One message a second to each of so many IPv4 and IPv6 hosts.
    pub fn of_each(v4: u64, v6: u64) -> Self {
        Self {
            packets: (v4 + v6) as f64,
            bits: v4 as f64 * frame_bits(20) + v6 as f64 * frame_bits(40),
        }
    }

    /// What each of so many hosts has of it in a month of 30 days, as text.
    pub fn month(self, hosts: u64) -> String {
        const MONTH: f64 = 30.0 * 86_400.0;
        let bytes = self.bits / 8.0 * MONTH / hosts.max(1) as f64;
        let units = [(1e9, "GB"), (1e6, "MB")];
        let (unit, name) =
            { units.into_iter().find(|(unit, _)| bytes >= *unit) }.unwrap_or((1e3, "kB"));
        format!("{:.1} {name}", bytes / unit)
    }
}

/// What one message is on an Ethernet, with an IP header of so many bytes.
fn frame_bits(ip_header: usize) -> f64 {
    (8 * (wire::LEN + UDP + ip_header + ETHERNET)) as f64
}

impl Mul<f64> for Traffic {
    type Output = Self;

    fn mul(self, times: f64) -> Self {
        Self {
            packets: self.packets * times,
            bits: self.bits * times,
        }
    }
}

impl Sum for Traffic {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            packets: sum.packets + one.packets,
            bits: sum.bits + one.bits,
        })
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")];
        let (unit, name) = units
            .into_iter()
            .find(|(unit, _)| self.bits >= *unit)
            .unwrap_or((1.0, "bit/s"));
        let bits = self.bits / unit;
        write!(f, "{:.1} packets/s, {bits:.1} {name}", self.packets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_both_families() {
        let each = Traffic::of_each(1, 1);
        assert_eq!((each.packets, each.bits), (2.0, 8.0 * (110.0 + 130.0)));
        assert_eq!((each * 1_000.0).to_string(), "2000.0 packets/s, 1.9 Mbit/s");
        let sum: Traffic = [each, each].into_iter().sum();
        assert_eq!(sum, each * 2.0);
    }

    #[test]
    fn a_month_is_what_one_host_has() {
        // A ping and a pong of 110 bytes each 5 s.
        assert_eq!((Traffic::of_each(7, 0) * (2.0 / 5.0)).month(7), "114.0 MB");
        assert_eq!(Traffic::default().month(0), "0.0 kB");
    }
}
