//! One host that is pinged, and what came of it.

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use probe_common::wire::REFLECTOR_PORT;

/// A host and its counts. A ping that never left is not lost, nor is one that may still be answered.
#[derive(Debug)]
pub(super) struct Host {
    name: String,
    pub(super) address: SocketAddr,
    /// Round-trip times of its pongs, ns.
    pub(super) times: Vec<u32>,
    /// Pings that left.
    pub(super) sent: u32,
    /// Pings that could not be sent.
    pub(super) unsent: u32,
    /// Pings whose timeout ended without a pong.
    pub(super) missed: u32,
    /// Packets from there that were no first pong in time.
    pub(super) odd: u32,
}

impl Host {
    pub(super) fn new(name: String, address: SocketAddr) -> Self {
        Self {
            name,
            address,
            times: Vec::new(),
            sent: 0,
            unsent: 0,
            missed: 0,
            odd: 0,
        }
    }

    /// Pings that left and may still be answered.
    pub(super) fn in_flight(&self) -> u32 {
        // A pong whose time the kernel took just before the end, but queued after it, counts beside its miss.
        self.sent
            .saturating_sub(self.missed + self.times.len() as u32)
    }

    /// As the user calls it, with its address where that is something else.
    pub(super) fn shown(&self) -> String {
        let port = self.address.port();
        let at = if port == REFLECTOR_PORT {
            self.address.ip().to_string()
        } else {
            self.address.to_string()
        };
        if self.name == at {
            at
        } else {
            format!("{} ({at})", self.name)
        }
    }

    /// Writes its counts and times.
    pub(super) fn summary(&self, out: &mut impl Write) -> io::Result<()> {
        let received = self.times.len() as u32;
        let decided = self.missed + received;
        let lost = f64::from(self.missed) / f64::from(decided.max(1)) * 100.0;
        writeln!(out, "--- {} ---", self.shown())?;
        write!(out, "{} pings, {received} pongs", self.sent)?;
        if decided > 0 {
            write!(out, ", {lost:.0}% lost")?;
        }
        for (count, what) in [
            (self.in_flight(), "still in flight"),
            (self.unsent, "could not be sent"),
            (self.odd, "duplicate, stale, forged or malformed"),
        ] {
            if count > 0 {
                write!(out, ", {count} {what}")?;
            }
        }
        writeln!(out)?;
        let (Some(&min), Some(&max)) = (self.times.iter().min(), self.times.iter().max()) else {
            return Ok(());
        };
        let times = || self.times.iter().map(|&time| f64::from(time));
        let count = f64::from(received);
        let mean = times().sum::<f64>() / count;
        let deviation = (times().map(|time| (time - mean).powi(2)).sum::<f64>() / count).sqrt();
        writeln!(
            out,
            "rtt min/avg/max/mdev = {:.3}/{:.3}/{:.3}/{:.3} ms",
            f64::from(min) / 1e6,
            mean / 1e6,
            f64::from(max) / 1e6,
            deviation / 1e6
        )
    }
}
