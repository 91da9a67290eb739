//! What something cost: processor time of a process and of the whole machine, and memory.

use std::{fs, thread, time::Instant};

/// Processor time in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// In user space.
    pub user: f64,
    /// In the kernel, on behalf of the process.
    pub system: f64,
}

impl Cost {
    /// Both.
    pub fn all(self) -> f64 {
        self.user + self.system
    }

    /// Since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            user: self.user - before.user,
            system: self.system - before.system,
        }
    }
}

/// Ticks a second in procfs: `USER_HZ` is 100 on every architecture that Rust's std runs on.
const HZ: f64 = 100.0;

/// What a process has used so far, all its threads together; `None` if it is gone. The sum is exact, the kernel's split
/// into user and system is an estimate.
pub fn of_process(pid: u32) -> Option<Cost> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold spaces.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some(Cost {
        user: ticks(11)? / HZ,
        system: ticks(12)? / HZ,
    })
}

/// Resident memory of a process in bytes: its own, and what it shares through mapped files (the BPF table among it).
pub fn memory(pid: u32) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    Some((field("RssAnon:")?, field("RssFile:")? + field("RssShmem:")?))
}

/// A moment of the whole machine.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    at: Instant,
    idle: f64,
}

impl Machine {
    /// Now.
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<f64> = line
            .split_whitespace()
            .skip(1)
            .flat_map(str::parse)
            .collect();
        // The kernel times idleness exactly, and samples the rest: so busy is what idle is not.
        let idle = ticks.get(3..5).map_or(0.0, |idle| idle.iter().sum::<f64>());
        Self {
            at: Instant::now(),
            idle: idle / HZ,
        }
    }

    /// Seconds since then.
    pub fn elapsed(self) -> f64 {
        self.at.elapsed().as_secs_f64()
    }

    /// Processor seconds used on all cores since then.
    pub fn busy(self) -> f64 {
        let now = Self::now();
        let all = now.at.duration_since(self.at).as_secs_f64() * cores() as f64;
        (all - (now.idle - self.idle)).max(0.0)
    }
}

/// Cores that this process may use.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The kernel's release.
pub fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .unwrap_or_default()
        .trim()
        .to_owned()
}
