//! XDP on the wire of a simulated fleet: answers for every host as the host's part has it.

use probe_common::{maps::Reflection, simulation::Reply};

use crate::{
    frame::{Datagram, Foreign, Frame},
    maps::{self, REFLECTOR, SIMULATION},
    reflect,
};

/// Where a message holds its sequence number.
const SEQUENCE: usize = 12;

/// Turns a ping to a host of the fleet into its pong, in place, or tells that there is none or that it comes later. What is
/// for nobody of the fleet, such as neighbour discovery, is left to the network stack.
#[inline(always)]
pub fn simulate(frame: &Frame) -> Result<Reply, Foreign> {
    let datagram = Datagram::parse(frame)?;
    let reflector = REFLECTOR.get(0).ok_or(Foreign)?;
    let simulation = SIMULATION.get(0).ok_or(Foreign)?;
    let (to, port) = datagram.destination;
    let number = simulation.number(to).ok_or(Foreign)?;
    if port != reflector.port {
        return Err(Foreign);
    }
    let seq = u32::from_be_bytes(frame.read(datagram.message() + SEQUENCE)?);
    let now = maps::now();
    let reply = simulation.reply(number, seq, now);
    if matches!(reply, Reply::AtOnce) {
        match reflect::answer(frame, &datagram, reflector, now)? {
            Reflection::Answered => {}
            Reflection::Forged | Reflection::Malformed => return Err(Foreign),
        }
    }
    Ok(reply)
}
