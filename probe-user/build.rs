//! Hands the eBPF object to the daemon, and refuses one that was built from other sources.
//!
//! Sets for the crate: `HEARTPROBE_EBPF_OBJECT`, the object's absolute path, for
//! `aya::include_bytes_aligned!(env!("HEARTPROBE_EBPF_OBJECT"))`, and `HEARTPROBE_EBPF_DIGEST`, the first 12 hex digits of
//! the digest of its sources.
//!
//! `HEARTPROBE_EBPF_FRESH=PATH` in the environment takes the object at PATH in place of the committed one, unchecked: so
//! `cargo xtask test` tests the object that it has just built.

#[path = "../probe-ebpf/digest.rs"]
mod digest;

use std::{
    env, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

const FRESH: &str = "HEARTPROBE_EBPF_FRESH";

fn main() -> ExitCode {
    match object() {
        Ok((object, digest)) => {
            println!("cargo::rerun-if-changed={}", object.display());
            println!(
                "cargo::rustc-env=HEARTPROBE_EBPF_OBJECT={}",
                object.display()
            );
            println!("cargo::rustc-env=HEARTPROBE_EBPF_DIGEST={}", &digest[..12]);
            ExitCode::SUCCESS
        }
        Err(message) => {
            println!("cargo::error={message}");
            ExitCode::FAILURE
        }
    }
}

/// The object to embed, and the digest of the sources.
fn object() -> Result<(PathBuf, String), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("the package stands in no repository")?;
    println!("cargo::rerun-if-env-changed={FRESH}");
    for path in digest::SOURCES.iter().chain([&digest::DIGEST]) {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    let failed = |error: io::Error| format!("digest of the eBPF sources: {error}");
    let sources = digest::of_sources(root).map_err(failed)?;

    if let Some(fresh) = env::var_os(FRESH).filter(|path| !path.is_empty()) {
        // A relative path means one from the top of the repository, not from this package.
        let fresh = root.join(fresh);
        if !fresh.is_file() {
            return Err(format!("{FRESH} names no file: {}", fresh.display()));
        }
        return Ok((fresh, sources));
    }
    let object = root.join(digest::OBJECT);
    if !object.is_file() {
        return Err("there is no eBPF object: run cargo xtask build-ebpf".to_owned());
    }
    if digest::committed(root).map_err(failed)?.as_ref() != Some(&sources) {
        return Err(
            "the committed eBPF object was built from other sources: run cargo xtask build-ebpf"
                .to_owned(),
        );
    }
    Ok((object, sources))
}
