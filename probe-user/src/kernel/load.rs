//! Loads the eBPF object into the kernel, and tells plainly why it could not be.

use std::{
    error::Error,
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::{Map, MapError},
    programs::{Program, ProgramError},
    util::KernelVersion,
};
use rustix::thread::CapabilitySet;

/// The programs, as `cargo xtask build-ebpf` built them.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("HEARTPROBE_EBPF_OBJECT"));

/// Lines of the verifier's log that are shown: what it stumbled over stands at the end.
const LOG_LINES: usize = 20;

/// Why the programs could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The process may not load programs.
    #[error("eBPF needs root or the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON")]
    Privilege,
    /// The kernel is too old: since 5.12 its programs can set bits atomically.
    #[error("eBPF needs Linux 5.12 or later, this is {0}")]
    Kernel(KernelVersion),
    /// The verifier found fault with a program.
    #[error(
        "the kernel's verifier refused the program `{program}` ({error}); its last words:\n{log}"
    )]
    Refused {
        /// Which one.
        program: &'static str,
        /// The end of the verifier's log.
        log: String,
        /// What the system call returned.
        error: io::Error,
    },
    /// There is no memory for a map.
    #[error(
        "the kernel has no memory for the map `{map}`: allow more of it, or probe fewer targets"
    )]
    Memory {
        /// Which one.
        map: String,
    },
    /// Something that a kernel with eBPF should not answer.
    #[error("cannot load the eBPF object: {0:#}")]
    Other(anyhow::Error),
}

/// Creates the maps, of the sizes given (at least 1), and makes the programs ready to be loaded.
pub(super) fn object(sizes: &[(&'static str, u32)]) -> Result<Ebpf, LoadError> {
    let mut loader = EbpfLoader::new();
    // The kernel's own types are for programs that look into its structs.
    loader.btf(None);
    for &(map, entries) in sizes {
        loader.map_max_entries(map, entries.max(1));
    }
    loader.load(OBJECT).map_err(|error| match error {
        EbpfError::MapError(MapError::CreateError { name, io_error }) => {
            match io_error.raw_os_error() {
                Some(libc::EPERM) => LoadError::Privilege,
                Some(libc::ENOMEM | libc::E2BIG) => LoadError::Memory { map: name },
                _ => other(MapError::CreateError { name, io_error }),
            }
        }
        error => other(error),
    })
}

/// Hands a program to the verifier; what comes back holds it.
pub(super) fn program<P>(
    ebpf: &mut Ebpf,
    name: &'static str,
    load: impl FnOnce(&mut P) -> Result<(), ProgramError>,
) -> Result<OwnedFd, LoadError>
where
    for<'a> &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| missing("program", name))?;
    load((&mut *program).try_into().map_err(other)?).map_err(|error| match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => refused(name, io_error, &verifier_log.to_string()),
        error => other(error),
    })?;
    let program = program.fd().map_err(other)?;
    program.as_fd().try_clone_to_owned().map_err(other)
}

/// What holds an array, for it to be mapped.
pub(super) fn array(ebpf: &Ebpf, name: &'static str) -> Result<OwnedFd, LoadError> {
    let Some(Map::Array(map)) = ebpf.map(name) else {
        return Err(missing("array", name));
    };
    map.fd().as_fd().try_clone_to_owned().map_err(other)
}

fn refused(program: &'static str, error: io::Error, log: &str) -> LoadError {
    if error.raw_os_error() == Some(libc::EPERM) || !is_trusted() {
        return LoadError::Privilege;
    }
    match KernelVersion::current() {
        Ok(version) if version < KernelVersion::new(5, 12, 0) => LoadError::Kernel(version),
        _ => LoadError::Refused {
            program,
            log: tail(log),
            error,
        },
    }
}

/// Whether the verifier lets this process's programs reckon with pointers; without, it calls that a fault of the program.
fn is_trusted() -> bool {
    let needed = CapabilitySet::PERFMON | CapabilitySet::SYS_ADMIN;
    rustix::thread::capabilities(None).is_ok_and(|held| held.effective.intersects(needed))
}

/// The last lines of the verifier's log.
fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// The object is ours: what it lacks was lost in the build.
pub(super) fn missing(kind: &str, name: &str) -> LoadError {
    LoadError::Other(anyhow::anyhow!("the {kind} `{name}` is not in it"))
}

pub(super) fn other(error: impl Error + Send + Sync + 'static) -> LoadError {
    LoadError::Other(error.into())
}
