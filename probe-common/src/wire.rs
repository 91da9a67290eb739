//! The message on the wire, version 1: 64 bytes, one cache line, big-endian. The format is
//! documented, field by field, in `docs/wire.md`.
//!
//! A [`Packet`] is the bytes as they stand on the wire, kept as eight words: decoding, encoding and
//! signing are then shifts on words, which both the host and the BPF verifier do well.

use crate::siphash::{Key, siphash24};

/// Length of every message in bytes.
pub const LEN: usize = 64;

/// The first four bytes of every message: `HBT1`.
pub const MAGIC: u32 = u32::from_be_bytes(*b"HBT1");

/// The UDP port that reflectors listen on unless they are told otherwise.
pub const REFLECTOR_PORT: u16 = 4862;

/// The UDP port that monitors hear beats on unless they are told otherwise.
pub const BEAT_PORT: u16 = 4863;

/// The bit of [`Message::flags`] by which a beat asks for an ack.
pub const ACK_WANTED: u8 = 1;

/// [`Message::health`] of a sender that does not know its load: CPU and memory both 0xffff.
pub const HEALTH_UNKNOWN: u32 = u32::MAX;

/// What a message is.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A monitor's request.
    Ping = 1,
    /// A reflector's answer.
    Pong = 2,
    /// Pushed by a service by itself.
    Beat = 3,
    /// A monitor's answer to a beat that asked for one.
    Ack = 4,
}

/// A decoded message; see the module for the meaning of each kind's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// Bit 0: an ack is wanted.
    pub flags: u8,
    /// A hint which key signed it. Receivers try every key that they hold.
    pub key: u8,
    /// The monitor's number for the target; a pong echoes it.
    pub target: u32,
    /// Sequence number, counted per target from 1; a pong echoes it.
    pub seq: u32,
    /// Drawn at random when the sender starts; a pong echoes it.
    pub epoch: u32,
    /// CPU load (upper 16 bits) and memory used (lower 16 bits), hundredths of a percent, 0xffff = not known.
    pub health: u32,
    /// The sender's monotonic time in ns; a pong echoes it.
    pub time: u64,
    /// Pong: when the reflector received the ping, ns since the Unix epoch, 0 = not known. Beat: the host's identity.
    pub received: u64,
    /// Pong: when the reflector sent the pong, likewise. Beat: the service's identity.
    pub sent: u64,
    /// A hash of the host's boot id, 0 = not known.
    pub boot: u32,
    /// Beat: the session timeout that the sender asks for, ms, 0 = the monitor's own.
    pub session: u32,
}

impl Message {
    /// A ping as a monitor sends it. `time` in ns of the monotonic clock.
    #[inline(always)]
    pub const fn ping(target: u32, seq: u32, epoch: u32, time: u64) -> Self {
        Self {
            kind: Kind::Ping,
            flags: 0,
            key: 0,
            target,
            seq,
            epoch,
            health: HEALTH_UNKNOWN,
            time,
            received: 0,
            sent: 0,
            boot: 0,
            session: 0,
        }
    }

    /// The pong to this ping. What the monitor wrote is echoed; `received` and `sent` in ns since the Unix epoch, 0 = not
    /// known.
    #[inline(always)]
    #[must_use]
    pub const fn pong(&self, health: u32, boot: u32, received: u64, sent: u64) -> Self {
        Self {
            kind: Kind::Pong,
            flags: 0,
            key: self.key,
            target: self.target,
            seq: self.seq,
            epoch: self.epoch,
            health,
            time: self.time,
            received,
            sent,
            boot,
            session: 0,
        }
    }

    /// A beat as a service's sender pushes it: the first of an epoch has `seq` 1, `time` is in ns of its monotonic clock. Who it
    /// is for are identities of names, see [`crate::siphash::identity`]; `epoch` is never 0.
    #[inline(always)]
    pub const fn beat(host: u64, service: u64, seq: u32, epoch: u32, time: u64) -> Self {
        Self {
            kind: Kind::Beat,
            received: host,
            sent: service,
            ..Self::ping(0, seq, epoch, time)
        }
    }

    /// The same beat, which asks for an ack if `wanted`.
    #[must_use]
    pub const fn with_ack(mut self, wanted: bool) -> Self {
        self.flags = if wanted { ACK_WANTED } else { 0 };
        self
    }

    /// Whether it is a beat that asks for an ack.
    #[inline(always)]
    pub const fn wants_ack(&self) -> bool {
        self.flags & ACK_WANTED != 0
    }

    /// The ack of this beat: the same with another kind.
    #[must_use]
    pub const fn ack(&self) -> Self {
        Self {
            kind: Kind::Ack,
            ..*self
        }
    }

    /// The message on the wire, signed with `key`.
    #[inline(always)]
    pub fn encode(&self, key: &Key) -> Packet {
        let head = (MAGIC as u64) << 32
            | (self.kind as u64) << 24
            | (self.flags as u64) << 16
            | (self.key as u64) << 8;
        let mut packet = Packet([
            head.to_be(),
            pair(self.target, self.seq),
            pair(self.epoch, self.health),
            self.time.to_be(),
            self.received.to_be(),
            self.sent.to_be(),
            pair(self.boot, self.session),
            0,
        ]);
        packet.sign(key);
        packet
    }
}

#[inline(always)]
const fn pair(upper: u32, lower: u32) -> u64 {
    ((upper as u64) << 32 | lower as u64).to_be()
}

/// Why bytes are not a message of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not [`LEN`] bytes long.
    Length,
    /// Does not begin with [`MAGIC`].
    Magic,
    /// A kind that this version does not know.
    Kind,
}

/// A message's 64 bytes in wire order, as eight words in memory order.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet(pub [u64; LEN / 8]);

impl Packet {
    /// The packet that these bytes are, if there are [`LEN`] of them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let (words, rest) = bytes.as_chunks::<8>();
        let words: &[[u8; 8]; LEN / 8] = words.try_into().map_err(|_| Malformed::Length)?;
        if !rest.is_empty() {
            return Err(Malformed::Length);
        }
        Ok(Self(words.map(u64::from_ne_bytes)))
    }

    /// The bytes to put on the wire.
    pub fn to_bytes(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        let (chunks, _) = bytes.as_chunks_mut::<8>();
        for (to, word) in chunks.iter_mut().zip(self.0) {
            *to = word.to_ne_bytes();
        }
        bytes
    }

    /// Decodes; says nothing about whether the tag is right.
    #[inline(always)]
    pub fn message(&self) -> Result<Message, Malformed> {
        let words = &self.0;
        let head = u64::from_be(words[0]);
        if (head >> 32) as u32 != MAGIC {
            return Err(Malformed::Magic);
        }
        let kind = match (head >> 24) as u8 {
            1 => Kind::Ping,
            2 => Kind::Pong,
            3 => Kind::Beat,
            4 => Kind::Ack,
            _ => return Err(Malformed::Kind),
        };
        let [slot, epoch, boot] = [1, 2, 6].map(|i| u64::from_be(words[i]));
        Ok(Message {
            kind,
            flags: (head >> 16) as u8,
            key: (head >> 8) as u8,
            target: (slot >> 32) as u32,
            seq: slot as u32,
            epoch: (epoch >> 32) as u32,
            health: epoch as u32,
            time: u64::from_be(words[3]),
            received: u64::from_be(words[4]),
            sent: u64::from_be(words[5]),
            boot: (boot >> 32) as u32,
            session: boot as u32,
        })
    }

    /// The tag that `key` gives the first 56 bytes.
    #[inline(always)]
    fn tag(&self, key: &Key) -> u64 {
        let [signed @ .., _] = self.0.map(u64::from_le);
        siphash24(key, signed)
    }

    /// Writes the tag that `key` gives.
    #[inline(always)]
    pub fn sign(&mut self, key: &Key) {
        self.0[7] = self.tag(key).to_be();
    }

    /// Whether the tag is the one that `key` gives.
    #[inline(always)]
    pub fn signed_by(&self, key: &Key) -> bool {
        self.0[7] == self.tag(key).to_be()
    }

    /// The one of `keys` that gives the tag.
    #[inline(always)]
    pub fn signer<'a>(&self, keys: &'a [Key; 2]) -> Option<&'a Key> {
        // One by one: the verifier cannot follow an iterator to its end.
        let [first, second] = keys;
        if self.signed_by(first) {
            Some(first)
        } else if self.signed_by(second) {
            Some(second)
        } else {
            None
        }
    }

    /// Sets the sender's time (ns, monotonic). The tag is wrong until [`Packet::sign`].
    #[inline(always)]
    pub fn set_time(&mut self, time: u64) {
        self.0[3] = time.to_be();
    }
}

#[cfg(test)]
mod tests;
