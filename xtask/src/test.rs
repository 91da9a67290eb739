//! `cargo xtask test`: every check and test there is, in the order in which they fail fastest.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;

use crate::{digest, ebpf, process, setup, toolchain::cargo_program};

/// A part that a developer can run by itself.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Formatting, clippy, licences
    Lint,
    /// Unit and property tests, doctests
    Unit,
    /// The daemon in network namespaces; needs root
    E2e,
}

/// The package of the end-to-end tests.
const E2E: &str = "heartprobe-tests";

/// The files of tests that hold for either engine: they run with the kernel's, and once more with sockets.
const OF_BOTH_ENGINES: [&str; 8] = [
    "verdicts",
    "hostile",
    "outages",
    "paths",
    "reload",
    "operations",
    "services",
    "hearing",
];

/// How long fetching the list of known vulnerabilities may take.
const FETCH_LIMIT: Duration = Duration::from_secs(20);

/// Runs `only`, or everything.
pub fn run(root: &Path, only: Option<Part>) -> Result<()> {
    let mut run = Run::new(root)?;
    let wants = |part| only.is_none_or(|only| only == part);

    if only.is_none() {
        run.step("setup", |run| setup::run(run.root).map(|()| Outcome::Done))?;
    }
    if wants(Part::Lint) {
        run.step("formatting", Run::formatting)?;
    }
    if only.is_none() {
        run.step("committed eBPF object", Run::committed_object)?;
    }
    if only.is_none() || only == Some(Part::E2e) {
        run.step("fresh eBPF object", Run::fresh_object)?;
    }
    if wants(Part::Lint) {
        run.step("clippy", Run::clippy)?;
        run.step("clippy for eBPF", Run::clippy_ebpf)?;
        run.step("dependencies", Run::dependencies)?;
        run.step("known vulnerabilities", Run::vulnerabilities)?;
    }
    if wants(Part::Unit) {
        run.step("unit and property tests", Run::unit)?;
        run.step("doctests", Run::doctests)?;
    }
    if wants(Part::E2e) {
        run.step("end-to-end tests", Run::e2e)?;
    }
    run.close();
    Ok(())
}

/// What became of a step that did not fail.
enum Outcome {
    Done,
    /// Why it was left out.
    LeftOut(String),
}

/// One run of the tests.
struct Run<'a> {
    root: &'a Path,
    /// In CI, what cannot run is a failure.
    ci: bool,
    /// The daemon, as the build will leave it.
    daemon: PathBuf,
    /// The object that the daemon embeds in place of the committed one.
    fresh: Option<PathBuf>,
    started: Instant,
    done: usize,
    left_out: Vec<String>,
}

impl<'a> Run<'a> {
    fn new(root: &'a Path) -> Result<Self> {
        Ok(Self {
            root,
            ci: env::var_os("CI").is_some_and(|ci| ci == "true"),
            // Beside this program. Asked now: once the workspace is built anew, this program's path is that of a deleted file.
            daemon: env::current_exe()?.with_file_name("heartprobe"),
            fresh: None,
            started: Instant::now(),
            done: 0,
            left_out: Vec::new(),
        })
    }

    fn step(&mut self, title: &str, what: impl FnOnce(&mut Self) -> Result<Outcome>) -> Result<()> {
        println!("\n=== {title}");
        let started = Instant::now();
        let outcome = what(self);
        let seconds = started.elapsed().as_secs_f32();
        match outcome {
            Ok(Outcome::Done) => {
                println!("--- {title}: ok, {seconds:.1} s");
                self.done += 1;
            }
            Ok(Outcome::LeftOut(reason)) => {
                println!("--- {title}: LEFT OUT: {reason}");
                self.left_out.push(format!("{title} ({reason})"));
            }
            Err(error) => {
                println!("--- {title}: FAILED after {seconds:.1} s");
                return Err(error.context(format!("{title} failed")));
            }
        }
        Ok(())
    }

    fn close(&self) {
        let seconds = self.started.elapsed().as_secs();
        println!("\n=== {} steps passed in {seconds} s", self.done);
        if !self.left_out.is_empty() {
            println!("=== left out: {}", self.left_out.join("; "));
        }
    }

    /// For a step that cannot run here: nobody's fault on a developer's machine, a failure in CI.
    fn cannot(&self, reason: &str) -> Result<Outcome> {
        ensure!(!self.ci, "{reason}");
        Ok(Outcome::LeftOut(reason.to_owned()))
    }

    /// Cargo over the workspace. Every step builds with the same packages selected, or else the features of shared dependencies
    /// would differ and everything be built more than once.
    fn cargo(&self) -> Result<Command> {
        let mut command = process::cargo();
        command.current_dir(self.root);
        if let Some(fresh) = &self.fresh {
            command.env("HEARTPROBE_EBPF_FRESH", fresh);
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = env::split_paths(&path).chain([setup::programs(self.root)]);
        command.env("PATH", env::join_paths(folders)?);
        Ok(command)
    }

    fn formatting(&mut self) -> Result<Outcome> {
        process::run(self.cargo()?.args(["fmt", "--all", "--check"]))?;
        process::run(
            self.cargo()?
                .args(["fmt", "--check", "--manifest-path"])
                .arg("probe-ebpf/Cargo.toml"),
        )?;
        Ok(Outcome::Done)
    }

    /// The object is what users get, so it must be that of these sources though the tests run on a fresh one.
    fn committed_object(&mut self) -> Result<Outcome> {
        let sources = digest::of_sources(self.root)?;
        ensure!(
            digest::committed(self.root)? == Some(sources),
            "the committed eBPF object was built from other sources: run cargo xtask build-ebpf"
        );
        Ok(Outcome::Done)
    }

    fn fresh_object(&mut self) -> Result<Outcome> {
        if !ebpf::can_build() {
            return self.cannot("no toolchain for BPF, so the committed object is tested");
        }
        let fresh = self.root.join("target/ebpf/fresh.bpf.o");
        ebpf::build(self.root, &fresh)?;
        if fs::read(&fresh)? != fs::read(self.root.join(digest::OBJECT))? {
            println!("it differs from the committed one: another compiler, or other crates");
        }
        self.fresh = Some(fresh);
        Ok(Outcome::Done)
    }

    fn clippy(&mut self) -> Result<Outcome> {
        process::run(
            self.cargo()?
                .args(["clippy", "--workspace", "--all-targets", "--locked"])
                .args(["--", "-D", "warnings"]),
        )?;
        Ok(Outcome::Done)
    }

    fn clippy_ebpf(&mut self) -> Result<Outcome> {
        if !ebpf::can_build() {
            return self.cannot("no toolchain for BPF");
        }
        if !ebpf::clippy(self.root)? {
            return Ok(Outcome::LeftOut("that toolchain has no clippy".to_owned()));
        }
        Ok(Outcome::Done)
    }

    fn dependencies(&mut self) -> Result<Outcome> {
        if cargo_program("cargo-deny").is_none() {
            return self.cannot("no cargo-deny");
        }
        for manifest in ["Cargo.toml", "probe-ebpf/Cargo.toml"] {
            process::run(
                self.cargo()?
                    .args(["deny", "--log-level", "error", "--manifest-path", manifest])
                    .args(["check", "bans", "licenses", "sources"]),
            )?;
        }
        Ok(Outcome::Done)
    }

    fn vulnerabilities(&mut self) -> Result<Outcome> {
        if cargo_program("cargo-deny").is_none() {
            return self.cannot("no cargo-deny");
        }
        let mut fetch = self.cargo()?;
        fetch.args(["deny", "--log-level", "off", "fetch", "db"]);
        // Not a failure even in CI: a network that does not reach the database says nothing about the code.
        if process::run_within(&mut fetch, FETCH_LIMIT).is_err() {
            let reason = "the advisory database cannot be fetched here";
            return Ok(Outcome::LeftOut(reason.to_owned()));
        }
        let mut check = self.cargo()?;
        process::run(check.args(["deny", "--offline", "check", "advisories"]))?;
        Ok(Outcome::Done)
    }

    fn unit(&mut self) -> Result<Outcome> {
        match self.nextest()? {
            Some(mut nextest) => process::run(
                nextest
                    .arg("--filterset")
                    .arg(format!("not package({E2E})")),
            )?,
            None => process::run(
                self.cargo()?
                    .args(["test", "--workspace", "--locked", "--exclude", E2E])
                    .args(["--lib", "--bins", "--tests"]),
            )?,
        }
        Ok(Outcome::Done)
    }

    fn doctests(&mut self) -> Result<Outcome> {
        process::run(
            self.cargo()?
                .args(["test", "--workspace", "--locked", "--doc"]),
        )?;
        Ok(Outcome::Done)
    }

    fn e2e(&mut self) -> Result<Outcome> {
        if !process::is_root() {
            return self.cannot("network namespaces and eBPF need root");
        }
        // `--tests` for the features that they ask of shared dependencies, see `cargo`.
        process::run(self.cargo()?.args([
            "build",
            "--workspace",
            "--locked",
            "--bins",
            "--tests",
        ]))?;
        if !self.daemon.is_file() {
            bail!("the build left no {}", self.daemon.display());
        }
        process::run(&mut self.e2e_tests(&[])?).context("see what the tests say above")?;
        let mut by_socket = self.e2e_tests(&OF_BOTH_ENGINES)?;
        process::run(by_socket.env("HEARTPROBE_TEST_ENGINE", "socket"))
            .context("with engine: socket; see what the tests say above")?;
        Ok(Outcome::Done)
    }

    /// The end-to-end tests of these files, or all.
    fn e2e_tests(&self, files: &[&str]) -> Result<Command> {
        let mut tests = if let Some(mut nextest) = self.nextest()? {
            let files: Vec<String> = files.iter().map(|file| format!("binary({file})")).collect();
            let of_files = match files.as_slice() {
                [] => "all()".to_owned(),
                files => files.join(" | "),
            };
            nextest
                .arg("--filterset")
                .arg(format!("package({E2E}) & ({of_files})"))
                .args(["--test-threads", "2"]);
            nextest
        } else {
            let mut test = self.cargo()?;
            test.args(["test", "--locked", "--package", E2E]);
            match files {
                [] => test.arg("--tests"),
                files => test.args(files.iter().flat_map(|file| ["--test", file])),
            };
            test.args(["--", "--test-threads", "2"]);
            test
        };
        tests.env("HEARTPROBE_BIN", &self.daemon);
        Ok(tests)
    }

    /// `cargo nextest run` over the workspace; `None` where it is not there.
    fn nextest(&self) -> Result<Option<Command>> {
        if cargo_program("cargo-nextest").is_none() {
            return Ok(None);
        }
        let mut command = self.cargo()?;
        command
            .args(["nextest", "run", "--workspace", "--locked"])
            .args(["--no-tests", "warn"])
            .args(["--profile", if self.ci { "ci" } else { "default" }]);
        Ok(Some(command))
    }
}
