//! heartprobe's own commands: `cargo xtask setup | build-ebpf | test | bench`.
#![forbid(unsafe_code)]

mod bench;
#[path = "../../probe-ebpf/digest.rs"]
mod digest;
mod ebpf;
mod process;
mod setup;
mod test;
mod toolchain;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::Parser;

/// heartprobe's own build, test and bench commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Installs what building the eBPF side and testing need; does nothing where all is there
    Setup,
    /// Builds the eBPF programs and refreshes the committed object and its digest
    BuildEbpf {
        /// Write the object here and leave the committed one alone
        #[arg(long, value_name = "PATH")]
        output: Option<PathBuf>,
    },
    /// Measures what heartprobe costs, beside its peers, and prints tables (needs root; some 15 minutes)
    Bench {
        /// --quick: short windows, no million; --targets N[,N...]: how many; --only
        /// rate|peers|outage|rtt|scrape|million|kernel: one part; --plot FILE.svg: draw the rates
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "OPTION"
        )]
        options: Vec<String>,
    },
    /// Runs every check and test, from formatting to end to end (those need root)
    Test {
        /// Run one part, without setup
        #[arg(long, value_enum)]
        only: Option<test::Part>,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, whatever RUST_BACKTRACE says: it is no bug of this program that a test fails.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let root = root()?;
    match Command::parse() {
        Command::Setup => setup::run(&root),
        Command::BuildEbpf { output: None } => ebpf::refresh(&root),
        Command::BuildEbpf { output: Some(path) } => ebpf::build(&root, &path),
        Command::Bench { options } => bench::run(&root, &options),
        Command::Test { only } => test::run(&root, only),
    }
}

/// The top of the repository.
fn root() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    Ok(root.context("xtask stands in no repository")?.to_owned())
}
