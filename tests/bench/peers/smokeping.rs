//! `smokeping_prober`: a program that pings by itself, and serves histograms.

use std::{fmt::Write as _, fs, thread, time::Duration};

use heartprobe_tests::{http, metrics::Scrape};
use tempfile::NamedTempFile;

use super::exporter::Exporter;
use crate::{
    fleet::{Block, Fleet, blocks},
    line::Line,
};

pub const PROGRAM: &str = "prometheus-smokeping-prober";

/// It starts with one host after the other, 10 ms apart.
const START: Duration = Duration::from_millis(10);

/// Has it ping so many targets once a second.
pub fn measure(fleet: &Fleet, targets: u32, window: Duration) -> Result<Line, String> {
    let mut config =
        "targets:\n- interval: 1s\n  network: ip4\n  protocol: icmp\n  hosts:\n".to_owned();
    for host in blocks(targets).into_iter().flat_map(Block::hosts) {
        let _ = writeln!(config, "  - {host}");
    }
    let file = NamedTempFile::new().map_err(|error| error.to_string())?;
    fs::write(file.path(), config).map_err(|error| error.to_string())?;
    let exporter = Exporter::start(fleet, PROGRAM, file.path(), 9374)?;
    thread::sleep(START * targets + Duration::from_secs(1));
    Ok(exporter.watch("smokeping_prober", targets, window, || {
        let answer = http::get(&fleet.net.monitor, exporter.at, "/metrics");
        let scrape = Scrape::parse(&answer.map(|answer| answer.body).unwrap_or_default());
        let all = |name: &str| scrape.sum(name, &[]) as f64;
        (
            all("smokeping_requests_total"),
            all("smokeping_response_duration_seconds_count"),
        )
    }))
}
