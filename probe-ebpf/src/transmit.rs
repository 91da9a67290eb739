//! XDP over live frames (`BPF_F_TEST_XDP_LIVE_FRAMES`, Linux 5.18): makes a ping of each, of nothing but its row, its next hop
//! and the settings.

use aya_ebpf::{
    bindings::xdp_action,
    helpers::{bpf_redirect, bpf_xdp_adjust_tail},
    programs::XdpContext,
};
use probe_common::{
    batch::{LIVE_MARK, TRIAL},
    checksum::{DATAGRAM, UDP_HEADER},
    headers::{self, IPV4_HEADER, IPV6_HEADER},
    maps::Hop,
    wire::Message,
};

use crate::{
    frame::{ETHERNET_HEADER, Foreign, Frame, IPV4, IPV6, VLAN, Version},
    maps::{self, HOPS, ROWS, SETTINGS},
};

/// The interface that the kernel names for live frames unless it is told another: the loopback, which has this number in
/// every network namespace.
const LOOPBACK: usize = 1;

/// Whether this is a pump's frame, not one that came in: only those bear metadata on the loopback interface.
#[inline(always)]
pub fn is_live(ctx: &XdpContext) -> bool {
    ctx.ingress_ifindex() == LOOPBACK && ctx.metadata() + LIVE_MARK == ctx.data()
}

/// Makes the frame the ping of the next target that is due, and hands it to the interface. A target that this program has no
/// way to ping is left to the pump.
#[inline(always)]
pub fn transmit(ctx: &XdpContext) -> u32 {
    match ping(ctx) {
        // SAFETY: the helper takes numbers alone.
        Ok(interface) => unsafe { bpf_redirect(interface, 0) as u32 },
        Err(Foreign) => xdp_action::XDP_DROP,
    }
}

/// Returns the index of the interface.
#[inline(always)]
fn ping(ctx: &XdpContext) -> Result<u32, Foreign> {
    let batch = maps::batch().ok_or(Foreign)?;
    let target = batch.take().ok_or(Foreign)?;
    let free = batch.free().ok_or(Foreign)?;
    let interface = batch.interface();
    let Some(row) = ROWS.get(target) else {
        if target == TRIAL {
            batch.note(free, TRIAL, 0);
            return Ok(interface);
        }
        return Err(Foreign);
    };
    let hop = HOPS.get(row.hop()).ok_or(Foreign)?;
    let settings = SETTINGS.get(0).ok_or(Foreign)?;
    let (to, port) = row.address();
    let v4 = match (hop.source.v4(), to.v4()) {
        (Some(source), Some(to)) => Some((source, to)),
        (None, None) => None,
        _ => return Err(Foreign),
    };
    let version = if v4.is_some() {
        Version::V4
    } else {
        Version::V6
    };
    let family = version as usize;
    if hop.interface != interface || port == 0 || settings.ports.first[family] == 0 {
        return Err(Foreign);
    }

    let ip = ETHERNET_HEADER + if hop.vlan == 0 { 0 } else { 4 };
    let udp = ip
        + if v4.is_some() {
            IPV4_HEADER
        } else {
            IPV6_HEADER
        };
    let frame = resize(ctx, udp + DATAGRAM as usize)?;
    ethernet(&frame, hop, version)?;
    match v4 {
        Some((source, to)) => {
            let words = headers::ipv4(source, to, hop.ttl, hop.traffic_class);
            for (i, word) in words.into_iter().enumerate() {
                frame.write(ip + 4 * i, word.to_ne_bytes())?;
            }
        }
        None => frame
            .words(ip)?
            .write(headers::ipv6(hop.source, to, hop.ttl, hop.traffic_class)),
    }
    let message_at = frame.words(udp + UDP_HEADER)?;
    let header_at = frame.words(udp)?;

    // From here on nothing fails: a ping that was opened leaves.
    let seq = row.open();
    batch.note(free, target, seq);
    let message = Message::ping(target, seq, settings.epoch, maps::now());
    let packet = message.encode(&settings.keys[0]);
    let from = settings.ports.port(family, row.round(), seq);
    let header = headers::udp((hop.source, from), (to, port), &packet);
    header_at.write([header]);
    message_at.write(packet.0);
    Ok(interface)
}

/// The frame, of that length.
#[inline(always)]
fn resize(ctx: &XdpContext, length: usize) -> Result<Frame, Foreign> {
    let change = length as i64 - (ctx.data_end() as i64 - ctx.data() as i64);
    if change != 0 {
        // SAFETY: the context is the kernel's own; pointers into the frame are taken anew below.
        if unsafe { bpf_xdp_adjust_tail(ctx.ctx, change as i32) } != 0 {
            return Err(Foreign);
        }
    }
    Ok(Frame::from(ctx))
}

#[inline(always)]
fn ethernet(frame: &Frame, hop: &Hop, version: Version) -> Result<(), Foreign> {
    for (i, word) in hop.addresses().into_iter().enumerate() {
        frame.write(4 * i, word.to_ne_bytes())?;
    }
    let ether_type = match version {
        Version::V4 => IPV4,
        Version::V6 => IPV6,
    };
    if hop.vlan == 0 {
        return frame.write(12, ether_type.to_be_bytes());
    }
    let tag = (VLAN[0] as u32) << 16 | hop.vlan as u32;
    frame.write(12, tag.to_be_bytes())?;
    frame.write(16, ether_type.to_be_bytes())
}
