//! `cargo xtask bench`: builds the daemon and the bench for release, and runs the one on the other.

use std::{env, path::Path};

use anyhow::Result;

use crate::{
    process::{self, cargo},
    setup,
};

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
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([setup::programs(root), "/usr/sbin".into()]);
    let mut bench = std::process::Command::new(built.join("heartprobe-bench"));
    process::run(
        bench
            .env("HEARTPROBE_BIN", built.join("heartprobe"))
            .env("PATH", env::join_paths(folders)?)
            .args(arguments),
    )
}
