//! heartprobe: a heartbeat probe appliance for one dedicated monitoring box.

#![allow(dead_code, reason = "until the commands that use the modules stand")]

mod changes;
mod cli;
mod commands;
mod core;
mod fleet;
mod network;
mod snapshot;
mod standings;
mod table;
mod tally;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("heartprobe: {error:#}");
            ExitCode::FAILURE
        }
    }
}
