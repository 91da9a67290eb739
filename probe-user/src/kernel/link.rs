//! Attaches programs to interfaces, by link and by nothing else.
//!
//! aya's own attachment falls back to netlink where a link is refused, and a program attached by netlink outlives the daemon.

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

use super::syscall::bpf;

/// A program on an interface or a tracepoint. Dropping it takes the program off; an interface that goes takes it off before.
#[derive(Debug)]
pub(super) struct Link(OwnedFd);

impl Drop for Link {
    /// At once, though a child just forked may hold the descriptor until it runs its own program.
    fn drop(&mut self) {
        // It fails where the interface has gone, and with it the program.
        let _ = bpf(BPF_LINK_DETACH, &mut self.0.as_raw_fd());
    }
}

/// Which XDP mode is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Want {
    /// Native where the driver has it, else generic.
    #[default]
    Auto,
    /// In the driver, before the kernel makes a packet of the frame.
    Native,
    /// In the network stack: works on any interface.
    Generic,
}

/// Which XDP mode it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
}

impl Mode {
    /// The value of a `receive` label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }

    /// `XDP_FLAGS_*_MODE` of linux/if_link.h.
    const fn flags(self) -> u32 {
        match self {
            Self::Native => 1 << 2,
            Self::Generic => 1 << 1,
        }
    }
}

/// Why nothing was attached to an interface.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// It is not there (any more).
    #[error("there is no interface {0}")]
    NoInterface(String),
    /// Another program has its place.
    #[error(
        "another XDP program is attached to {0}; heartprobe takes its pongs through the socket there"
    )]
    Busy(String),
    /// The kernel or the driver refuses.
    #[error("cannot attach to {interface}: {error}")]
    Refused {
        /// Where.
        interface: String,
        /// What the system call returned.
        error: io::Error,
    },
}

/// The number of an interface.
pub(super) fn index_of(interface: &str) -> Result<u32, AttachError> {
    let missing = || AttachError::NoInterface(interface.to_owned());
    let name = CString::new(interface).map_err(|_| missing())?;
    // SAFETY: `name` is a string with its NUL, and the call keeps no pointer to it.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(missing()),
        index => Ok(index),
    }
}

/// Attaches an XDP program.
pub(super) fn xdp(
    program: BorrowedFd<'_>,
    interface: &str,
    index: u32,
    want: Want,
) -> Result<(Mode, Link), AttachError> {
    let try_mode = |mode: Mode| {
        create(program, index, BPF_XDP, mode.flags())
            .map(|link| (mode, link))
            .map_err(|error| explain(interface, error))
    };
    match want {
        Want::Native => try_mode(Mode::Native),
        Want::Generic => try_mode(Mode::Generic),
        Want::Auto => match try_mode(Mode::Native) {
            Err(AttachError::Refused { error, .. }) => {
                tracing::debug!(interface, "no native XDP: {error}");
                try_mode(Mode::Generic)
            }
            result => result,
        },
    }
}

/// Attaches a TC program to what leaves an interface, after those that are there.
pub(super) fn egress(
    program: BorrowedFd<'_>,
    interface: &str,
    index: u32,
) -> Result<Link, AttachError> {
    create(program, index, BPF_TCX_EGRESS, 0).map_err(|error| explain(interface, error))
}

fn explain(interface: &str, error: io::Error) -> AttachError {
    let interface = interface.to_owned();
    match error.raw_os_error() {
        Some(libc::ENODEV) => AttachError::NoInterface(interface),
        // The one when it has the same mode, the other when it has the other mode.
        Some(libc::EBUSY | libc::EEXIST) => AttachError::Busy(interface),
        _ => AttachError::Refused { interface, error },
    }
}

/// `enum bpf_cmd` and `enum bpf_attach_type` of linux/bpf.h.
const BPF_RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_LINK_DETACH: libc::c_int = 34;
const BPF_XDP: u32 = 37;
const BPF_TCX_EGRESS: u32 = 47;

/// `link_create` of `union bpf_attr`; the kernel takes what is left out as zero.
#[repr(C)]
struct LinkCreate {
    program: RawFd,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// Links to XDP came with Linux 5.9, to TC with 6.6.
fn create(
    program: BorrowedFd<'_>,
    interface: u32,
    attach_type: u32,
    flags: u32,
) -> io::Result<Link> {
    bpf(
        BPF_LINK_CREATE,
        &mut LinkCreate {
            program: program.as_raw_fd(),
            interface,
            attach_type,
            flags,
        },
    )
    .map(own)
}

/// `raw_tracepoint` of `union bpf_attr`.
#[repr(C)]
struct RawTracepoint {
    name: u64,
    program: RawFd,
    reserved: u32,
}

/// Attaches a program to a tracepoint of the kernel.
pub(super) fn tracepoint(program: BorrowedFd<'_>, name: &CStr) -> io::Result<Link> {
    bpf(
        BPF_RAW_TRACEPOINT_OPEN,
        &mut RawTracepoint {
            name: name.as_ptr() as u64,
            program: program.as_raw_fd(),
            reserved: 0,
        },
    )
    .map(own)
}

fn own(link: RawFd) -> Link {
    // SAFETY: the kernel has just made this descriptor for us alone.
    Link(unsafe { OwnedFd::from_raw_fd(link) })
}
