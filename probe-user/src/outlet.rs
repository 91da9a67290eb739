//! Where beats leave and acks come in: a UDP socket of each family.

use std::{
    future, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use probe_common::{
    siphash::Key,
    wire::{LEN, Message, Packet},
};
use socket2::SockRef;
use tokio::net::UdpSocket;

/// What may be longer than a message is none.
type Bytes = [u8; LEN + 1];

/// The sockets of a sender and the keys that it believes.
#[derive(Debug)]
pub struct Outlet {
    /// The current key, which signs, and the previous one.
    pub keys: [Key; 2],
    v4: io::Result<UdpSocket>,
    v6: io::Result<UdpSocket>,
}

impl Outlet {
    /// Opens the sockets; a host may have those of one family alone.
    pub async fn open(keys: [Key; 2]) -> Self {
        Self {
            keys,
            v4: UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await,
            v6: UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await,
        }
    }

    /// Sends a beat without waiting: if there is no room for it now, it is lost.
    ///
    /// # Errors
    /// What the kernel says; of a beat that is lost on its way nobody knows.
    pub fn send(&self, beat: &Message, to: SocketAddr) -> io::Result<()> {
        let socket = if to.is_ipv4() { &self.v4 } else { &self.v6 };
        let socket = socket.as_ref().map_err(|error| {
            io::Error::new(error.kind(), format!("no socket for {to}: {error}"))
        })?;
        let packet = beat.encode(&self.keys[0]).to_bytes();
        // Not by tokio, which would wait for room.
        SockRef::from(socket).send_to(&packet, &to.into()).map(drop)
    }

    /// The next message whose tag is right, and where it comes from; whatever else arrives is ignored. Nothing is lost when it is
    /// dropped before it is ready.
    pub async fn receive(&self) -> (Message, SocketAddr) {
        loop {
            let received = tokio::select! {
                received = receive(self.v4.as_ref().ok()) => received,
                received = receive(self.v6.as_ref().ok()) => received,
            };
            // An error is of an earlier beat, and not of the socket.
            let Ok((bytes, length, from)) = received else {
                continue;
            };
            if let Ok(packet) = Packet::from_bytes(&bytes[..length])
                && packet.signer(&self.keys).is_some()
                && let Ok(message) = packet.message()
            {
                return (message, from);
            }
        }
    }
}

async fn receive(socket: Option<&UdpSocket>) -> io::Result<(Bytes, usize, SocketAddr)> {
    let Some(socket) = socket else {
        return future::pending().await;
    };
    let mut bytes = [0; LEN + 1];
    let (length, from) = socket.recv_from(&mut bytes).await?;
    Ok((bytes, length, from))
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket as Monitor, time::Duration};

    use super::*;

    #[tokio::test]
    async fn beats_leave_and_acks_come_by_both_families_and_nothing_else_does() {
        let [key, previous, other] = [1, 2, 3].map(|byte| Key::from_bytes([byte; 16]));
        let outlet = Outlet::open([key, previous]).await;
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let monitor = Monitor::bind(at).unwrap();
            let patience = Some(Duration::from_secs(10));
            monitor.set_read_timeout(patience).unwrap();
            let at = monitor.local_addr().unwrap();
            let beat = Message::beat(1, 2, 3, 4, 5);
            outlet.send(&beat, at).unwrap();
            let mut bytes = [0; 2 * LEN];
            let (length, from) = monitor.recv_from(&mut bytes).unwrap();
            let packet = Packet::from_bytes(&bytes[..length]).unwrap();
            assert!(packet.signed_by(&key));
            assert_eq!(packet.message(), Ok(beat));

            let ack = beat.ack().encode(&previous).to_bytes();
            let forged = beat.ack().encode(&other).to_bytes();
            for bytes in [&forged[..], &ack[..63], b"", &[0; 70], &ack] {
                monitor.send_to(bytes, from).unwrap();
            }
            assert_eq!(outlet.receive().await, (beat.ack(), at));
        }
    }
}
