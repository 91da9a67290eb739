//! The monitor's sockets: for each family one at each of its [`PORTS`] ports, which follow each other so that the kernel's
//! programs know them by one comparison.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use probe_common::ports::PORTS;

use crate::udp::{Options, Socket};

/// How often so many ports in a row are looked for: of the tens of thousands that there are, few are taken at a time.
const ATTEMPTS: usize = 64;

/// Room for pongs that wait for the daemon, bytes: a tenth of a second of 100,000 a second.
const RECEIVE_BUFFER: usize = 16 << 20;
const SEND_BUFFER: usize = 4 << 20;

/// A family's sockets, in the order of their ports: from `first` on, or wherever there are enough free ones in a row.
///
/// # Errors
/// When the box has no such family, or `first` or one of those after it is taken.
pub(super) fn open(ip: IpAddr, first: Option<u16>) -> io::Result<Vec<Socket>> {
    if let Some(first) = first {
        return from(ip, first);
    }
    let mut result = Err(io::Error::from(io::ErrorKind::AddrInUse));
    for _ in 0..ATTEMPTS {
        // One that the kernel finds free is likely to have free neighbours.
        let free = socket(ip, 0)?.local_addr()?.port();
        result = from(ip, free - free % PORTS);
        if !matches!(&result, Err(error) if error.kind() == io::ErrorKind::AddrInUse) {
            break;
        }
    }
    result
}

fn from(ip: IpAddr, first: u16) -> io::Result<Vec<Socket>> {
    (0..PORTS)
        .map(|n| {
            let port = first
                .checked_add(n)
                .ok_or(io::ErrorKind::AddrNotAvailable)?;
            socket(ip, port)
        })
        .collect()
}

fn socket(ip: IpAddr, port: u16) -> io::Result<Socket> {
    let options = Options {
        receive_buffer: RECEIVE_BUFFER,
        send_buffer: SEND_BUFFER,
        local_address: false,
        rejections: true,
    };
    Socket::bind(SocketAddr::new(ip, port), &options)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn ports_follow_each_other_and_a_taken_one_is_told() {
        let ip = Ipv4Addr::LOCALHOST.into();
        let sockets = open(ip, None).unwrap();
        let ports: Vec<u16> = sockets
            .iter()
            .map(|socket| socket.local_addr().unwrap().port())
            .collect();
        assert!(
            (ports[0]..)
                .zip(&ports)
                .all(|(expected, port)| expected == *port)
        );
        assert_eq!(ports.len(), usize::from(PORTS));
        let taken = open(ip, Some(ports[0])).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(sockets);
        open(ip, Some(ports[0])).unwrap();
    }
}
