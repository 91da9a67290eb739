//! `masscan`, a scanner: each address once, as fast as it is told.

use std::{collections::HashSet, fs, process::Command, time::Duration};

use heartprobe_tests::net::WIRE;

use super::scanner::{self, COOLDOWN, Scan};
use crate::{fleet::Fleet, line::Line};

/// Asks so many addresses a second for about `window`.
pub fn measure(fleet: &Fleet, rate: u32, window: Duration) -> Result<Line, String> {
    let scan = Scan::of(rate, window);
    // Where it is interrupted it writes how to resume.
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let answers = folder.path().join("answers");
    let mut command = Command::new("masscan");
    command
        .current_dir(folder.path())
        .args(["--ping", "--interface", WIRE, "--source-ip", "198.18.0.1"])
        .args(["--router-mac", &scanner::gateway(fleet)])
        .args(["--rate", &rate.to_string(), "--wait", &COOLDOWN.to_string()])
        .arg("-oL")
        .arg(&answers)
        .arg(scan.prefix());
    scan.run("masscan", fleet, &mut command, || {
        let answers = fs::read_to_string(&answers).unwrap_or_default();
        // It tells some hosts more than once.
        let hosts: HashSet<_> = answers.lines().filter_map(host).collect();
        hosts.len() as f64
    })
}

/// The address in a line such as `open icmp 0 10.0.232.150 1795254428`.
fn host(line: &str) -> Option<&str> {
    line.strip_prefix("open icmp ")?.split(' ').nth(1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn hosts_are_read_from_what_it_writes() {
        assert_eq!(
            super::host("open icmp 0 10.0.2.150 1795254428"),
            Some("10.0.2.150")
        );
        assert_eq!(super::host("#masscan"), None);
    }
}
