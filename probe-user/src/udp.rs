//! UDP sockets that send and receive in batches, with the kernel's own receive times: what the monitor, the reflector
//! and `ping` share.

mod inbox;
mod outbox;
mod rejection;
mod wait;
mod watch;

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use socket2::{Domain, Protocol, Type};

pub use self::{
    inbox::{Datagram, Inbox},
    outbox::Outbox,
    rejection::Rejection,
    wait::{Waker, wait},
    watch::Watch,
};

/// How often a call is made again when the error that it gave may belong to an earlier ping.
const RETRIES: usize = 3;

/// What a socket is for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Room for datagrams that wait to be read, bytes; the kernel may grant less to a user without privilege.
    pub receive_buffer: usize,
    /// Likewise for those that wait to leave.
    pub send_buffer: usize,
    /// Tell the address that each datagram was sent to.
    pub local_address: bool,
    /// Queue what routers and hosts answer by ICMP, see [`Socket::next_rejection`].
    pub rejections: bool,
}

/// A non-blocking UDP socket.
#[derive(Debug)]
pub struct Socket {
    inner: socket2::Socket,
    rejections: bool,
}

impl Socket {
    /// Opens a socket at `address`; an IPv6 one carries no IPv4.
    pub fn bind(address: SocketAddr, options: &Options) -> io::Result<Self> {
        let inner = socket2::Socket::new(
            Domain::for_address(address),
            Type::DGRAM.nonblocking().cloexec(),
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            inner.set_only_v6(true)?;
        }
        let socket = Self {
            inner,
            rejections: options.rejections,
        };
        socket.grow(
            libc::SO_RCVBUFFORCE,
            libc::SO_RCVBUF,
            options.receive_buffer,
        )?;
        socket.grow(libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, options.send_buffer)?;
        socket.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        socket.set(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
        if address.is_ipv4() {
            // A message is never cut in pieces. Told so, the kernel draws no number to put the pieces of each together by
            // (RFC 6864, section 4.1), which is some 4 % of what it takes to send one.
            socket.set(libc::SOL_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)?;
        }
        let (level, local_address, rejections) = if address.is_ipv6() {
            (libc::SOL_IPV6, libc::IPV6_RECVPKTINFO, libc::IPV6_RECVERR)
        } else {
            (libc::SOL_IP, libc::IP_PKTINFO, libc::IP_RECVERR)
        };
        if options.local_address {
            socket.set(level, local_address, 1)?;
        }
        if options.rejections {
            socket.set(level, rejections, 1)?;
        }
        socket.inner.bind(&address.into())?;
        Ok(socket)
    }

    /// What is sent bears this type of service (IPv4) or traffic class (IPv6) from now on.
    pub fn set_traffic_class(&self, traffic_class: u8) -> io::Result<()> {
        let (level, name) = if self.local_addr()?.is_ipv6() {
            (libc::SOL_IPV6, libc::IPV6_TCLASS)
        } else {
            (libc::SOL_IP, libc::IP_TOS)
        };
        self.set(level, name, traffic_class.into())
    }

    /// The address that it is bound to.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let address = self.inner.local_addr()?;
        address
            .as_socket()
            .ok_or_else(|| io::Error::other("a UDP socket has an IP address"))
    }

    /// Reads what waits, as far as `inbox` has room, without waiting. Tells how many datagrams that were.
    pub fn receive(&self, inbox: &mut Inbox) -> io::Result<usize> {
        self.persist(|| inbox.fill(self.inner.as_fd()))
    }

    /// Hands the kernel what `outbox` holds from number `from` on. Tells how many left; an error belongs to number
    /// `from`, which did not.
    pub fn send(&self, outbox: &mut Outbox, from: usize) -> io::Result<usize> {
        self.persist(|| outbox.empty_into(self.inner.as_fd(), from))
    }

    /// Calls again where an error has nothing to do with the call: the kernel gives an ICMP error that came for an
    /// earlier ping to whoever sends or reads next, before it does what was asked.
    fn persist<T>(&self, mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let mut retries = if self.rejections { RETRIES } else { 0 };
        loop {
            match call() {
                Err(error) if retries > 0 && may_be_anothers(&error) => retries -= 1,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// The next answer by ICMP to something sent from here, if one waits.
    pub fn next_rejection(&self) -> io::Result<Option<Rejection>> {
        rejection::next(self.inner.as_fd())
    }

    /// Beyond the limit for all if this user may, else up to it.
    fn grow(&self, force: i32, plain: i32, bytes: usize) -> io::Result<()> {
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        if bytes == 0 || self.set(libc::SOL_SOCKET, force, bytes).is_ok() {
            return Ok(());
        }
        self.set(libc::SOL_SOCKET, plain, bytes)
    }

    fn set(&self, level: i32, name: i32, value: i32) -> io::Result<()> {
        let length = size_of::<i32>() as libc::socklen_t;
        // SAFETY: `value` lives through the call and is as long as told.
        let result = unsafe {
            libc::setsockopt(
                self.inner.as_raw_fd(),
                level,
                name,
                (&raw const value).cast(),
                length,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

fn may_be_anothers(error: &io::Error) -> bool {
    let icmp = [
        libc::ECONNREFUSED,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
        libc::EHOSTDOWN,
        libc::ENOPROTOOPT,
        libc::EACCES,
        libc::EPROTO,
        libc::EMSGSIZE,
        libc::EOPNOTSUPP,
    ];
    error
        .raw_os_error()
        .is_some_and(|errno| icmp.contains(&errno))
}

#[cfg(test)]
mod tests;
