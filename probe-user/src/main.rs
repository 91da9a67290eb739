//! heartprobe: a heartbeat probe appliance for one dedicated monitoring box.

mod agent;
mod changes;
mod checks;
mod cli;
mod clock;
mod commands;
mod complaint;
mod config;
mod core;
mod daemon;
mod demo;
mod engine;
mod fleet;
mod flights;
mod health;
mod kernel;
mod keys;
mod metrics;
mod monitor;
mod network;
mod outlet;
mod paths;
mod prober;
mod pulse;
mod random;
mod recipient;
mod reflector;
mod resolve;
mod sessions;
mod simulate;
mod snapshot;
mod standings;
mod table;
mod tally;
mod udp;
mod web;
mod written;

use std::{io::IsTerminal as _, process::ExitCode};

use clap::Parser as _;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

fn main() -> ExitCode {
    init_log();
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            // Each of its lines begins with a place in the file, for editors to jump to.
            if let Some(errors) = error
                .chain()
                .find_map(|e| e.downcast_ref::<config::Errors>())
            {
                eprintln!("{errors}");
                return ExitCode::from(2);
            }
            eprintln!("heartprobe: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Logs to standard error; `RUST_LOG` chooses how much.
fn init_log() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
