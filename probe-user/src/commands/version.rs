//! `heartprobe version`.

use std::process::ExitCode;

/// Print the version of the program and of what is built into it
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    /// Runs the command.
    #[expect(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "all commands are run alike"
    )]
    pub fn run(self) -> anyhow::Result<ExitCode> {
        println!("heartprobe {}", env!("CARGO_PKG_VERSION"));
        println!("eBPF programs {}", env!("HEARTPROBE_EBPF_DIGEST"));
        println!("wire format 1");
        Ok(ExitCode::SUCCESS)
    }
}
