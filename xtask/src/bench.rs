//! `cargo xtask bench`: builds the daemon and the bench for release, and runs the one on the other.

use std::path::Path;

use anyhow::Result;

use crate::process::{self, cargo};

/// Builds and measures; the bench itself is `tests/bench/`.
pub fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let packages = ["-p", "heartprobe", "-p", "heartprobe-tests", "--bins"];
    process::run(
        cargo()
            .current_dir(root)
            .args(["build", "--release"])
            .args(packages),
    )?;
    let built = root.join("target/release");
    let mut bench = std::process::Command::new(built.join("heartprobe-bench"));
    process::run(
        bench
            .env("HEARTPROBE_BIN", built.join("heartprobe"))
            .args(arguments),
    )
}
