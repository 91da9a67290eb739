//! heartprobe's eBPF programs. `cargo xtask build-ebpf` builds them.
//!
//! Each program is a function from a frame to what became of it, or [`Foreign`]: then the frame passes untouched.
#![no_std]
#![no_main]
#![expect(
    clippy::inline_always,
    reason = "a call costs a frame of the 512-byte stack, and the verifier forgets bounds across it"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "the macros of aya hand the context over so"
)]

mod frame;
mod maps;
mod receive;
mod reflect;
mod simulate;
mod stamp;
mod transmit;
mod witness;

use aya_ebpf::{
    bindings::{TC_ACT_UNSPEC, xdp_action},
    macros::{classifier, raw_tracepoint, xdp},
    programs::{RawTracePointContext, TcContext, XdpContext},
};
use probe_common::{maps::Reflection, simulation::Reply};

use crate::{
    frame::{Foreign, Frame},
    receive::Received,
};

/// Takes in the pongs and beats of this monitor, on each interface that targets are routed through; and makes its pings of the live
/// frames that a pump has it run over.
///
/// One program does both because of how the kernel runs live frames: it first makes the program known to its XDP
/// dispatcher, which takes some 30 ms unless the program is known there already, as one attached to an interface is.
#[xdp]
pub fn receive(ctx: XdpContext) -> u32 {
    if transmit::is_live(&ctx) {
        return transmit::transmit(&ctx);
    }
    match receive::receive(&Frame::from(&ctx)) {
        Ok(Received::Pong(fate)) => {
            maps::count(&maps::FATES, fate as u32);
            xdp_action::XDP_DROP
        }
        Ok(Received::Beat(fate)) => {
            maps::count(&maps::BEATS, fate as u32);
            xdp_action::XDP_DROP
        }
        Err(Foreign) => xdp_action::XDP_PASS,
    }
}

/// Writes time and tag into this monitor's pings as they leave.
#[classifier]
pub fn stamp(ctx: TcContext) -> i32 {
    match stamp::stamp(&ctx) {
        // Either way the next program has its turn.
        Ok(()) | Err(Foreign) => TC_ACT_UNSPEC,
    }
}

/// Hears what an interface answered to the frames that it was handed.
#[raw_tracepoint(tracepoint = "xdp_devmap_xmit")]
pub fn answered(ctx: RawTracePointContext) -> i32 {
    witness::answered(&ctx);
    0
}

/// Hears that a frame could not be handed to its interface.
#[raw_tracepoint(tracepoint = "xdp_redirect_err")]
pub fn refused(ctx: RawTracePointContext) -> i32 {
    witness::refused(&ctx);
    0
}

/// Answers pings on a host, in place of its sockets.
#[xdp]
pub fn reflect(ctx: XdpContext) -> u32 {
    match reflect::reflect(&Frame::from(&ctx)) {
        Ok(reflection) => {
            maps::count(&maps::REFLECTIONS, reflection as u32);
            match reflection {
                Reflection::Answered => xdp_action::XDP_TX,
                Reflection::Forged | Reflection::Malformed => xdp_action::XDP_DROP,
            }
        }
        Err(Foreign) => xdp_action::XDP_PASS,
    }
}

/// Answers pings in place of a whole fleet, as far as its hosts are simulated to answer.
#[xdp]
pub fn simulate(ctx: XdpContext) -> u32 {
    match simulate::simulate(&Frame::from(&ctx)) {
        Ok(reply) => {
            maps::count(&maps::REPLIES, reply as u32);
            match reply {
                Reply::AtOnce => xdp_action::XDP_TX,
                Reply::Later => xdp_action::XDP_PASS,
                Reply::None => xdp_action::XDP_DROP,
            }
        }
        Err(Foreign) => xdp_action::XDP_PASS,
    }
}

// `GPL` opens the helpers that the kernel keeps for programs under that licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Never reached: the verifier accepts no program that could panic.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
