//! The digest of the sources that the eBPF object is built from.
//!
//! One file for two users: `cargo xtask build-ebpf` writes the digest beside the committed object, and the build script of
//! `probe-user` refuses an object whose digest is not that of the sources it sees.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

/// What the object is built from, relative to the top of the repository; folders count with all that is in them.
pub const SOURCES: [&str; 5] = [
    "probe-common/Cargo.toml",
    "probe-common/src",
    "probe-ebpf/Cargo.lock",
    "probe-ebpf/Cargo.toml",
    "probe-ebpf/src",
];

/// The object that is committed, relative to the top of the repository.
pub const OBJECT: &str = "probe-ebpf/heartprobe.bpf.o";

/// The file with the digest of the sources that the committed object was built from.
pub const DIGEST: &str = "probe-ebpf/heartprobe.bpf.sha256";

/// The SHA-256 of the sources under `root`, as 64 hex digits: over path and content, each with its length before it, so that
/// no byte can move from one to the other unseen.
pub fn of_sources(root: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(root, Path::new(source), &mut files)?;
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        for part in [file.as_bytes(), &fs::read(root.join(&file))?] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    Ok(format!("{:x}", hash.finalize()))
}

/// The digest that stands beside the committed object; `None` where there is none yet.
pub fn committed(root: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(root.join(DIGEST)) {
        Ok(digest) => Ok(Some(digest.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Adds `path`, or the files below it, to `files`.
fn collect(root: &Path, path: &Path, files: &mut Vec<String>) -> io::Result<()> {
    let full = root.join(path);
    if !full.is_dir() {
        files.push(path.to_string_lossy().into_owned());
        return Ok(());
    }
    for entry in fs::read_dir(&full)? {
        let child: PathBuf = path.join(entry?.file_name());
        collect(root, &child, files)?;
    }
    Ok(())
}
