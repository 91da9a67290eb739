//! XDP on the monitor: takes in pongs.

use probe_common::{maps::Fate, pong::Pong};

use crate::{
    frame::{Datagram, Foreign, Frame},
    maps::{self, CLASSES, CLOCKS, ROWS, SETTINGS},
};

/// Judges a message to this monitor's port and writes its row; the frame is then consumed. What is no pong of this monitor,
/// but of another epoch or not a pong at all, is left to the socket, which judges and counts it by the same rules.
#[inline(always)]
pub fn receive(frame: &Frame) -> Result<Fate, Foreign> {
    let datagram = Datagram::parse(frame)?;
    let settings = SETTINGS.get(0).ok_or(Foreign)?;
    let family = datagram.version as usize;
    if !settings.ports.contain(family, datagram.destination.1) {
        return Err(Foreign);
    }
    let pong = match Pong::verify(&datagram.packet(frame)?, settings) {
        Ok(pong) => pong,
        Err(Fate::Forged) => return Ok(Fate::Forged),
        Err(_) => return Err(Foreign),
    };
    let row = ROWS.get(pong.target()).ok_or(Foreign)?;
    let class = CLASSES.get(row.class().into()).ok_or(Foreign)?;
    let (fate, rtt) = pong.land(row, class, datagram.source, maps::now());
    if let Some(rtt) = rtt {
        maps::observe(class.group, rtt);
        if let Some(exchange) = pong.exchange(row, rtt)
            && let Some(clock) = CLOCKS.get(pong.target())
        {
            clock.set(exchange);
        }
    }
    Ok(fate)
}
