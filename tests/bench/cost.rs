//! What something cost: processor time of a process and of the whole machine, and memory.

use std::{
    collections::BTreeMap,
    fs, thread,
    time::{Duration, Instant},
};

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

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory {
    /// Resident and its own: heap and stacks.
    pub own: f64,
    /// Resident pages of the table, where that is a BPF map which it has mapped.
    pub table: f64,
    /// All BPF maps that it holds, the table among them: the kernel's memory, in no process's resident set.
    pub maps: f64,
}

impl Memory {
    /// As of now; `None` if it is gone.
    pub fn of(pid: u32) -> Option<Self> {
        let (own, table) = resident(&fs::read_to_string(format!("/proc/{pid}/smaps")).ok()?);
        let maps = maps(pid)?;
        Some(Self { own, table, maps })
    }
}

/// Resident bytes that are the process's own, and those of mapped BPF maps.
fn resident(smaps: &str) -> (f64, f64) {
    let (mut own, mut table) = (0.0, 0.0);
    let mut in_map = false;
    let bytes = |kibibytes: &str| kibibytes.parse::<f64>().unwrap_or_default() * 1024.0;
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("Rss:"), Some(size)) if in_map => table += bytes(size),
            (Some("Anonymous:"), Some(size)) if !in_map => own += bytes(size),
            // The head of a mapping: a range of addresses first, its name last.
            (Some(range), _) if !range.ends_with(':') => in_map = line.contains("bpf-map"),
            _ => {}
        }
    }
    (own, table)
}

fn maps(pid: u32) -> Option<f64> {
    let mut maps = BTreeMap::new();
    for file in fs::read_dir(format!("/proc/{pid}/fdinfo")).ok()?.flatten() {
        // A descriptor may be closed meanwhile.
        let info = fs::read_to_string(file.path()).unwrap_or_default();
        let field = |name| {
            let line = info.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<u64>().ok()
        };
        if let (Some(id), Some(size)) = (field("map_id:"), field("memlock:")) {
            maps.insert(id, size);
        }
    }
    Some(maps.values().sum::<u64>() as f64)
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

/// What the machine does by itself, which is no cost of what is measured.
#[derive(Clone, Copy, Debug)]
pub struct Baseline {
    /// Cores busy, on average.
    pub cores: f64,
    /// By how much that varies within the time of looking.
    pub noise: f64,
}

/// Cores that a machine may use by itself and still count as idle.
const QUIET: f64 = 0.2;

impl Baseline {
    /// Looks for this long.
    pub fn measure(time: Duration) -> Self {
        const LOOKS: u32 = 5;
        let looks = (0..LOOKS).map(|_| {
            let machine = Machine::now();
            thread::sleep(time / LOOKS);
            machine.busy() / machine.elapsed()
        });
        let looks: Vec<f64> = looks.collect();
        let (least, most) = looks
            .iter()
            .fold((f64::MAX, 0.0_f64), |(least, most), &look| {
                (least.min(look), most.max(look))
            });
        Self {
            cores: looks.iter().sum::<f64>() / f64::from(LOOKS),
            noise: most - least,
        }
    }

    /// Whether figures of the whole machine mean anything.
    pub fn is_quiet(self) -> bool {
        self.cores < QUIET
    }
}

/// Cores that this process may use.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The machine in one line.
pub fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (kernel, cpu) = (read("/proc/sys/kernel/osrelease"), read("/proc/cpuinfo"));
    let field = |name| {
        let line = cpu.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim())
    };
    let flags = field("flags").unwrap_or_default();
    let is_virtual = flags.split_whitespace().any(|flag| flag == "hypervisor");
    format!(
        "{} {}, {}, kernel {}",
        cores(),
        if is_virtual { "virtual cores" } else { "cores" },
        field("model name").unwrap_or("unnamed processor"),
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_told_from_the_heap() {
        let smaps = "7f00-7f10 rw-s 00000000 00:0e 10 anon_inode:bpf-map\n\
            Size: 64 kB\nRss: 64 kB\nAnonymous: 0 kB\n\
            7f20-7f30 rw-p 00000000 00:00 0 [heap]\nRss: 12 kB\nAnonymous: 8 kB\nVmFlags: rd wr\n";
        let (own, table) = resident(smaps);
        assert_eq!((own as u64, table as u64), (8 << 10, 64 << 10));
    }
}
