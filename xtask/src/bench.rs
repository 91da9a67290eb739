//! `cargo xtask bench`: builds the daemon and the bench for release, and runs the one on the other.

use std::{env, path::Path, process::Command};

use anyhow::{Result, bail};

use crate::{
    process::{self, cargo},
    setup,
};

/// The part of the bench that needs the daemon's insides, and so stands among its tests.
const KERNEL: &str = "kernel";
const KERNEL_TEST: &str = "kernel::transmit::bench::where_the_nanoseconds_go";

/// Builds and measures; the bench itself is `tests/bench/`, but for its part [`KERNEL`].
pub fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let only = arguments.iter().position(|argument| argument == "--only");
    let only = only.and_then(|place| arguments.get(place + 1));
    if only.is_none_or(|only| only != KERNEL) {
        fleet(root, arguments)?;
    }
    if only.is_none_or(|only| only == KERNEL) {
        kernel(root)?;
    }
    Ok(())
}

/// Whole daemons, fleets and peers.
fn fleet(root: &Path, arguments: &[String]) -> Result<()> {
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
    let mut bench = Command::new(built.join("heartprobe-bench"));
    process::run(
        bench
            .env("HEARTPROBE_BIN", built.join("heartprobe"))
            .env("PATH", env::join_paths(folders)?)
            .args(arguments),
    )
}

/// The kernel's part of a ping, piece by piece.
fn kernel(root: &Path) -> Result<()> {
    eprintln!("measuring the kernel's part");
    let output = cargo()
        .current_dir(root)
        .args(["test", "--quiet", "--release", "-p", "heartprobe", "--bin"])
        .args(["heartprobe", KERNEL_TEST, "--", "--ignored", "--nocapture"])
        .output()?;
    // To its standard output the test writes what every test does.
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{KERNEL_TEST} failed: {told}");
    }
    println!("{}", told.trim_end());
    Ok(())
}
