//! TC egress on the monitor: the time of a ping is the time at which it leaves, not the time at which its batch was made.

use aya_ebpf::{bindings::BPF_F_MARK_MANGLED_0, programs::TcContext};
use probe_common::{checksum::Sum, wire::Kind};

use crate::{
    frame::{Datagram, Foreign, Frame},
    maps::{self, SETTINGS},
};

/// Offsets in the message, and the numbers of the words there.
const TIME: (usize, usize) = (24, 3);
const TAG: (usize, usize) = (56, 7);
/// Offset of the checksum in a UDP header.
const CHECKSUM: usize = 6;

/// Writes the time and the new tag into a ping of this monitor.
#[inline(always)]
pub fn stamp(ctx: &TcContext) -> Result<(), Foreign> {
    let frame = Frame::from(ctx);
    let datagram = Datagram::parse(&frame)?;
    let settings = SETTINGS.get(0).ok_or(Foreign)?;
    let family = datagram.version as usize;
    if !settings.ports.contain(family, datagram.source.1) {
        return Err(Foreign);
    }
    let mut packet = datagram.packet(&frame)?;
    let message = packet.message().map_err(|_| Foreign)?;
    if !matches!(message.kind, Kind::Ping) || message.epoch != settings.epoch {
        return Err(Foreign);
    }

    let old = packet;
    packet.set_time(maps::now());
    packet.sign(&settings.keys[0]);
    let mut difference = Sum::default();
    for (offset, word) in [TIME, TAG] {
        difference = difference.without(old.0[word]).with(packet.0[word]);
        frame.write(datagram.message() + offset, packet.0[word].to_ne_bytes())?;
    }
    // The helper leaves the field alone where the device is to fill it in, and where it says that there is no checksum. It
    // cannot fail: the offset is even and within the frame.
    let _ = ctx.l4_csum_replace(
        datagram.udp + CHECKSUM,
        0,
        difference.partial().into(),
        BPF_F_MARK_MANGLED_0.into(),
    );
    Ok(())
}
