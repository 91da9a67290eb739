//! What routers and hosts answer by ICMP, from the socket's error queue (ip(7), `IP_RECVERR`).

use std::{
    io, mem,
    net::SocketAddr,
    os::fd::{AsRawFd, BorrowedFd},
};

use super::inbox::{controls, plain, socket_address};

/// An ICMP error that came back for something sent from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Where the rejected message was sent.
    pub destination: SocketAddr,
    /// What the kernel makes of it: `ECONNREFUSED`, `EHOSTUNREACH`, …
    pub errno: i32,
}

impl Rejection {
    /// What it means for the operator, and what to do.
    pub const fn advice(&self) -> &'static str {
        match self.errno {
            libc::ECONNREFUSED => {
                "port unreachable: the host lives, but no reflector listens there, or a firewall rejects"
            }
            libc::EHOSTUNREACH => {
                "host unreachable: the last router finds no such host, or a firewall rejects"
            }
            libc::ENETUNREACH => "network unreachable: a router on the way has no route there",
            libc::EACCES => "prohibited: a firewall on the way rejects",
            libc::EMSGSIZE => "too big: a link on the way carries less than 92 bytes",
            _ => "rejected on the way",
        }
    }
}

pub(super) fn next(socket: BorrowedFd<'_>) -> io::Result<Option<Rejection>> {
    let mut control = [0_u64; 64];
    // SAFETY: a socket address of zeros is valid: of no family.
    let mut name: libc::sockaddr_storage = unsafe { mem::zeroed() };
    // SAFETY: a header of zeros is valid: it points nowhere.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = size_of_val(&name) as u32;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    loop {
        // SAFETY: the header points to memory above of the length that it tells.
        if unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) } < 0 {
            return match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                error => Err(error),
            };
        }
        let told = controls(&header).find_map(|(level, kind, data)| {
            let is_error = matches!(
                (level, kind),
                (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR)
            );
            plain::<libc::sock_extended_err>(data).filter(|_| is_error)
        });
        let destination = socket_address(&name, header.msg_namelen);
        if let (Some(told), Some(destination)) = (told, destination) {
            return Ok(Some(Rejection {
                destination,
                errno: told.ee_errno as i32,
            }));
        }
        header.msg_namelen = size_of_val(&name) as u32;
        header.msg_controllen = size_of_val(&control);
    }
}
