//! The system call `bpf`, for what aya has no call for.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, RawFd},
};

use probe_common::batch::LIVE_MARK;

/// Any command, with its part of `union bpf_attr`; the kernel takes what is left out as zero. A pointer among the attributes
/// must be to memory that lives as long as the call, and as large as the attributes say.
pub(super) fn bpf<A>(command: libc::c_int, attributes: &mut A) -> io::Result<libc::c_int> {
    let attributes: *mut A = attributes;
    // SAFETY: the pointer and the size are those of a value that outlives the call; what it points to is the caller's care.
    match unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<A>()) } {
        ..0 => Err(io::Error::last_os_error()),
        result => Ok(result as libc::c_int),
    }
}

/// `BPF_PROG_TEST_RUN` and its flag, of linux/bpf.h.
const BPF_PROG_TEST_RUN: libc::c_int = 10;
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;

/// `test` of `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: RawFd,
    returned: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    reserved: u32,
}

/// `struct xdp_md`: offsets into the data.
#[repr(C)]
#[derive(Default)]
struct Context {
    data: u32,
    data_end: u32,
    data_meta: u32,
    ingress_interface: u32,
    queue: u32,
    egress_interface: u32,
}

/// Runs a program over so many live frames, each made of `frame`, which begins with [`LIVE_MARK`] bytes of metadata. The
/// kernel hands them on when `batch` of them are ready; the last batch is always a whole one.
pub(super) fn run_live(
    program: BorrowedFd<'_>,
    frame: &[u8],
    count: u32,
    batch: u32,
) -> io::Result<()> {
    let context = Context {
        data: LIVE_MARK as u32,
        data_end: frame.len() as u32,
        ..Context::default()
    };
    let mut run = TestRun {
        program: program.as_raw_fd(),
        data_size_in: frame.len() as u32,
        data_in: frame.as_ptr() as u64,
        repeat: count,
        context_size_in: size_of::<Context>() as u32,
        context_in: (&raw const context) as u64,
        flags: BPF_F_TEST_XDP_LIVE_FRAMES,
        batch_size: batch,
        ..TestRun::default()
    };
    bpf(BPF_PROG_TEST_RUN, &mut run).map(|_| ())
}
