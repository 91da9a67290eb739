//! The kernel engine: pings made and sent inside the kernel, by the interfaces that have shown that they can.

use std::{sync::Arc, time::Duration};

use probe_common::row::Row;

use super::{PumpError, Pumps};
use crate::{
    clock, complaint::Complaints, flights::Departure, kernel::TransmitError, metrics::Vitals,
    network::Link,
};

/// How long a queue that is full is left alone before what it dropped is sent again, and how often.
const PAUSE: Duration = Duration::from_micros(200);
const PAUSES: u32 = 20;

/// After a queue stayed full, for how long none is waited for, ns: a link that is stuck must not hold up the others.
const IMPATIENCE: u64 = 100_000_000;

/// Pings by live frames.
pub struct KernelEngine {
    pumps: Pumps,
    /// The interfaces that take them.
    lanes: Vec<Lane>,
    /// Pings that an interface dropped.
    dropped: Vec<Departure>,
    rest: Vec<u32>,
    /// Until when no full queue is waited for, ns: one was, in vain.
    impatient_until: u64,
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
            impatient_until: 0,
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
            self.rest.clear();
            self.send_by(at, rows, targets, &mut departed)?;
            std::mem::swap(targets, &mut self.rest);
        }
        Ok(())
    }

    /// Sends by one interface; what is not its own is added to `rest`.
    fn send_by(
        &mut self,
        at: usize,
        rows: &[Row],
        targets: &mut Vec<u32>,
        mut departed: impl FnMut(Departure),
    ) -> Result<(), PumpError> {
        let Lane { interface, .. } = self.lanes[at];
        let patient = clock::monotonic() >= self.impatient_until;
        let mut pauses = if patient { PAUSES } else { 0 };
        loop {
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
            let Err(error) = sent else { break };
            let full = is_full(&error);
            if full && pauses > 0 {
                // Whoever empties the queue may need this CPU for it.
                pauses -= 1;
                targets.clear();
                for departure in self.dropped.drain(..) {
                    rows[departure.target as usize].take_back(departure.seq);
                    targets.push(departure.target);
                }
                std::thread::sleep(PAUSE);
                continue;
            }
            self.complain(interface, &error);
            if full {
                self.impatient_until = clock::monotonic() + IMPATIENCE;
                self.dropped.drain(..).for_each(departed);
            } else {
                for departure in self.dropped.drain(..) {
                    rows[departure.target as usize].take_back(departure.seq);
                    self.rest.push(departure.target);
                }
                self.close(interface);
            }
            break;
        }
        Ok(())
    }

    fn complain(&mut self, interface: u32, error: &TransmitError) {
        let errno = errno(error);
        self.vitals.send_error(errno);
        if let Some(times) = self
            .complaints
            .count((interface, errno), clock::monotonic())
        {
            let then = if is_full(error) {
                "these pings count as unsent, not as missed"
            } else {
                "its pings go by sockets until it takes them again"
            };
            tracing::warn!(
                interface,
                times,
                "the kernel cannot send by an interface: {error}; {then}"
            );
        }
    }
}

fn errno(error: &TransmitError) -> i32 {
    match error {
        TransmitError::Interface(error) => error.raw_os_error().unwrap_or(0),
        _ => 0,
    }
}

/// Whether that is only a queue that is full for the moment.
fn is_full(error: &TransmitError) -> bool {
    [libc::ENOBUFS, libc::ENOSPC].contains(&errno(error))
}
