//! heartprobe's own commands: `cargo xtask setup | build-ebpf | test`.
#![forbid(unsafe_code)]

#[path = "../../probe-ebpf/digest.rs"]
mod digest;
mod ebpf;
mod process;
mod toolchain;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Parser;

/// heartprobe's own build and test commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Builds the eBPF programs and refreshes the committed object and its digest
    BuildEbpf {
        /// Write the object here and leave the committed one alone
        #[arg(long, value_name = "PATH")]
        output: Option<PathBuf>,
    },
}

fn main() -> Result<()> {
    let root = root()?;
    match Command::parse() {
        Command::BuildEbpf { output: None } => ebpf::refresh(&root),
        Command::BuildEbpf { output: Some(path) } => ebpf::build(&root, &path),
    }
}

/// The top of the repository.
fn root() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    Ok(root.context("xtask stands in no repository")?.to_owned())
}
