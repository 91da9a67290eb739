//! An `AF_PACKET` socket: whole Ethernet frames, with the kernel's time of each.

use std::{
    io,
    mem::{MaybeUninit, size_of},
    os::fd::AsRawFd,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use socket2::{Domain, MaybeUninitSlice, MsgHdrMut, SockAddr, SockAddrStorage, Socket, Type};

use crate::net::{Namespace, WIRE};

/// All frames of the wire's end in one namespace.
#[derive(Debug)]
pub struct Frames(Socket);

/// A frame as it was received.
#[derive(Clone, Debug)]
pub struct Frame {
    /// From its destination's MAC address on.
    pub bytes: Vec<u8>,
    /// When it was received: ns of the monotonic clock.
    pub time: u64,
    /// Whether its checksum is left for a network card to fill in: a veth pair passes such frames on as they are.
    pub unfinished_checksum: bool,
}

impl Frames {
    /// Opens the socket at the namespace's end of the wire.
    pub fn open(namespace: &Namespace) -> Self {
        Self(
            namespace
                .enter(open)
                .unwrap_or_else(|error| panic!("packet socket: {error}")),
        )
    }

    /// The next frame that arrived; `None` if none came in time.
    pub fn receive(&self, within: Duration) -> Option<Frame> {
        self.0.set_read_timeout(Some(within)).ok()?;
        let mut buffer = [MaybeUninit::zeroed(); 2048];
        let mut control = [MaybeUninit::zeroed(); 256];
        let (length, used) = {
            let mut buffers = [MaybeUninitSlice::new(&mut buffer)];
            let mut header = MsgHdrMut::new()
                .with_buffers(&mut buffers)
                .with_control(&mut control);
            let length = self.0.recvmsg(&mut header, 0).ok()?;
            (length, header.control_len())
        };
        let initialised = |bytes: &[MaybeUninit<u8>]| -> Vec<u8> {
            // SAFETY: every byte was zeroed above, at least.
            bytes
                .iter()
                .map(|byte| unsafe { byte.assume_init() })
                .collect()
        };
        let mut frame = Frame {
            bytes: initialised(&buffer[..length]),
            time: 0,
            unfinished_checksum: false,
        };
        for (level, kind, data) in control_messages(&initialised(&control[..used])) {
            match (level, kind) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => frame.time = monotonic(&data)?,
                (libc::SOL_PACKET, libc::PACKET_AUXDATA) => {
                    let status = u32::from_ne_bytes(*data.first_chunk()?);
                    frame.unfinished_checksum = status & libc::TP_STATUS_CSUMNOTREADY != 0;
                }
                _ => {}
            }
        }
        Some(frame)
    }

    /// Sends a frame as it is.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.0.send(frame).map(drop)
    }
}

fn open() -> io::Result<Socket> {
    // No protocol yet: nothing is to be received before the socket is bound to the wire.
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS)?;
    set(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA)?;
    // What is sent here is not what was received: own answers would come back as pings otherwise.
    set(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING)?;
    socket.set_recv_buffer_size(16 << 20)?;
    let index = rustix::net::netdevice::name_to_index(&socket, WIRE)?;
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: a `sockaddr_ll` is an address, and zeroes are a valid one.
    let wire = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    wire.sll_family = libc::AF_PACKET as u16;
    wire.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    wire.sll_ifindex = index as i32;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the storage holds an address of that length.
    let address = unsafe { SockAddr::new(storage, length) };
    socket.bind(&address)?;
    Ok(socket)
}

fn set(socket: &Socket, level: i32, option: i32) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option's value is an `int`, which lives for the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Level, type and data of each control message (`cmsg(3)`).
fn control_messages(mut control: &[u8]) -> Vec<(i32, i32, Vec<u8>)> {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    let mut messages = Vec::new();
    while let Some((header, _)) = control.split_first_chunk::<HEADER>() {
        let (length, rest) = header.split_at(size_of::<usize>());
        let length = usize::from_ne_bytes(length.try_into().unwrap_or_default());
        let (level, kind) = rest.split_at(size_of::<i32>());
        let number = |bytes: &[u8]| i32::from_ne_bytes(bytes.try_into().unwrap_or_default());
        let Some(data) = control.get(HEADER..length) else {
            break;
        };
        messages.push((number(level), number(kind), data.to_vec()));
        control = control
            .get(length.next_multiple_of(size_of::<usize>())..)
            .unwrap_or_default();
    }
    messages
}

/// The kernel's time of a frame (a `timespec` of the wall clock) on the monotonic clock, ns.
fn monotonic(timespec: &[u8]) -> Option<u64> {
    let number = |at| Some(i64::from_ne_bytes(*timespec.get(at..)?.first_chunk()?));
    let wall = nanos(number(0)?, number(8)?);
    let clock = |id| {
        let now = clock_gettime(id);
        nanos(now.tv_sec, now.tv_nsec)
    };
    let age = clock(ClockId::Realtime) - wall;
    u64::try_from(clock(ClockId::Monotonic) - age).ok()
}

fn nanos(seconds: i64, nanos: i64) -> i64 {
    seconds * 1_000_000_000 + nanos
}
