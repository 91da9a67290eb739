//! The two clocks, in ns.

use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC`, which is what `bpf_ktime_get_ns` reads too: everything is decided by it.
pub fn monotonic() -> u64 {
    read(ClockId::Monotonic)
}

/// `CLOCK_REALTIME`, ns since the Unix epoch: it decides nothing, but is what others are told.
pub fn realtime() -> u64 {
    read(ClockId::Realtime)
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
