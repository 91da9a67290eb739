//! `heartprobe check-config`.

use std::process::ExitCode;

/// Check a configuration file and print what it would do
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::bail!("not built yet")
    }
}
