//! Tracepoints of the kernel's XDP: what became of the frames that the transmit program made. Its own answer goes to the
//! kernel alone; a ping that the interface had no room for was never sent, and must not count as missed.

use aya_ebpf::programs::RawTracePointContext;

use crate::maps::{self, ROWS};

/// `ENOBUFS`: the interface had no room, and gave no reason.
const NO_ROOM: u32 = 105;

/// `xdp_devmap_xmit(from, to, sent, drops, err)`.
#[inline(always)]
pub fn answered(ctx: &RawTracePointContext) {
    let [sent, drops, error] = [2, 3, 4].map(|n| ctx.arg::<i32>(n));
    if let Some(batch) = maps::batch() {
        batch.settle(sent as u32, drops as u32, errno(error));
    }
}

/// `xdp_redirect_err(dev, program, target, err, …)`.
#[inline(always)]
pub fn refused(ctx: &RawTracePointContext) {
    let Some((target, seq)) = maps::batch().and_then(|batch| batch.refuse(errno(ctx.arg(3))))
    else {
        return;
    };
    if let Some(row) = ROWS.get(target) {
        row.take_back(seq);
    }
}

#[inline(always)]
fn errno(error: i32) -> u32 {
    if error < 0 {
        error.unsigned_abs()
    } else {
        NO_ROOM
    }
}
