//! Datagrams as they come in: one `recvmmsg` for many, with the control messages that tell when, where to and what
//! was lost.

use std::{
    io, mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd, BorrowedFd},
};

use socket2::{SockAddr, SockAddrStorage};

use crate::clock;

/// Longer than any message, so that what is too long shows.
const ROOM: usize = 128;

/// Room for the control messages: a time, an address, a count.
const CONTROL: usize = 128;

/// A batch of received datagrams; its memory is used again for the next.
pub struct Inbox {
    slots: Box<[Slot]>,
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    filled: usize,
    /// What turns the kernel's receive times into monotonic ones, ns.
    offset: u64,
    /// When the batch was read, ns of the monotonic clock.
    read_at: u64,
}

#[repr(C, align(8))]
struct Slot {
    control: [u8; CONTROL],
    name: libc::sockaddr_storage,
    bytes: [u8; ROOM],
}

/// One received datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The first bytes of it: more than a message has if it was longer than one.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub source: SocketAddr,
    /// The address that it was sent to, if the socket was told to tell.
    pub local: Option<IpAddr>,
    /// Index of the interface that it came by, likewise; else 0.
    pub interface: u32,
    /// When the kernel received it, ns of the monotonic clock.
    pub received: u64,
    /// Likewise, ns since the Unix epoch.
    pub received_realtime: u64,
    /// How many datagrams this socket has lost so far because its buffer was full.
    pub dropped: u32,
}

// SAFETY: the pointers in `headers` and `vectors` lead into `slots`, which this inbox owns, and are written anew before
// each use.
unsafe impl Send for Inbox {}

impl Inbox {
    /// Room for `size` datagrams at a time.
    pub fn new(size: usize) -> Self {
        let slot = || Slot {
            control: [0; CONTROL],
            // SAFETY: a socket address of zeros is valid: of no family.
            name: unsafe { mem::zeroed() },
            bytes: [0; ROOM],
        };
        Self {
            slots: (0..size).map(|_| slot()).collect(),
            headers: Vec::with_capacity(size),
            vectors: Vec::with_capacity(size),
            filled: 0,
            offset: 0,
            read_at: 0,
        }
    }

    /// The datagrams of the last batch.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        let filled = self.slots.iter().zip(&self.headers).take(self.filled);
        filled.filter_map(|(slot, header)| self.datagram(slot, header))
    }

    pub(super) fn fill(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.filled = 0;
        self.point();
        // SAFETY: every header points to memory of `slots` of the length that it tells.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        self.filled = match usize::try_from(result) {
            Ok(count) => count,
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => 0,
                error => return Err(error),
            },
        };
        self.offset = clock::offset();
        self.read_at = clock::monotonic();
        Ok(self.filled)
    }

    /// Points every header at its slot; the kernel changed the lengths last time.
    fn point(&mut self) {
        self.vectors.clear();
        self.headers.clear();
        self.vectors
            .extend(self.slots.iter_mut().map(|slot| libc::iovec {
                iov_base: slot.bytes.as_mut_ptr().cast(),
                iov_len: ROOM,
            }));
        for (slot, vector) in self.slots.iter_mut().zip(&mut self.vectors) {
            // SAFETY: a header of zeros is valid: it points nowhere.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_name = (&raw mut slot.name).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = slot.control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL;
            self.headers.push(header);
        }
    }

    fn datagram<'a>(&self, slot: &'a Slot, header: &libc::mmsghdr) -> Option<Datagram<'a>> {
        let source = socket_address(&slot.name, header.msg_hdr.msg_namelen)?;
        let mut datagram = Datagram {
            bytes: &slot.bytes[..ROOM.min(header.msg_len as usize)],
            source,
            local: None,
            interface: 0,
            received: self.read_at,
            received_realtime: self.read_at.wrapping_add(self.offset),
            dropped: 0,
        };
        for (level, kind, data) in controls(&header.msg_hdr) {
            match (level, kind) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    if let Some(time) = plain::<libc::timespec>(data) {
                        let realtime = time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64;
                        datagram.received_realtime = realtime;
                        datagram.received = monotonic(realtime, self.offset, self.read_at);
                    }
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    datagram.dropped = plain(data).unwrap_or(0);
                }
                (libc::SOL_IP, libc::IP_PKTINFO) => {
                    if let Some(info) = plain::<libc::in_pktinfo>(data) {
                        let to = u32::from_be(info.ipi_addr.s_addr);
                        datagram.local = Some(Ipv4Addr::from_bits(to).into());
                        datagram.interface = info.ipi_ifindex as u32;
                    }
                }
                (libc::SOL_IPV6, libc::IPV6_PKTINFO) => {
                    if let Some(info) = plain::<libc::in6_pktinfo>(data) {
                        datagram.local = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                        datagram.interface = info.ipi6_ifindex;
                    }
                }
                _ => {}
            }
        }
        Some(datagram)
    }
}

/// The kernel's real-time stamp as monotonic time. The wall clock may have been set back after the stamp was taken:
/// nothing was received after it was read, so no pong gets late by that.
fn monotonic(realtime: u64, offset: u64, read_at: u64) -> u64 {
    realtime.wrapping_sub(offset).min(read_at)
}

/// A value that any bytes are valid for.
///
/// # Safety
/// The type must be plain old data.
pub(super) unsafe trait Plain: Copy {}
// SAFETY: integers alone.
unsafe impl Plain for libc::timespec {}
// SAFETY: likewise.
unsafe impl Plain for libc::in_pktinfo {}
// SAFETY: likewise.
unsafe impl Plain for libc::in6_pktinfo {}
// SAFETY: likewise.
unsafe impl Plain for libc::sock_extended_err {}
// SAFETY: likewise.
unsafe impl Plain for u32 {}

pub(super) fn plain<T: Plain>(data: &[u8]) -> Option<T> {
    // SAFETY: there are enough bytes, and any bytes are a `T`.
    (data.len() >= size_of::<T>()).then(|| unsafe { data.as_ptr().cast::<T>().read_unaligned() })
}

/// The control messages of a header that the kernel has filled: level, type, data.
pub(super) fn controls(header: &libc::msghdr) -> impl Iterator<Item = (i32, i32, &[u8])> {
    // SAFETY: the kernel wrote well-formed control messages of the length that the header tells.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    std::iter::from_fn(move || {
        let message = next;
        if message.is_null() {
            return None;
        }
        // SAFETY: as above; the pointer is the header's own.
        next = unsafe { libc::CMSG_NXTHDR(header, message) };
        // SAFETY: as above.
        let head = unsafe { &*message };
        // SAFETY: as above.
        let data = unsafe { libc::CMSG_DATA(message) };
        let offset = data as usize - message as usize;
        // SAFETY: the data are as long as the control message tells, less its head.
        let data = unsafe { std::slice::from_raw_parts(data, head.cmsg_len - offset) };
        Some((head.cmsg_level, head.cmsg_type, data))
    })
}

pub(super) fn socket_address(name: &libc::sockaddr_storage, length: u32) -> Option<SocketAddr> {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: both are a `sockaddr_storage`.
    unsafe { *storage.view_as::<libc::sockaddr_storage>() = *name };
    // SAFETY: the kernel wrote an address of that length.
    let address = unsafe { SockAddr::new(storage, length) };
    address.as_socket()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_makes_no_pong_late() {
        let (boot, second) = (1_700_000_000_000_000_000, 1_000_000_000);
        let (received, read_at) = (5 * second, 5 * second + 40_000);
        let stamp = boot + received;
        assert_eq!(monotonic(stamp, boot, read_at), received);
        assert_eq!(monotonic(stamp, boot - 3600 * second, read_at), read_at);
        // Set forward by more than the machine has run: there is no time before its start.
        assert_eq!(monotonic(stamp, boot + 3600 * second, read_at), read_at);
    }
}
