//! XDP on a host: answers pings before its network stack sees them.

use probe_common::{
    checksum,
    maps::{Reflection, Reflector},
};

use crate::{
    frame::{Datagram, Foreign, Frame, Version},
    maps::{self, REFLECTOR},
};

/// Where a pong's way begins: as many hops as most systems allow.
const TTL: u8 = 64;

/// Turns a ping to the reflector's port into its pong, in place. What is no ping is left to the socket, which counts it; so
/// is one to all hosts of a link, and one with IPv4 options, which no answer may repeat unread.
#[inline(always)]
pub fn reflect(frame: &Frame) -> Result<Reflection, Foreign> {
    let datagram = Datagram::parse(frame)?;
    let reflector = REFLECTOR.get(0).ok_or(Foreign)?;
    answer(frame, &datagram, reflector, maps::now())
}

/// The same with what is known already; `now` in ns of the monotonic clock.
#[inline(always)]
pub fn answer(
    frame: &Frame,
    datagram: &Datagram,
    reflector: &Reflector,
    now: u64,
) -> Result<Reflection, Foreign> {
    let [to, ..] = frame.read::<6>(0)?;
    let is_group = to & 1 != 0;
    if datagram.destination.1 != reflector.port || is_group || datagram.has_options() {
        return Err(Foreign);
    }
    let time = reflector.unix_time(now);
    let pong = match reflector.answer(&datagram.packet(frame)?, time, time) {
        Ok(pong) => pong,
        Err(Reflection::Forged) => return Ok(Reflection::Forged),
        Err(_) => return Err(Foreign),
    };

    // From here on nothing fails: the message is the frame's last part, and it was read.
    frame.swap::<4>(0, 6)?;
    frame.swap::<2>(4, 10)?;
    match datagram.version {
        Version::V4 => turn_v4(frame, datagram.ip)?,
        Version::V6 => turn_v6(frame, datagram.ip)?,
    }
    frame.swap::<2>(datagram.udp, datagram.udp + 2)?;
    // Computed anew: what came in may be unfinished, as between two ends of a veth pair.
    let checksum = checksum::udp(datagram.destination, datagram.source, &pong);
    frame.write(datagram.udp + 6, checksum.to_ne_bytes())?;
    frame.write(datagram.message(), pong.to_bytes())?;
    Ok(Reflection::Answered)
}

#[inline(always)]
fn turn_v4(frame: &Frame, ip: usize) -> Result<(), Foreign> {
    let [ttl, protocol] = frame.read(ip + 8)?;
    let checksum = u16::from_ne_bytes(frame.read(ip + 10)?);
    let [old, new] = [ttl, TTL].map(|ttl| u16::from_ne_bytes([ttl, protocol]));
    frame.write(ip + 8, [TTL])?;
    // Addresses that change places leave the sum as it is.
    frame.write(ip + 10, checksum::updated(checksum, old, new).to_ne_bytes())?;
    frame.swap::<4>(ip + 12, ip + 16)
}

#[inline(always)]
fn turn_v6(frame: &Frame, ip: usize) -> Result<(), Foreign> {
    frame.write(ip + 7, [TTL])?;
    frame.swap::<8>(ip + 8, ip + 24)?;
    frame.swap::<8>(ip + 16, ip + 32)
}
