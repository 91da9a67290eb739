//! `heartprobe ping`.

use std::process::ExitCode;

/// Ping some hosts once and print what comes back
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::bail!("not built yet")
    }
}
