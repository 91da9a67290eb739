//! A million rows: how long it takes to start with them and to read them anew, what they take in memory, and what a scrape
//! of them costs at each detail; and what both do to the pings meanwhile.

use std::{
    fmt::Write as _,
    fs,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use heartprobe_tests::{daemon::Daemon, http, net::Net};

use crate::{
    cost::Memory,
    fleet::{Engine, Fleet},
    histogram::Histogram,
    rate::warm_up,
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

/// The size of a block; two of its addresses are no hosts.
const BLOCK: u32 = 4096;

/// How long pings are looked at after a reload or a scrape.
const SETTLE: Duration = Duration::from_secs(1);

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
        self.with_settings(detail, "interval: 1h", changed)
    }

    fn with_settings(self, detail: &str, settings: &str, changed: u32) -> String {
        let mut config = format!(
            "metrics: {{detail: {detail}}}\ndefaults: {{{settings}}}\ngroups:\n- name: fleet\n  targets:\n"
        );
        let first = FIRST.to_bits();
        let line = |config: &mut String, at: u32, length: &str| {
            let _ = writeln!(config, "  - {}{length}", Ipv4Addr::from_bits(at));
        };
        match self {
            Self::Blocks => {
                let skipped = changed.div_ceil(BLOCK) * BLOCK;
                for at in (skipped..ROWS + skipped).step_by(BLOCK as usize) {
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
    println!(
        "Reloads and scrapes while a million are pinged each second\n\n{}\n",
        meanwhile()
    );
    println!(
        "Lag is that of each turn's oldest ping, from the event's begin until {} s after; with a scrape, of the reloads that turn its detail\n\
         on and off as well. No host changes, so any verdict but up is false. Aim: lag under 2 ms at p99.\n",
        SETTLE.as_secs()
    );
}

/// What becomes of the pings of a million hosts while the daemon does something else.
fn meanwhile() -> comfy_table::Table {
    let fleet = Fleet::of(Engine::Kernel);
    let net = &fleet.net;
    let config = |detail: &str, settings: &str, changed| {
        let settings = format!("timeout: 900ms, {settings}");
        let config = Written::Blocks.with_settings(detail, &settings, changed);
        format!("engine: kernel\nxdp: native\n{config}")
    };
    let daemon = Daemon::run(&net.monitor, &config("groups", "interval: 1s", 0));
    warm_up(&daemon, hosts(), Duration::from_secs(1));
    let mut table = table::new(&[
        "",
        "time",
        "lag p99",
        "at the most",
        "unsent",
        "false verdicts",
    ]);
    let mut row = |what: &str, event: &dyn Fn() -> f64| {
        let before = Pings::of(&daemon);
        let took = event();
        thread::sleep(SETTLE);
        let pings = Pings::of(&daemon);
        let lag = pings.lag.since(&before.lag);
        table.add_row([
            what.into(),
            time(took),
            lag.quantile(0.99),
            lag.quantile(1.0),
            digits(pings.unsent - before.unsent),
            digits(pings.false_verdicts - before.false_verdicts),
        ]);
    };
    row("nothing else", &|| 0.0);
    for (what, settings, changed) in [
        ("nothing new in the file", "interval: 1s", 0),
        ("a block gone, a new one", "interval: 1s", CHANGED),
        (
            "all judged otherwise",
            "interval: 1s, dead_after: 4",
            CHANGED,
        ),
        ("all less often", "interval: 2s, dead_after: 4", CHANGED),
        ("all as at first", "interval: 1s", 0),
    ] {
        let config = config("groups", settings, changed);
        row(&format!("reload: {what}"), &|| {
            reload(net, &daemon, &config)
        });
    }
    for detail in ["exceptions", "all"] {
        for (coding, name) in [("identity", "plain"), ("gzip", "gzip")] {
            row(&format!("scrape: {detail}, {name}"), &|| {
                reload(net, &daemon, &config(detail, "interval: 1s", 0));
                let (took, _) = scrape(&net.monitor, Daemon::web(), coding).expect("it serves");
                // What counts pings is a scrape, too.
                reload(net, &daemon, &config("groups", "interval: 1s", 0));
                took
            });
        }
    }
    table
}

/// What the daemon has counted of its pings since its start.
struct Pings {
    lag: Histogram,
    unsent: f64,
    false_verdicts: f64,
}

impl Pings {
    fn of(daemon: &Daemon<'_>) -> Self {
        let scrape = daemon.scrape();
        Self {
            lag: Histogram::of(&scrape, "heartprobe_ping_lag_seconds"),
            unsent: scrape.sum("heartprobe_pings_unsent_total", &[]) as f64,
            false_verdicts: (scrape.changes() - scrape.changes_to("up")) as f64,
        }
    }
}

/// Hosts among so many addresses in blocks.
const fn hosts() -> u32 {
    ROWS / BLOCK * (BLOCK - 2)
}

fn start_and_reload(net: &Net, written: Written) -> [String; 6] {
    let begin = Instant::now();
    let daemon = Daemon::run(&net.monitor, &written.config("exceptions", 0));
    let start = begin.elapsed().as_secs_f64();
    let own = || Memory::of(daemon.id()).unwrap_or_default().own;
    let settled = own();
    let same = reload(net, &daemon, &written.config("exceptions", 0));
    let other = reload(net, &daemon, &written.config("exceptions", CHANGED));
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

/// How long the daemon takes to read this configuration, in seconds.
fn reload(net: &Net, daemon: &Daemon<'_>, config: &str) -> f64 {
    daemon.configure(config);
    let begin = Instant::now();
    let answer = http::post(&net.monitor, Daemon::web(), "/-/reload");
    assert!(
        answer.is_ok_and(|answer| answer.status == 200),
        "{}",
        daemon.log()
    );
    begin.elapsed().as_secs_f64()
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
