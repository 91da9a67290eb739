//! XDP on the monitor: takes in pongs and beats.

use probe_common::{
    beat::{Beat, BeatFate},
    maps::{Fate, Settings},
    pong::Pong,
};

use crate::{
    frame::{Datagram, Foreign, Frame},
    maps::{self, CLASSES, CLOCKS, ROWS, SETTINGS},
};

/// What was taken in, and what became of it.
pub enum Received {
    Pong(Fate),
    Beat(BeatFate),
}

/// Judges a message to one of this monitor's ports and writes its row; the frame is then consumed. What only the daemon can
/// decide on, or has to answer, is left to its sockets, which judge and count by the same rules.
#[inline(always)]
pub fn receive(frame: &Frame) -> Result<Received, Foreign> {
    let datagram = Datagram::parse(frame)?;
    let settings = SETTINGS.get(0).ok_or(Foreign)?;
    let (family, port) = (datagram.version as usize, datagram.destination.1);
    if settings.ports.contain(family, port) {
        return pong(frame, &datagram, settings).map(Received::Pong);
    }
    if port == settings.ports.beats {
        return beat(frame, &datagram, settings).map(Received::Beat);
    }
    Err(Foreign)
}

/// What is no pong of this monitor, but of another epoch or not a pong at all, is for the socket.
#[inline(always)]
fn pong(frame: &Frame, datagram: &Datagram, settings: &Settings) -> Result<Fate, Foreign> {
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

/// What is no beat, of a service or a sender that is not known yet, or asks for an ack, is for the socket: an ack by the kernel
/// alone would not prove that anybody watches.
#[inline(always)]
fn beat(frame: &Frame, datagram: &Datagram, settings: &Settings) -> Result<BeatFate, Foreign> {
    let beat = match Beat::verify(&datagram.packet(frame)?, &settings.keys) {
        Ok(beat) => beat,
        Err(BeatFate::Forged) => return Ok(BeatFate::Forged),
        Err(_) => return Err(Foreign),
    };
    if beat.message().wants_ack() {
        return Err(Foreign);
    }
    let row = maps::service(&beat.identity()).ok_or(Foreign)?;
    match beat.land(row, maps::now()) {
        Ok(BeatFate::Stranger) | Err(_) => Err(Foreign),
        Ok(fate) => Ok(fate),
    }
}
