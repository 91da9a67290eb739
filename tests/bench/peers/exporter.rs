//! What the two exporters have in common: programs that run until they are ended, and serve metrics.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use heartprobe_tests::{
    http,
    process::{Process, poll},
};

use crate::{
    cost::{self, Machine},
    fleet::Fleet,
    line::{Line, period},
};

/// Until its web server answers.
const START: Duration = Duration::from_secs(30);

/// A running exporter.
pub struct Exporter {
    process: Process,
    pub at: SocketAddr,
}

impl Exporter {
    /// Starts it with this configuration and waits until it serves.
    pub fn start(fleet: &Fleet, program: &str, config: &Path, port: u16) -> Result<Self, String> {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--web.listen-address={at}"));
        let process = Process::start(&fleet.net.monitor, &mut command);
        let exporter = Self { process, at };
        let serves = || http::get(&fleet.net.monitor, at, "/metrics").ok();
        if poll(START, serves).is_none() {
            let said = super::last_line(&exporter.process.stderr());
            return Err(format!("it does not serve: {said}"));
        }
        Ok(exporter)
    }

    /// Watches it for `window`; `counts` tells what was sent and what was answered so far.
    pub fn watch(
        &self,
        name: &'static str,
        targets: u32,
        window: Duration,
        counts: impl Fn() -> (f64, f64),
    ) -> Line {
        let used = || cost::of_process(self.process.id()).unwrap_or_default();
        let before = (Instant::now(), counts());
        let (machine, own) = (Machine::now(), used());
        thread::sleep(window);
        let (busy, seconds, own) = (machine.busy(), machine.elapsed(), used().since(own));
        let after = (Instant::now(), counts());
        // Between the counts lies a little more than the window.
        let share = seconds / (after.0 - before.0).as_secs_f64();
        let pings = (after.1.0 - before.1.0) * share;
        let answered = (after.1.1 - before.1.1) * share;
        Line {
            name,
            targets,
            each: period(1.0),
            pings,
            lost: (pings - answered).max(0.0),
            own: own.all(),
            machine: busy,
            seconds,
        }
    }
}
