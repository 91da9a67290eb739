//! `heartprobe keygen`.

use std::process::ExitCode;

/// Make a new key for the fleet
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::bail!("not built yet")
    }
}
