//! How this host fares, as its pongs and beats tell it: CPU load, memory used, boot id, name; from procfs (proc(5)).

use std::fs;

use probe_common::{siphash::identity, wire::HEALTH_UNKNOWN};
use rustix::system::uname;

/// What a 16-bit share says if it is not known.
const UNKNOWN: u16 = u16::MAX;

/// Watches the CPU's load between two looks.
#[derive(Debug, Default)]
pub struct Health {
    last: Option<Jiffies>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Jiffies {
    busy: u64,
    all: u64,
}

impl Health {
    /// CPU load since the last look (upper 16 bits) and memory used (lower), in hundredths of a percent, as
    /// [`probe_common::wire::Message::health`] has them.
    pub fn look(&mut self) -> u32 {
        let now = fs::read_to_string("/proc/stat")
            .ok()
            .and_then(|text| jiffies(&text));
        let cpu = now.and_then(|now| {
            let last = self.last.replace(now)?;
            share(
                now.busy.checked_sub(last.busy)?,
                now.all.checked_sub(last.all)?,
            )
        });
        let memory = fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| memory_used(&text));
        health(cpu, memory)
    }
}

fn health(cpu: Option<u16>, memory: Option<u16>) -> u32 {
    match (cpu, memory) {
        (None, None) => HEALTH_UNKNOWN,
        _ => u32::from(cpu.unwrap_or(UNKNOWN)) << 16 | u32::from(memory.unwrap_or(UNKNOWN)),
    }
}

/// A hash of the host's boot id; 0 if it is not known.
pub fn boot() -> u32 {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map_or(0, |id| identity(id.trim()) as u32)
}

/// The name that this host has given itself.
pub fn host_name() -> String {
    uname().nodename().to_string_lossy().into_owned()
}

fn jiffies(stat: &str) -> Option<Jiffies> {
    let numbers: Vec<u64> = stat
        .strip_prefix("cpu ")?
        .lines()
        .next()?
        .split_ascii_whitespace()
        .map_while(|number| number.parse().ok())
        .collect();
    // Guest time is part of user time already: the first eight columns are the whole.
    let all = numbers.get(..8)?.iter().sum();
    Some(Jiffies {
        busy: all - numbers[3] - numbers[4],
        all,
    })
}

fn memory_used(meminfo: &str) -> Option<u16> {
    let field = |name| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    let (total, available) = (field("MemTotal:")?, field("MemAvailable:")?);
    share(total.checked_sub(available)?, total)
}

/// Hundredths of a percent.
fn share(part: u64, whole: u64) -> Option<u16> {
    (part * 10_000)
        .checked_div(whole)
        .map(|share| share.min(10_000) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_what_is_neither_idle_nor_waiting() {
        let first = jiffies("cpu  10 0 10 70 10 0 0 0 5 0\ncpu0 1").unwrap();
        let second = jiffies("cpu  30 0 20 130 20 0 0 0 5 0\ncpu0 1").unwrap();
        assert_eq!(first, Jiffies { busy: 20, all: 100 });
        assert_eq!(
            share(second.busy - first.busy, second.all - first.all),
            Some(3000)
        );
        assert_eq!(jiffies("intr 5"), None);
    }

    #[test]
    fn memory_used_is_what_is_not_available() {
        assert_eq!(
            memory_used("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\n"),
            Some(7500)
        );
        assert_eq!(memory_used("nothing"), None);
    }

    #[test]
    fn this_host_tells_both_at_the_second_look() {
        let mut health = Health::default();
        assert_eq!(health.look() >> 16, u32::from(UNKNOWN));
        let before = health.last;
        while fs::read_to_string("/proc/stat")
            .ok()
            .and_then(|text| jiffies(&text))
            == before
        {
            std::thread::yield_now();
        }
        let now = health.look();
        assert!(now >> 16 <= 10_000 && now & 0xffff <= 10_000, "{now:x}");
        assert_ne!(boot(), 0);
    }
}
