//! The two clocks, in ns, and whether the one of the wall can be trusted.

use rustix::time::{ClockId, clock_gettime};

/// Readings of the clocks take less than this if nothing comes between, ns.
const TIGHT: u64 = 1_000;

/// `CLOCK_MONOTONIC`, which is what `bpf_ktime_get_ns` reads too: everything is decided by it.
pub fn monotonic() -> u64 {
    read(ClockId::Monotonic)
}

/// `CLOCK_REALTIME`, ns since the Unix epoch: it decides nothing, but is what others are told.
pub fn realtime() -> u64 {
    read(ClockId::Realtime)
}

/// Added to the monotonic clock gives the real-time one, ns (modulo 2^64).
///
/// Both are read one after the other, and a thread may lose its CPU between the two: the tightest of a few readings
/// counts, so that a busy machine does not show as a longer round trip.
pub fn offset() -> u64 {
    let mut best = (u64::MAX, 0);
    for _ in 0..3 {
        let before = monotonic();
        let real = realtime();
        let width = monotonic() - before;
        if width < best.0 {
            best = (width, real.wrapping_sub(before + width / 2));
        }
        if width < TIGHT {
            break;
        }
    }
    best.1
}

/// Whether something keeps the real-time clock right (NTP, PTP), as the kernel was told by it (adjtimex(2)).
pub fn is_synchronised() -> bool {
    // SAFETY: integers alone: any bytes are one.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: it reads and writes that value alone; with no mode set it changes nothing of the clock.
    let answer = unsafe { libc::adjtimex(&raw mut state) };
    answer != -1 && state.status & libc::STA_UNSYNC == 0
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_leads_from_one_clock_to_the_other() {
        let before = realtime();
        let between = monotonic().wrapping_add(offset());
        let after = realtime();
        // A clock that is being slewed moves by 500 ppm at most; 1 ms is far beyond it.
        assert!(before < between + 1_000_000 && between < after + 1_000_000);
    }
}
