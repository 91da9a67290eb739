//! `cargo xtask build-ebpf`: builds the eBPF object and keeps the committed one fresh.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use object::build::elf::{Builder, SectionData};

use crate::{
    digest, process,
    toolchain::{self, Toolchain},
};

const TARGET: &str = "bpfel-unknown-none";

/// Whether all is there that the build needs.
pub fn can_build() -> bool {
    Toolchain::find().is_some() && toolchain::bpf_linker().is_ok()
}

/// Builds the object and puts it where it is committed, with the digest of its sources.
pub fn refresh(root: &Path) -> Result<()> {
    // Taken first: sources that change during the build must leave a digest that does not match.
    let sources = digest::of_sources(root).context("digest of the eBPF sources")?;
    build(root, &root.join(digest::OBJECT))?;
    fs::write(root.join(digest::DIGEST), sources + "\n").context("write the digest")
}

/// Builds the object to `output`.
pub fn build(root: &Path, output: &Path) -> Result<()> {
    let toolchain = find_toolchain()?;
    println!("building the eBPF object with {}", toolchain.name);
    process::run(command(root, &toolchain, "build")?.args(["--release", "--locked"]))?;

    let built = root.join("target/ebpf").join(TARGET);
    let built = fs::read(built.join("release/heartprobe-ebpf")).context("read the built object")?;
    let stripped = strip(&built).context("strip the object")?;
    if let Some(folder) = output.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    // An object that is the same keeps its time: nothing is built again for it.
    if fs::read(output).is_ok_and(|before| before == stripped) {
        println!("{}: unchanged", output.display());
        return Ok(());
    }
    fs::write(output, &stripped).with_context(|| format!("write {}", output.display()))?;
    println!("{}: {} bytes", output.display(), stripped.len());
    Ok(())
}

/// Runs clippy over the eBPF programs; `false` where the toolchain has none.
pub fn clippy(root: &Path) -> Result<bool> {
    let toolchain = find_toolchain()?;
    if !toolchain.has_clippy() {
        return Ok(false);
    }
    let mut command = command(root, &toolchain, "clippy")?;
    process::run(command.args(["--release", "--locked", "--", "-D", "warnings"]))?;
    Ok(true)
}

fn find_toolchain() -> Result<Toolchain> {
    Toolchain::find().context("no toolchain here can build for BPF: run cargo xtask setup")
}

/// `cargo SUBCOMMAND` over the eBPF programs.
fn command(root: &Path, toolchain: &Toolchain, subcommand: &str) -> Result<Command> {
    let mut command = toolchain.cargo(root, subcommand)?;
    command
        .current_dir(root.join("probe-ebpf"))
        .args(["--target", TARGET, "-Zbuild-std=core"])
        .arg("--target-dir")
        .arg(root.join("target/ebpf"))
        // Encoded, because the paths in it may hold spaces.
        .env("CARGO_ENCODED_RUSTFLAGS", flags(root, toolchain)?);
    Ok(command)
}

/// The flags of the BPF target.
fn flags(root: &Path, toolchain: &Toolchain) -> Result<OsString> {
    let mut flags = OsString::from("-Clinker=");
    flags.push(toolchain::bpf_linker()?);
    for flag in [
        // 32-bit jumps and arithmetic: kernel 5.1 or later.
        "-Ctarget-cpu=v3",
        // An 8-byte field at an odd place in a packet is one load, not eight. The verifier allows it where the processor
        // does (x86-64, arm64), but never on the stack: buffers there must be aligned.
        "-Clink-arg=--cpu-features=+allows-misaligned-mem-access",
        "-Clink-arg=--btf",
        // rustc's description of the target says that BPF has no atomics but 64-bit loads and stores. The instruction set v3
        // has or, and, add, exchange and compare-exchange of 32 and 64 bits, and narrow loads and stores are whole on every
        // processor; with these `core` offers them, and the row is one piece of code for kernel and daemon.
        "--cfg=target_has_atomic",
        "--cfg=target_has_atomic=\"32\"",
        "--cfg=target_has_atomic=\"64\"",
        "--cfg=target_has_atomic_load_store=\"16\"",
        "--cfg=target_has_atomic_load_store=\"32\"",
        "-Aexplicit_builtin_cfgs_in_flags",
    ] {
        flags.push("\x1f");
        flags.push(flag);
    }
    // The object is the same wherever it is built: no path of the machine may get into it.
    for (path, name) in remapped(root, toolchain)? {
        flags.push("\x1f--remap-path-prefix=");
        flags.push(path);
        flags.push("=");
        flags.push(name);
    }
    Ok(flags)
}

/// The folders that sources are compiled from, and what the object calls each.
fn remapped(root: &Path, toolchain: &Toolchain) -> Result<Vec<(PathBuf, &'static str)>> {
    let mut folders = vec![(root.to_owned(), "heartprobe")];
    let sources = toolchain.sources();
    // Debian's is a link, and rustc writes down now the one path, now the other.
    folders.push((fs::canonicalize(&sources)?, "rust"));
    folders.push((sources, "rust"));
    let registries = toolchain::cargo_home().map(|home| home.join("registry/src"));
    for registry in registries.iter().filter_map(|path| path.read_dir().ok()) {
        for folder in registry {
            folders.push((folder?.path(), "crates"));
        }
    }
    Ok(folders)
}

/// Takes out the DWARF: it is nine tenths of the object, and the kernel reads BTF alone.
fn strip(object: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(object)?;
    for section in &mut builder.sections {
        let name = section.name.to_string();
        section.delete = name.starts_with(".debug_") || name.starts_with(".rel.debug_");
    }
    builder.delete_orphans();
    // LLVM keeps the names of sections and of symbols in one table; this writer wants one for each.
    let names = builder.sections.add();
    names.name = ".shstrtab".into();
    names.sh_type = object::elf::SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    Ok(stripped)
}
