//! `heartprobe version`.

use std::process::ExitCode;

/// Print the version of the program and of what is built into it
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::bail!("not built yet")
    }
}
