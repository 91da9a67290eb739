//! `cargo xtask setup`: what building the eBPF side and testing need.
//!
//! Each step looks first and does nothing where all is there. What cannot be installed is named at the end, with what to do;
//! only in CI is that a failure, for everywhere else the tests that can run shall run.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    process,
    toolchain::{self, Toolchain},
};

/// Debian's compiler with the sources of its `core`: for where rustup has no nightly with rust-src.
const EBPF_PACKAGES: [&str; 5] = [
    "cargo-web",
    "libllvm22",
    "rust-web-clippy",
    "rust-web-src",
    "rustc-web",
];

/// What the end-to-end tests and the bench run, as program and package.
const TEST_PROGRAMS: [(&str, &str); 6] = [
    ("ethtool", "ethtool"),
    ("fping", "fping"),
    ("ip", "iproute2"),
    ("masscan", "masscan"),
    ("python3", "python3"),
    ("zmap", "zmap"),
];

/// Packages that would set up a service and start it, where all that is wanted is their programs: these are taken out of the
/// package, which is not installed.
const SERVICES: [(&str, &[&str]); 3] = [
    ("prometheus", &["prometheus", "promtool"]),
    (
        "prometheus-blackbox-exporter",
        &["prometheus-blackbox-exporter"],
    ),
    (
        "prometheus-smokeping-prober",
        &["prometheus-smokeping-prober"],
    ),
];

/// A program that cargo installs.
struct Tool {
    /// Both the program and its package.
    name: &'static str,
    /// What is installed where it is not there, or not [as wanted](Tool::accepts).
    version: &'static str,
    /// The versions that do begin so.
    accepts: &'static str,
    features: &'static [&'static str],
}

const BPF_LINKER: Tool = Tool {
    name: "bpf-linker",
    version: "0.10.3",
    // Another one may speak another LLVM.
    accepts: "0.10.3",
    // LLVM is opened when it runs, so that no LLVM need be there when it is built.
    features: &["--no-default-features", "--features", "rust-llvm-22"],
};

const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    accepts: "0.20.",
    features: &[],
};

const CARGO_NEXTEST: Tool = Tool {
    name: "cargo-nextest",
    version: "0.9.143",
    accepts: "0.9.",
    features: &[],
};

/// Where the programs stand that only the tests use: in the build's own folder, not on the system.
pub fn programs(root: &Path) -> PathBuf {
    root.join("target/tools/bin")
}

/// Installs what is missing.
pub fn run(root: &Path) -> Result<()> {
    let mut missing = Vec::new();
    note(&mut missing, "system packages", packages());
    if Toolchain::find().is_some() {
        note(&mut missing, BPF_LINKER.name, BPF_LINKER.ensure());
    }
    for tool in [CARGO_DENY, CARGO_NEXTEST] {
        note(&mut missing, tool.name, tool.ensure());
    }
    for (package, programs) in SERVICES {
        note(&mut missing, package, unpack(root, package, programs));
    }

    if let Some(toolchain) = Toolchain::find() {
        println!("eBPF programs build with {}", toolchain.name);
    }
    if !missing.is_empty() && env::var_os("CI").is_some_and(|ci| ci == "true") {
        bail!("could not install: {}", missing.join(", "));
    }
    Ok(())
}

/// Tells how one step went.
fn note(missing: &mut Vec<&'static str>, what: &'static str, outcome: Result<String>) {
    match outcome {
        Ok(done) => println!("{what}: {done}"),
        Err(error) => {
            println!("{what}: NOT INSTALLED: {error:#}");
            missing.push(what);
        }
    }
}

fn packages() -> Result<String> {
    let mut wanted = Vec::new();
    match Toolchain::find() {
        None => wanted.extend(EBPF_PACKAGES),
        Some(toolchain) if toolchain.is_debian() && !toolchain.has_clippy() => {
            wanted.push("rust-web-clippy");
        }
        Some(_) => {}
    }
    for (program, package) in TEST_PROGRAMS {
        if !is_installed(program) {
            wanted.push(package);
        }
    }
    if wanted.is_empty() {
        return Ok("all there".to_owned());
    }
    let names = wanted.join(" ");
    if process::which("apt-get").is_none() {
        bail!("there is no apt-get here; by Debian's names they are: {names}");
    }
    if !process::is_root() {
        bail!("run as root: apt-get install --no-install-recommends {names}");
    }
    println!("system packages: installing {names}");
    process::run(apt().args(["-qq", "update"]))?;
    // `--no-remove`: rustc-web takes the place of the package rustc, and nobody asked for that one to go.
    process::run(
        apt()
            .args(["-qq", "-o", "Dpkg::Use-Pty=0", "install"])
            .args(["--yes", "--no-remove"])
            .arg("--no-install-recommends")
            .args(&wanted),
    )?;
    Ok(format!("installed {names}"))
}

/// Takes these programs out of Debian's package.
fn unpack(root: &Path, package: &str, wanted: &[&str]) -> Result<String> {
    let folder = programs(root);
    if wanted
        .iter()
        .all(|name| is_installed(name) || folder.join(name).is_file())
    {
        return Ok("there".to_owned());
    }
    println!("{package}: unpacking Debian's into {}", folder.display());
    let unpacked = root.join("target/tools/unpacked");
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked)?;
    }
    fs::create_dir_all(&unpacked)?;
    fs::create_dir_all(&folder)?;
    // The sandbox user of apt cannot write here, and saying so is all that apt does about it.
    process::run(
        apt()
            .current_dir(&unpacked)
            .args(["-qq", "-o", "APT::Sandbox::User=root", "download"])
            .arg(package),
    )?;
    let archive = fs::read_dir(&unpacked)?
        .next()
        .context("apt-get downloaded nothing")??
        .path();
    process::run(
        Command::new("dpkg-deb")
            .arg("--extract")
            .args([&archive, &unpacked]),
    )?;
    for name in wanted {
        let program = unpacked.join("usr/bin").join(name);
        fs::rename(&program, folder.join(name)).with_context(|| format!("take out {name}"))?;
    }
    fs::remove_dir_all(&unpacked)?;
    Ok("unpacked".to_owned())
}

impl Tool {
    /// Installs it where it is not there in a version that does.
    fn ensure(&self) -> Result<String> {
        if let Some(version) = self.installed() {
            if version.starts_with(self.accepts) {
                return Ok(format!("{version}, there"));
            }
            println!("{}: {version} is not the one wanted", self.name);
        }
        println!("{}: building {}", self.name, self.version);
        process::run(
            process::cargo()
                .args(["install", "--quiet", "--locked", self.name])
                .args(["--version", self.version])
                .args(self.features),
        )?;
        Ok(format!("installed {}", self.version))
    }

    fn installed(&self) -> Option<String> {
        let path = toolchain::cargo_program(self.name)?;
        let answer = process::answer(Command::new(path).arg("--version"))?;
        Some(answer.split_whitespace().nth(1)?.to_owned())
    }
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Whether `program` is on the system; on Debian some stand where only root looks.
fn is_installed(program: &str) -> bool {
    let mut folders = ["/usr/sbin", "/sbin"].iter().map(Path::new);
    process::which(program).is_some() || folders.any(|folder| folder.join(program).is_file())
}
