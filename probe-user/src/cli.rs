//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{
    agent, beat, check_config, demo, keygen, ping, reflect, run, simulate, version,
};

/// A heartbeat prober: pings a fleet over UDP, takes the time of every pong in the kernel, and tells which hosts are
/// up, overloaded, critical, dead or zombies.
#[derive(Debug, Parser)]
#[command(
    name = "heartprobe",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Reflect(reflect::Args),
    Agent(agent::Args),
    Beat(beat::Args),
    Demo(demo::Args),
    Simulate(simulate::Args),
    Ping(ping::Args),
    CheckConfig(check_config::Args),
    Keygen(keygen::Args),
    Version(version::Args),
}

impl Cli {
    /// Runs the chosen command; its exit code is 0 if all is well, 1 if not, 2 if the user must change what was asked.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Run(args) => args.run(),
            Command::Reflect(args) => args.run(),
            Command::Agent(args) => args.run(),
            Command::Beat(args) => args.run(),
            Command::Demo(args) => args.run(),
            Command::Simulate(args) => args.run(),
            Command::Ping(args) => args.run(),
            Command::CheckConfig(args) => args.run(),
            Command::Keygen(args) => args.run(),
            Command::Version(args) => args.run(),
        }
    }
}
