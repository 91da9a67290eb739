//! Table 2: the round-trip time as XDP takes it, beside the one that the sockets take, idle and busy.
//!
//! Both see the same fleet over the same wire; what differs is where the pong's time is taken, and the reflector's XDP mode,
//! which a veth dictates.

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};

use crate::{
    Plan, cost,
    fleet::{Fleet, Receive},
    quantile::quantile,
};

/// Small enough that an idle machine is idle.
const TARGETS: usize = 1_000;

/// Measures both ways, idle and busy, and prints the table.
pub fn run(plan: &Plan) {
    let fleet = Fleet::new();
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header([
        "round-trip time",
        "machine",
        "mean",
        "p50",
        "p90",
        "p99",
        "p99.9",
    ]);
    for busy in [false, true] {
        for receive in [Receive::Xdp, Receive::Sockets] {
            let _work = if busy { busy_cores() } else { Vec::new() };
            let _reflector = fleet.reflector(receive);
            let daemon = fleet.monitor(TARGETS, receive);
            thread::sleep(plan.window);
            let scrape = daemon.scrape();
            let name = "heartprobe_rtt_seconds";
            let sum = scrape
                .metric("heartprobe_rtt_seconds_sum", &[])
                .unwrap_or(0.0);
            let count = scrape
                .metric("heartprobe_rtt_seconds_count", &[])
                .unwrap_or(0.0);
            let mut row = vec![
                receive.name().to_owned(),
                if busy { "every core busy" } else { "idle" }.to_owned(),
                format!("{:.1} µs", sum / count.max(1.0) * 1e6),
            ];
            row.extend([0.5, 0.9, 0.99, 0.999].map(|share| quantile(&scrape, name, &[], share)));
            table.add_row(row);
        }
    }
    println!("{TARGETS} targets once a second");
    println!("{table}");
    println!(
        "the difference is what the kernel's stamp and XDP leave out: this machine's own queues\n"
    );
}

/// Other work of ordinary priority on every core; ends when it is dropped, and by itself.
fn busy_cores() -> Vec<Work> {
    (0..cost::cores()).map(|_| Work::start()).collect()
}

struct Work(Child);

impl Work {
    fn start() -> Self {
        let mut command = Command::new("timeout");
        command
            .args(["120", "sh", "-c", "while :; do :; done"])
            .stdin(Stdio::null());
        Self(command.spawn().expect("there is a shell"))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // `timeout` hands SIGTERM on to the shell that it started, and SIGKILL it could not.
        let _ = Command::new("kill")
            .args(["-TERM", &self.0.id().to_string()])
            .status();
        let _ = self.0.wait();
        thread::sleep(Duration::ZERO);
    }
}
