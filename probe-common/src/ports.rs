//! The ports that pings leave from.
//!
//! A monitor has 32 ports of each family, one after the other. A target's pings go over as many of them in turn as there are
//! paths to try: routers that spread flows over equal paths (RFC 2992) hash the ports, so a broken path loses the pings of its
//! port alone. When those of all paths were missed the target moves on to fresh ports, in case a firewall or a NAT on the way
//! holds on to a stale session:
//!
//! ```text
//! port     0  1  2  3  4  5  6  7  8 … 31      with 4 paths
//! round 0  ^  ^  ^  ^
//! round 1              ^  ^  ^  ^              round 8 begins at port 0 again
//! ```

/// How many ports of each family a monitor has.
pub const PORTS: u16 = 32;

/// The most paths: then a target that moves on still finds fresh ports.
pub const MOST_PATHS: u16 = PORTS / 2;

/// A monitor's ports.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// The first of each family, IPv4 and IPv6; 0 where there is none.
    pub first: [u16; 2],
    /// Over how many a target's pings go in turn: a power of two up to [`MOST_PATHS`]; 0 is 1.
    pub paths: u16,
    /// The port that beats come to, of both families; 0 where none are heard.
    pub beats: u16,
}

impl Ports {
    /// The number of the path that ping `seq` takes, which is the same in every round.
    #[inline(always)]
    pub const fn path(&self, seq: u32) -> u32 {
        seq & (self.paths as u32).saturating_sub(1)
    }

    /// Which of the family's ports ping `seq` of a target in that round leaves from: below [`PORTS`].
    #[inline(always)]
    pub const fn index(&self, round: u8, seq: u32) -> u16 {
        let paths = if self.paths == 0 { 1 } else { self.paths };
        (round as u16)
            .wrapping_mul(paths)
            .wrapping_add(self.path(seq) as u16)
            % PORTS
    }

    /// The port itself; 0 if the family has none.
    #[inline(always)]
    pub const fn port(&self, family: usize, round: u8, seq: u32) -> u16 {
        match self.first[family] {
            0 => 0,
            first => first.wrapping_add(self.index(round, seq)),
        }
    }

    /// Whether a port of a family is one of these.
    #[inline(always)]
    pub const fn contain(&self, family: usize, port: u16) -> bool {
        let first = self.first[family];
        first != 0 && port.wrapping_sub(first) < PORTS
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn ports() -> impl Strategy<Value = Ports> {
        (1..=u16::MAX - PORTS, 0..=4_u32).prop_map(|(first, log)| Ports {
            first: [first, 0],
            paths: 1 << log,
            beats: 0,
        })
    }

    proptest! {
        #[test]
        fn a_round_goes_over_each_path_in_turn(ports in ports(), round: u8, seq: u32) {
            let paths = u32::from(ports.paths);
            let used: HashSet<u16> = (0..paths).map(|i| ports.port(0, round, seq.wrapping_add(i))).collect();
            prop_assert_eq!(used.len() as u32, paths);
            prop_assert!(used.iter().all(|&port| ports.contain(0, port)));
            prop_assert_eq!(ports.port(0, round, seq), ports.port(0, round, seq.wrapping_add(paths)));
        }

        #[test]
        fn the_next_round_takes_fresh_ports(ports in ports(), round: u8, seq: u32, later: u32) {
            let next = round.wrapping_add(1);
            prop_assert_ne!(ports.port(0, round, seq), ports.port(0, next, later));
        }

        #[test]
        fn rounds_go_over_all_ports(ports in ports()) {
            let rounds = (PORTS / ports.paths) as u8;
            let all = (0..rounds).flat_map(|round| (0..u32::from(ports.paths)).map(move |seq| ports.port(0, round, seq)));
            prop_assert_eq!(all.collect::<HashSet<_>>().len(), usize::from(PORTS));
        }
    }

    #[test]
    fn a_family_without_ports_has_none() {
        let ports = Ports::default();
        assert_eq!(ports.port(1, 3, 7), 0);
        assert!(!ports.contain(1, 0) && !ports.contain(1, 5));
    }
}
