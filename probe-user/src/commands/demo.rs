//! `heartprobe demo`.

use std::process::ExitCode;

/// Show a fleet in this terminal: no root, no configuration, no network
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::bail!("not built yet")
    }
}
