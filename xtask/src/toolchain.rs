//! Finds a compiler that can build for BPF: it must be able to build `core` from source.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::process::{answer, which};

/// The version of LLVM that the pinned bpf-linker speaks.
pub const LLVM: u32 = 22;

/// A compiler with the sources of its `core`, and the LLVM library for bpf-linker.
pub struct Toolchain {
    /// What it is, for people.
    pub name: &'static str,
    sysroot: PathBuf,
    llvm: PathBuf,
}

impl Toolchain {
    /// A rustup nightly with `rust-src`, else Debian's `rustc-web` with `rust-web-src`; `None` where neither is complete.
    pub fn find() -> Option<Self> {
        Self::nightly().or_else(Self::debian)
    }

    fn nightly() -> Option<Self> {
        let rustc = || {
            let mut command = Command::new("rustc");
            // Set by the rustup proxy that runs this program; it would win over `+nightly`.
            command.env_remove("RUSTUP_TOOLCHAIN").arg("+nightly");
            command
        };
        let sysroot = PathBuf::from(answer(rustc().args(["--print", "sysroot"]))?);
        let version = answer(rustc().arg("-vV"))?;
        let major = version
            .lines()
            .find_map(|line| line.strip_prefix("LLVM version: "))
            .and_then(|llvm| llvm.split('.').next()?.parse::<u32>().ok())?;
        // A newer LLVM reads the bitcode of an older one, never the other way round.
        let llvm = match major {
            LLVM => library_in(&sysroot.join("lib"))?,
            ..LLVM => debian_llvm()?,
            _ => return None,
        };
        Self::complete("rustup's nightly", sysroot, llvm)
    }

    fn debian() -> Option<Self> {
        let sysroot = answer(Command::new("/usr/bin/rustc").args(["--print", "sysroot"]))?;
        Self::complete("Debian's rustc", PathBuf::from(sysroot), debian_llvm()?)
    }

    fn complete(name: &'static str, sysroot: PathBuf, llvm: PathBuf) -> Option<Self> {
        let found = Self {
            name,
            sysroot,
            llvm,
        };
        let there = found.sources().join("library/core/Cargo.toml").is_file()
            && found.program("cargo").is_file()
            && found.program("rustc").is_file();
        there.then_some(found)
    }

    /// The folder of the standard library's sources.
    pub fn sources(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust")
    }

    /// Whether apt installs what belongs to it.
    pub fn is_debian(&self) -> bool {
        self.sysroot == Path::new("/usr")
    }

    /// Whether it has clippy.
    pub fn has_clippy(&self) -> bool {
        self.program("cargo-clippy").is_file() && self.program("clippy-driver").is_file()
    }

    /// A cargo command of its own, with an environment in which rustc and bpf-linker find each their own; what holds for the
    /// build of this program must not reach it.
    pub fn cargo(&self, root: &Path, subcommand: &str) -> Result<Command> {
        // Called by itself, for `cargo clippy` would look for it among the programs that cargo installed, and find rustup's.
        let program = match subcommand {
            "clippy" => "cargo-clippy",
            _ => "cargo",
        };
        let mut command = Command::new(self.program(program));
        command.arg(subcommand);
        for variable in [
            "RUSTUP_TOOLCHAIN",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTFLAGS",
            "CARGO_BUILD_TARGET",
        ] {
            command.env_remove(variable);
        }
        command
            .env("RUSTC", self.program("rustc"))
            .env("CARGO", self.program("cargo"))
            // `-Z` flags and the inline assembly of aya-ebpf, on a compiler that is not a nightly.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("LD_LIBRARY_PATH", self.llvm_folder(root)?);
        Ok(command)
    }

    /// A folder for `LD_LIBRARY_PATH` with this LLVM alone in it: bpf-linker opens the first file there that is named
    /// `libLLVM*.so`, and in the system's folder that may be any other version.
    fn llvm_folder(&self, root: &Path) -> Result<PathBuf> {
        let folder = root.join("target/tools/llvm");
        let link = folder.join(format!("libLLVM-{LLVM}.so"));
        if fs::read_link(&link).ok().as_ref() != Some(&self.llvm) {
            fs::create_dir_all(&folder).context("create the folder for LLVM")?;
            // It may or may not be there; what matters is the link that comes after.
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(&self.llvm, &link).context("link the LLVM library")?;
        }
        Ok(folder)
    }

    fn program(&self, name: &str) -> PathBuf {
        self.sysroot.join("bin").join(name)
    }
}

/// Where bpf-linker stands.
pub fn bpf_linker() -> Result<PathBuf> {
    cargo_program("bpf-linker").context("there is no bpf-linker: run cargo xtask setup")
}

/// Where a program stands that cargo installs; its folder need not be on the search path.
pub fn cargo_program(name: &str) -> Option<PathBuf> {
    cargo_home()
        .map(|home| home.join("bin").join(name))
        .filter(|path| path.is_file())
        .or_else(|| which(name))
}

/// Cargo's own folder.
pub fn cargo_home() -> Option<PathBuf> {
    match env::var_os("CARGO_HOME") {
        Some(home) => Some(PathBuf::from(home)),
        None => Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")),
    }
}

/// Debian's LLVM library (package libllvm22).
fn debian_llvm() -> Option<PathBuf> {
    let name = format!("libLLVM.so.{LLVM}.1");
    [
        format!("/usr/lib/{}-linux-gnu", env::consts::ARCH),
        format!("/usr/lib/llvm-{LLVM}/lib"),
        "/usr/lib64".to_owned(),
    ]
    .iter()
    .map(|folder| Path::new(folder).join(&name))
    .find(|path| path.is_file())
}

/// The LLVM library that a rustup toolchain brings along, under a name that holds its version.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let prefix = format!("libLLVM.so.{LLVM}");
    fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
        })
}
