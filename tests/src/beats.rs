//! A monitor as senders of beats see it: a socket on loopback that hears beats, and acks those that it is told to.

use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use probe_common::{
    siphash::Key,
    wire::{Kind, LEN, Message, Packet},
};

/// No beat that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The monitor.
#[derive(Debug)]
pub struct Hearing {
    socket: UdpSocket,
    key: Key,
}

impl Hearing {
    /// Hears beats that are signed with this key, at some port of 127.0.0.1.
    pub fn with_key(key: Key) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
        Self { socket, key }
    }

    /// The same with the key of zeros.
    #[expect(clippy::new_without_default, reason = "it opens a socket")]
    pub fn new() -> Self {
        Self::with_key(Key::default())
    }

    /// Where it is.
    pub fn at(&self) -> SocketAddr {
        self.socket.local_addr().expect("it is bound")
    }

    /// The next beat within this time, and where it comes from; panics at anything that is no beat with the right tag.
    pub fn beat_within(&self, within: Duration) -> Option<(Message, SocketAddr)> {
        let within = within.max(Duration::from_millis(1));
        self.socket
            .set_read_timeout(Some(within))
            .expect("not zero");
        let mut bytes = [0; 2 * LEN];
        let (length, from) = self.socket.recv_from(&mut bytes).ok()?;
        let packet = Packet::from_bytes(&bytes[..length]).expect("64 bytes");
        assert!(packet.signed_by(&self.key), "{packet:?}");
        let message = packet.message().expect("a message");
        assert_eq!(message.kind, Kind::Beat);
        Some((message, from))
    }

    /// The next beat.
    pub fn beat(&self) -> (Message, SocketAddr) {
        self.beat_within(PATIENCE).expect("a beat comes")
    }

    /// Takes beats in until one is as wanted.
    pub fn until(&self, what: &str, wanted: impl Fn(&Message) -> bool) -> (Message, SocketAddr) {
        let deadline = Instant::now() + PATIENCE;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            if let Some(heard) = self.beat_within(left).filter(|(beat, _)| wanted(beat)) {
                return heard;
            }
        }
        panic!("no such beat: {what}");
    }

    /// Forgets what has come so far.
    pub fn forget(&self) {
        while self.beat_within(Duration::from_millis(1)).is_some() {}
    }

    /// Sends a message, signed with the key.
    pub fn send(&self, message: &Message, to: SocketAddr) {
        let bytes = message.encode(&self.key).to_bytes();
        self.socket.send_to(&bytes, to).expect("loopback takes it");
    }

    /// Acks a beat.
    pub fn ack(&self, beat: &Message, to: SocketAddr) {
        self.send(&beat.ack(), to);
    }
}
