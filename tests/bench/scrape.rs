//! Table 3: what a scrape costs, and what the daemon takes in memory.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};
use heartprobe_tests::daemon::Daemon;

use crate::{
    Plan, cost,
    fleet::{Fleet, Receive},
};

const SCRAPES: usize = 7;

/// Measures at the largest size and prints the tables.
pub fn run(plan: &Plan) {
    let fleet = Fleet::new();
    let Some(&targets) = plan.sizes.iter().max() else {
        return;
    };
    let _reflector = fleet.reflector(Receive::Xdp);
    let (least, least_table) = {
        let daemon = fleet.monitor(1, Receive::Xdp);
        cost::memory(daemon.id()).unwrap_or_default()
    };
    let daemon = fleet.monitor(targets, Receive::Xdp);
    std::thread::sleep(Duration::from_secs(3));

    let mut table = Table::new();
    table
        .load_style(UTF8_HORIZONTAL_ONLY)
        .set_header(["/metrics", "median", "worst", "size"]);
    for (what, coding) in [("plain", "identity"), ("gzip", "gzip")] {
        let mut scrapes: Vec<(Duration, usize)> = (0..SCRAPES)
            .filter_map(|_| scrape(&fleet, coding).ok())
            .collect();
        scrapes.sort_unstable();
        let Some(&(median, size)) = scrapes.get(scrapes.len() / 2) else {
            continue;
        };
        let worst = scrapes.last().map_or(median, |&(time, _)| time);
        let time = |time: Duration| format!("{:.3} s", time.as_secs_f64());
        let size = format!("{:.1} MB", size as f64 / 1e6);
        table.add_row([what.to_owned(), time(median), time(worst), size]);
    }
    println!("{targets} targets pinged once a second meanwhile");
    println!("{table}");
    println!("aim: under 0.3 s\n");

    let (own, shared) = cost::memory(daemon.id()).unwrap_or_default();
    let each = |more: u64, less: u64| {
        format!(
            "{:.0} bytes",
            more.saturating_sub(less) as f64 / targets as f64
        )
    };
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header([
        "resident memory",
        "1 target",
        "all",
        "per target",
    ]);
    table.add_row([
        "of the daemon, after those scrapes".into(),
        megabytes(least),
        megabytes(own),
        each(own, least),
    ]);
    table.add_row([
        "program and table, mapped".into(),
        megabytes(least_table),
        megabytes(shared),
        each(shared, least_table),
    ]);
    println!("{table}");
    println!("aim: under 400 bytes a target besides the fixed part\n");
}

/// One scrape: how long until its last byte, and how many there were.
fn scrape(fleet: &Fleet, coding: &str) -> io::Result<(Duration, usize)> {
    let begin = Instant::now();
    let mut stream = fleet
        .net
        .monitor
        .enter(|| TcpStream::connect(Daemon::web()))?;
    write!(
        stream,
        "GET /metrics HTTP/1.0\r\nAccept-Encoding: {coding}\r\n\r\n"
    )?;
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok((begin.elapsed(), size)),
            length => size += length,
        }
    }
}
