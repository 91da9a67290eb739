//! What zmap and masscan have in common: they ask every address of a prefix once.

use std::{fs, process::Command, thread, time::Duration};

use heartprobe_tests::{
    net::{Namespace, WIRE},
    process::{Process, poll},
};
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    cost::{self, Cost, Machine},
    fleet::Fleet,
    line::Line,
};

/// For how long a scanner waits for answers after its last ping, s.
pub const COOLDOWN: u32 = 1;

/// How long it takes to begin, and to end, at most.
const PATIENCE: Duration = Duration::from_secs(5);

/// What to ask, and how fast.
pub struct Scan {
    /// Addresses a second.
    pub rate: u32,
    length: u32,
}

impl Scan {
    /// A scan that takes about `window`, give or take the half.
    pub fn of(rate: u32, window: Duration) -> Self {
        let addresses = f64::from(rate) * window.as_secs_f64();
        let bits = (addresses.log2().round() as u32).clamp(1, 20);
        Self {
            rate,
            length: 32 - bits,
        }
    }

    /// The addresses.
    pub fn prefix(&self) -> String {
        format!("10.0.0.0/{}", self.length)
    }

    /// How many that are.
    fn addresses(&self) -> u32 {
        1 << (32 - self.length)
    }

    /// Runs the scan to its end; `answered` reads from the ended process how many hosts answered.
    pub fn run(
        &self,
        name: &'static str,
        fleet: &Fleet,
        command: &mut Command,
        answered: impl FnOnce() -> f64,
    ) -> Result<Line, String> {
        let monitor = &fleet.net.monitor;
        let wanted = u64::from(self.addresses());
        let before = sent(monitor);
        let machine = Machine::now();
        let mut process = Process::start(monitor, command);
        let mut own = Cost::default();
        let takes = Duration::from_secs_f64(f64::from(self.addresses()) / f64::from(self.rate));
        let is_sent = || sent(monitor) - before >= wanted;
        poll(2 * takes + PATIENCE, || {
            own = cost::of_process(process.id()).unwrap_or(own);
            (process.ended().is_some() || is_sent()).then_some(())
        });
        let (busy, seconds) = (machine.busy(), machine.elapsed());
        thread::sleep(Duration::from_secs(COOLDOWN.into()));
        // masscan waits on for frames that never come, now and then also when it is told to end: then it is killed.
        if poll(PATIENCE / 5, || process.ended()).is_none() {
            process.signal(Signal::INT);
            poll(PATIENCE, || process.ended());
        }
        let pings = (sent(monitor) - before).min(wanted) as f64;
        if pings == 0.0 {
            return Err(super::last_line(&process.stderr()));
        }
        Ok(Line {
            name,
            targets: self.rate,
            each: "once".into(),
            pings,
            lost: (pings - answered()).max(0.0),
            own: own.all(),
            machine: busy,
            seconds,
        })
    }
}

/// How many frames have left by the wire.
fn sent(namespace: &Namespace) -> u64 {
    let counters = namespace.enter(|| fs::read_to_string("/proc/thread-self/net/dev"));
    let counters = counters.unwrap_or_default();
    let line = counters
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(WIRE)?.strip_prefix(':'));
    // Eight counters of what was received come first.
    let packets = line.and_then(|line| line.split_whitespace().nth(9));
    packets
        .and_then(|packets| packets.parse().ok())
        .unwrap_or(0)
}

/// The hardware address of the fleet's end of the wire: these programs make their frames themselves.
pub fn gateway(fleet: &Fleet) -> String {
    let shown = fleet.net.fleet.ip(&format!("-j link show {WIRE}"));
    let shown: Value = serde_json::from_str(&shown).expect("ip prints JSON");
    shown[0]["address"].as_str().unwrap_or_default().to_owned()
}
