//! A million rows: how long it takes to start with them and to read them anew, what they take in memory, and what a scrape
//! of them costs at each detail.

use std::{fmt::Write as _, fs, net::Ipv4Addr, time::Instant};

use heartprobe_tests::{daemon::Daemon, http, net::Net};

use crate::{
    cost::Memory,
    scrape::scrape,
    table::{self, digits, median, megabytes, time},
};

/// As many as one monitor takes.
const ROWS: u32 = 1 << 20;

/// Where their addresses begin: those of 10.0.0.0/12.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 0);

/// Targets that a reload takes out, and as many that it brings.
const CHANGED: u32 = 1000;

const SCRAPES: usize = 5;

/// How the targets stand in the file.
#[derive(Clone, Copy)]
enum Written {
    Blocks,
    Lines,
}

impl Written {
    const fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks of 4,096",
            Self::Lines => "a line each",
        }
    }

    /// The file, with `changed` targets less than at first and as many others. Each hour is seldom enough for pings not to show.
    fn config(self, detail: &str, changed: u32) -> String {
        let mut config = format!(
            "metrics: {{detail: {detail}}}\ndefaults: {{interval: 1h}}\ngroups:\n- name: fleet\n  targets:\n"
        );
        let first = FIRST.to_bits();
        let line = |config: &mut String, at: u32, length: &str| {
            let _ = writeln!(config, "  - {}{length}", Ipv4Addr::from_bits(at));
        };
        match self {
            Self::Blocks => {
                // Two of a block's addresses are no hosts.
                let size = 4096;
                let skipped = changed.div_ceil(size) * size;
                for at in (skipped..ROWS + skipped).step_by(size as usize) {
                    line(&mut config, first + at, "/20");
                }
            }
            Self::Lines => {
                for at in changed..ROWS + changed {
                    line(&mut config, first + at, "");
                }
            }
        }
        config
    }
}

/// Measures and prints.
pub fn run() {
    let net = Net::new();
    net.fleet.ip("route add blackhole 10.0.0.0/8");
    net.monitor.ip("route add 10.0.0.0/8 via 198.18.0.2");
    let mut rows = table::new(&[
        "targets written as",
        "start until ready",
        "reload, nothing changed",
        "reload, some changed",
        "own memory a target",
        "at the most",
    ]);
    for written in [Written::Blocks, Written::Lines] {
        rows.add_row(start_and_reload(&net, written));
    }
    println!("A million rows: {ROWS} targets\n\n{rows}\n");
    println!(
        "Some changed: {CHANGED} targets gone and as many new; of blocks, one. Own memory: resident heap and stacks after start; at the most: while\n\
         the file was read anew. The table's 64 bytes a target come to it. Aims: start under 5 s, reload under 2 s, memory under 250 bytes.\n"
    );
    let mut scrapes = table::new(&[
        "metrics.detail",
        "/metrics",
        "size",
        "time",
        "memory for it",
    ]);
    for detail in ["groups", "exceptions", "all"] {
        let daemon = Daemon::run(&net.monitor, &Written::Blocks.config(detail, 0));
        for coding in ["identity", "gzip"] {
            scrapes.add_row(of_scrape(&net, &daemon, detail, coding));
        }
    }
    println!("Scrapes of them\n\n{scrapes}\n");
    println!(
        "Medians of {SCRAPES}. Memory: how much the daemon's own has grown after them. Aims: exceptions under 0.2 s, all under 2 s in constant memory.\n"
    );
}

fn start_and_reload(net: &Net, written: Written) -> [String; 6] {
    let begin = Instant::now();
    let daemon = Daemon::run(&net.monitor, &written.config("exceptions", 0));
    let start = begin.elapsed().as_secs_f64();
    let own = || Memory::of(daemon.id()).unwrap_or_default().own;
    let settled = own();
    let reload = |changed| {
        daemon.configure(&written.config("exceptions", changed));
        let begin = Instant::now();
        let answer = http::post(&net.monitor, Daemon::web(), "/-/reload");
        assert!(
            answer.is_ok_and(|answer| answer.status == 200),
            "{}",
            daemon.log()
        );
        begin.elapsed().as_secs_f64()
    };
    let same = reload(0);
    let other = reload(CHANGED);
    let a_target = |bytes: f64| format!("{} bytes", digits((bytes / f64::from(ROWS)).round()));
    [
        written.name().into(),
        time(start),
        time(same),
        time(other),
        a_target(settled),
        a_target(peak(daemon.id())),
    ]
}

/// The most that was ever resident (`VmHWM` of proc(5)) less what of it is the table's, bytes.
fn peak(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or_default() * 1024.0 - Memory::of(pid).unwrap_or_default().table
}

fn of_scrape(net: &Net, daemon: &Daemon<'_>, detail: &str, coding: &str) -> [String; 5] {
    let own = || Memory::of(daemon.id()).unwrap_or_default().own;
    let before = own();
    let mut times = Vec::new();
    let mut size = 0;
    for _ in 0..SCRAPES {
        let (time, body) = scrape(&net.monitor, Daemon::web(), coding).expect("it serves");
        times.push(time);
        size = body.len();
    }
    [
        detail.into(),
        if coding == "gzip" { "gzip" } else { "plain" }.into(),
        megabytes(size as f64),
        time(median(times)),
        megabytes((own() - before).max(0.0)),
    ]
}
