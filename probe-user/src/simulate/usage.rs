//! What the monitor costs: processor time of its process and of the whole machine, and memory; from procfs (proc(5)).

use std::{fs, thread};

use crate::clock;

/// Ticks a second in procfs: `USER_HZ` is 100 on every architecture that Rust's std runs on.
const HZ: f64 = 100.0;

/// What was used so far, up to a moment. What procfs does not tell counts as nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// When, ns of the monotonic clock.
    pub at: u64,
    /// Processor time of the process, s.
    process: f64,
    /// Time that the machine's processors were idle together, s.
    idle: f64,
    /// Resident memory of the process, bytes.
    pub memory: u64,
}

impl Usage {
    /// Of this process, now.
    pub fn now(pid: u32) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            at: clock::monotonic(),
            process: processor_time(&read(&format!("/proc/{pid}/stat"))).unwrap_or(0.0),
            idle: idle(&read("/proc/stat")).unwrap_or(0.0),
            memory: resident(&read(&format!("/proc/{pid}/status"))).unwrap_or(0),
        }
    }

    /// How many cores the process, and the whole machine, used on average since `before`.
    pub fn cores_since(&self, before: &Self) -> [f64; 2] {
        let seconds = self.at.saturating_sub(before.at).max(1) as f64 / 1e9;
        let all = thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
        // The kernel times idleness exactly, and samples the rest: so busy is what idle is not.
        let busy = all - (self.idle - before.idle) / seconds;
        [(self.process - before.process) / seconds, busy.max(0.0)]
    }
}

fn processor_time(stat: &str) -> Option<f64> {
    // The name, in parentheses, may hold spaces.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / HZ)
}

fn idle(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.lines().next()?.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    // Idle, and idle while something waits for a disk.
    Some((ticks(4)? + ticks(5)?) / HZ)
}

fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 0 1 2 3 4 250 50 0 0 20 0 3 0 99";
        assert_eq!(processor_time(stat), Some(3.0));
        assert_eq!(idle("cpu  10 0 10 700 100 0 0 0\ncpu0 1"), Some(8.0));
        assert_eq!(resident("Name: a\nVmRSS:\t  12 kB\n"), Some(12 << 10));
        assert_eq!(processor_time("nonsense"), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let now = Usage::now(std::process::id());
        assert!(now.memory > 0 && now.idle > 0.0);
        let before = Usage {
            at: now.at - 1_000_000_000,
            process: now.process - 0.5,
            ..now
        };
        let [process, machine] = now.cores_since(&before);
        assert!((process - 0.5).abs() < 1e-6 && machine >= 1.0);
    }
}
