//! Messages on their way out: one `sendmmsg` for many.

use std::{
    io, mem,
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd, BorrowedFd},
};

use probe_common::wire::LEN;
use socket2::SockAddr;

/// Room for one control message with an address.
const CONTROL: usize = 64;

/// A batch of messages to send; its memory is used again for the next.
pub struct Outbox {
    slots: Box<[Slot]>,
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    filled: usize,
}

#[repr(C, align(8))]
struct Slot {
    control: [u8; CONTROL],
    control_length: usize,
    to: SockAddr,
    bytes: [u8; LEN],
}

// SAFETY: the pointers in `headers` and `vectors` lead into `slots`, which this outbox owns, and are written anew before
// each use.
unsafe impl Send for Outbox {}

impl Outbox {
    /// Room for `size` messages at a time.
    pub fn new(size: usize) -> Self {
        let nowhere = SockAddr::from(SocketAddr::from(([0, 0, 0, 0], 0)));
        let slot = || Slot {
            control: [0; CONTROL],
            control_length: 0,
            to: nowhere.clone(),
            bytes: [0; LEN],
        };
        Self {
            slots: (0..size).map(|_| slot()).collect(),
            headers: Vec::with_capacity(size),
            vectors: Vec::with_capacity(size),
            filled: 0,
        }
    }

    /// How many messages it holds.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Adds a message to `to`, from the local address `from` if that is given. Nothing happens if the box is full.
    pub fn push(&mut self, to: SocketAddr, from: Option<IpAddr>, bytes: [u8; LEN]) {
        let Some(slot) = self.slots.get_mut(self.filled) else {
            return;
        };
        slot.to = to.into();
        slot.bytes = bytes;
        slot.control_length = match from {
            None => 0,
            Some(IpAddr::V4(from)) => {
                // SAFETY: zeros are valid; integers alone.
                let mut info: libc::in_pktinfo = unsafe { mem::zeroed() };
                info.ipi_spec_dst.s_addr = from.to_bits().to_be();
                write_control(&mut slot.control, libc::SOL_IP, libc::IP_PKTINFO, info)
            }
            Some(IpAddr::V6(from)) => {
                // SAFETY: zeros are valid; integers alone.
                let mut info: libc::in6_pktinfo = unsafe { mem::zeroed() };
                info.ipi6_addr.s6_addr = from.octets();
                write_control(&mut slot.control, libc::SOL_IPV6, libc::IPV6_PKTINFO, info)
            }
        };
        self.filled += 1;
    }

    /// Where the message of this number goes.
    pub fn destination(&self, number: usize) -> Option<SocketAddr> {
        self.slots[..self.filled].get(number)?.to.as_socket()
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    pub(super) fn empty_into(&mut self, socket: BorrowedFd<'_>, from: usize) -> io::Result<usize> {
        self.point();
        let rest = self.headers.get_mut(from..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(0);
        }
        // SAFETY: every header points to memory of `slots` of the length that it tells.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                rest.as_mut_ptr(),
                rest.len() as u32,
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    fn point(&mut self) {
        self.vectors.clear();
        self.headers.clear();
        let filled = &mut self.slots[..self.filled];
        self.vectors
            .extend(filled.iter_mut().map(|slot| libc::iovec {
                iov_base: slot.bytes.as_mut_ptr().cast(),
                iov_len: LEN,
            }));
        for (slot, vector) in filled.iter_mut().zip(&mut self.vectors) {
            // SAFETY: a header of zeros is valid: it points nowhere.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            // The kernel only reads the address of what it sends.
            header.msg_hdr.msg_name = slot.to.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = slot.to.len();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            if slot.control_length > 0 {
                header.msg_hdr.msg_control = slot.control.as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = slot.control_length;
            }
            self.headers.push(header);
        }
    }
}

/// Writes one control message at the start of `control`; tells how much room it takes.
#[expect(clippy::cast_ptr_alignment, reason = "written unaligned")]
fn write_control<T: Copy>(control: &mut [u8; CONTROL], level: i32, kind: i32, value: T) -> usize {
    // SAFETY: no memory is touched.
    let length = unsafe { libc::CMSG_LEN(size_of::<T>() as u32) } as usize;
    // SAFETY: likewise.
    let space = unsafe { libc::CMSG_SPACE(size_of::<T>() as u32) } as usize;
    assert!(space <= CONTROL, "a control message must fit");
    let head = libc::cmsghdr {
        cmsg_len: length,
        cmsg_level: level,
        cmsg_type: kind,
    };
    let (to, data) = control.split_at_mut(length - size_of::<T>());
    let to = to.as_mut_ptr().cast::<libc::cmsghdr>();
    // SAFETY: the data of a control message lie behind its head, so there is room for that before them.
    unsafe { to.write_unaligned(head) };
    // SAFETY: as asserted, there is room for the value.
    unsafe { data.as_mut_ptr().cast::<T>().write_unaligned(value) };
    space
}
