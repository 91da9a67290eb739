//! The kernel engine: pings made and sent inside the kernel, by the interfaces that have shown that they can.

use std::sync::Arc;

use probe_common::row::Row;

use super::{Departure, PumpError, Pumps};
use crate::{clock, complaint::Complaints, kernel::TransmitError, metrics::Vitals, network::Link};

/// Pings by live frames.
pub struct KernelEngine {
    pumps: Pumps,
    /// The interfaces that take them.
    lanes: Vec<Lane>,
    /// Pings that an interface dropped.
    dropped: Vec<Departure>,
    rest: Vec<u32>,
    vitals: Arc<Vitals>,
    complaints: Complaints<(u32, i32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lane {
    interface: u32,
    mac: [u8; 6],
}

impl KernelEngine {
    /// With no interface yet.
    pub fn new(pumps: Pumps, vitals: Arc<Vitals>) -> Self {
        Self {
            pumps,
            lanes: Vec::new(),
            dropped: Vec::new(),
            rest: Vec::new(),
            vitals,
            complaints: Complaints::default(),
        }
    }

    /// Sends by an interface from now on if it takes live frames, which it is asked by a harmless trial. The inner error tells
    /// why it does not.
    pub fn open(
        &mut self,
        interface: u32,
        mac: [u8; 6],
    ) -> Result<Result<(), TransmitError>, PumpError> {
        let lane = Lane { interface, mac };
        if self.lanes.contains(&lane) {
            return Ok(Ok(()));
        }
        self.close(interface);
        let trial = self.pumps.trial(interface, mac)?;
        if trial.is_ok() {
            self.lanes.push(lane);
        }
        Ok(trial)
    }

    /// Closes the interfaces that are not among these any more, or do not work.
    pub fn keep(&mut self, links: &[Link]) {
        self.lanes.retain(|lane| {
            links
                .iter()
                .any(|link| link.index == lane.interface && link.works)
        });
    }

    fn close(&mut self, interface: u32) {
        self.lanes.retain(|lane| lane.interface != interface);
    }

    /// Sends the next ping to each of `targets` that it reaches, and leaves the others there. An interface that takes no frames
    /// any more is closed until it is opened again, and leaves its targets too.
    pub fn send(
        &mut self,
        rows: &[Row],
        targets: &mut Vec<u32>,
        mut departed: impl FnMut(Departure),
    ) -> Result<(), PumpError> {
        for at in (0..self.lanes.len()).rev() {
            if targets.is_empty() {
                break;
            }
            let Lane { interface, .. } = self.lanes[at];
            self.rest.clear();
            let dropped = &mut self.dropped;
            let sent = self
                .pumps
                .send(interface, targets, &mut self.rest, |departure| {
                    if departure.left {
                        departed(departure);
                    } else {
                        dropped.push(departure);
                    }
                })?;
            let closed = match &sent {
                Err(error) => self.refused(at, error),
                Ok(()) => false,
            };
            for departure in self.dropped.drain(..) {
                if closed {
                    rows[departure.target as usize].take_back(departure.seq);
                    self.rest.push(departure.target);
                } else {
                    departed(departure);
                }
            }
            std::mem::swap(targets, &mut self.rest);
        }
        Ok(())
    }

    /// Whether that is more than a queue that is full for the moment: then the interface is closed.
    fn refused(&mut self, at: usize, error: &TransmitError) -> bool {
        let Lane { interface, .. } = self.lanes[at];
        let errno = match error {
            TransmitError::Interface(error) => error.raw_os_error().unwrap_or(0),
            _ => 0,
        };
        self.vitals.send_error(errno);
        let closes = ![libc::ENOBUFS, libc::ENOSPC].contains(&errno);
        if let Some(times) = self
            .complaints
            .count((interface, errno), clock::monotonic())
        {
            let then = if closes {
                "its pings go by sockets until it takes them again"
            } else {
                "these pings count as unsent, not as missed"
            };
            tracing::warn!(
                interface,
                times,
                "the kernel cannot send by an interface: {error}; {then}"
            );
        }
        if closes {
            self.lanes.remove(at);
        }
        closes
    }
}
