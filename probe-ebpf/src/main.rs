//! heartprobe's eBPF programs. `cargo xtask build-ebpf` builds them.
#![no_std]
#![no_main]

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use probe_common as _;

/// Takes in the pongs: for now everything passes.
#[xdp]
fn receive(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
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
