//! `zmap`, a scanner: each address once, as fast as it is told.

use std::{fs, process::Command, time::Duration};

use heartprobe_tests::net::WIRE;
use tempfile::NamedTempFile;

use super::scanner::{self, COOLDOWN, Scan};
use crate::{fleet::Fleet, line::Line};

/// Asks so many addresses a second for about `window`.
pub fn measure(fleet: &Fleet, rate: u32, window: Duration) -> Result<Line, String> {
    let scan = Scan::of(rate, window);
    let answers = NamedTempFile::new().map_err(|error| error.to_string())?;
    let mut command = Command::new("zmap");
    command
        .args([
            "--quiet",
            "--probe-module=icmp_echoscan",
            "--sender-threads=1",
        ])
        .args(["--interface", WIRE, "--source-ip=198.18.0.1"])
        .args(["--gateway-mac", &scanner::gateway(fleet)])
        // Its own list of what not to scan has the fleet's addresses on it.
        .args(["--blacklist-file=/dev/null", "--output-module=csv"])
        .args(["--rate", &rate.to_string()])
        .args(["--cooldown-time", &COOLDOWN.to_string()])
        .arg("--output-file")
        .arg(answers.path())
        .arg(scan.prefix());
    scan.run("zmap", fleet, &mut command, || {
        let answers = fs::read_to_string(answers.path()).unwrap_or_default();
        answers
            .lines()
            .filter(|line| line.starts_with("10."))
            .count() as f64
    })
}
