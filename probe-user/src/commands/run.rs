//! `heartprobe run`.

use std::process::ExitCode;

/// Probe the fleet of a configuration file and serve what is found to Prometheus
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::bail!("not built yet")
    }
}
