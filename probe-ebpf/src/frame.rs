//! A frame as XDP and TC hand it over, and where a message stands in it.

use aya_ebpf::programs::{TcContext, XdpContext};
use probe_common::{
    address::Address,
    checksum::{DATAGRAM, UDP, UDP_HEADER},
    headers::{IPV4_HEADER, IPV6_HEADER},
    wire::{LEN, Packet},
};

pub const IPV4: u16 = 0x0800;
pub const IPV6: u16 = 0x86dd;
/// The tags of IEEE 802.1Q, a customer's and a provider's.
pub const VLAN: [u16; 2] = [0x8100, 0x88a8];

/// Bytes of an Ethernet header without tags.
pub const ETHERNET_HEADER: usize = 14;

/// More fragments, or an offset: this is not a whole packet (RFC 791).
const FRAGMENT: u16 = 0x3fff;

/// The frame is not for this program: it passes untouched.
#[derive(Clone, Copy)]
pub struct Foreign;

/// The bytes of a frame, from its Ethernet header on.
pub struct Frame {
    start: usize,
    end: usize,
}

impl From<&XdpContext> for Frame {
    #[inline(always)]
    fn from(ctx: &XdpContext) -> Self {
        Self {
            start: ctx.data(),
            end: ctx.data_end(),
        }
    }
}

/// Only what lies in the packet's first piece of memory, as a small datagram of a socket does whole.
impl From<&TcContext> for Frame {
    #[inline(always)]
    fn from(ctx: &TcContext) -> Self {
        Self {
            start: ctx.data(),
            end: ctx.data_end(),
        }
    }
}

impl Frame {
    /// The `N` bytes at `offset`, if the frame is that long: the one way to its bytes, with the comparison that the
    /// verifier asks for.
    #[inline(always)]
    fn at<const N: usize>(&self, offset: usize) -> Result<*mut [u8; N], Foreign> {
        let at = self.start + offset;
        if at + N > self.end {
            return Err(Foreign);
        }
        Ok(at as *mut [u8; N])
    }

    /// Reads the `N` bytes at `offset`.
    #[inline(always)]
    pub fn read<const N: usize>(&self, offset: usize) -> Result<[u8; N], Foreign> {
        let bytes = self.at(offset)?;
        // SAFETY: `at` saw that they lie within the frame, which is there as long as the program runs.
        Ok(unsafe { *bytes })
    }

    /// Writes the `N` bytes at `offset`.
    #[inline(always)]
    pub fn write<const N: usize>(&self, offset: usize, value: [u8; N]) -> Result<(), Foreign> {
        let bytes = self.at(offset)?;
        // SAFETY: as in `read`; nobody holds a reference into the frame.
        unsafe { *bytes = value };
        Ok(())
    }

    /// Where `N` words can be written at `offset`.
    #[inline(always)]
    pub fn words<const N: usize>(&self, offset: usize) -> Result<Words<N>, Foreign> {
        let at = self.start + offset;
        if at + size_of::<[u64; N]>() > self.end {
            return Err(Foreign);
        }
        Ok(Words(at as *mut u64))
    }

    /// Lets the `N` bytes at `a` and those at `b` change places; more than eight, or a number that is no word's, the
    /// compiler would copy one by one.
    #[inline(always)]
    pub fn swap<const N: usize>(&self, a: usize, b: usize) -> Result<(), Foreign> {
        let (at_a, at_b) = (self.read::<N>(a)?, self.read::<N>(b)?);
        self.write(a, at_b)?;
        self.write(b, at_a)
    }

    #[inline(always)]
    fn read_u16(&self, offset: usize) -> Result<u16, Foreign> {
        Ok(u16::from_be_bytes(self.read(offset)?))
    }

    #[inline(always)]
    fn read_v4(&self, offset: usize) -> Result<Address, Foreign> {
        Ok(Address::from_v4(self.read(offset)?))
    }

    #[inline(always)]
    fn read_v6(&self, offset: usize) -> Result<Address, Foreign> {
        let word = |offset| Ok(u64::from_ne_bytes(self.read(offset)?));
        Ok(Address::from_v6([word(offset)?, word(offset + 8)?]))
    }
}

/// Room for `N` words in a frame.
pub struct Words<const N: usize>(*mut u64);

impl<const N: usize> Words<N> {
    /// Writes them. Word by word: as bytes, the compiler would copy them one by one.
    #[inline(always)]
    pub fn write(self, words: [u64; N]) {
        for (i, word) in words.into_iter().enumerate() {
            // SAFETY: `Frame::words` saw that all `N` lie within the frame.
            let at = unsafe { self.0.add(i) };
            // SAFETY: as above; nobody holds a reference into the frame.
            unsafe { at.write_unaligned(word) };
        }
    }
}

/// The version of IP; its number is the place of its port in [`probe_common::maps::Settings::ports`].
#[derive(Clone, Copy)]
pub enum Version {
    V4 = 0,
    V6 = 1,
}

/// A UDP datagram just long enough for one message: where it stands in its frame, from whom and to whom it is.
pub struct Datagram {
    pub version: Version,
    /// Offset of the IP header.
    pub ip: usize,
    /// Offset of the UDP header.
    pub udp: usize,
    pub source: (Address, u16),
    pub destination: (Address, u16),
}

impl Datagram {
    /// Ethernet, up to two VLAN tags, IPv4 with or without options or IPv6 without extension headers, not a fragment, UDP.
    #[inline(always)]
    pub fn parse(frame: &Frame) -> Result<Self, Foreign> {
        let mut ip = ETHERNET_HEADER;
        let mut ether_type = frame.read_u16(12)?;
        for _ in 0..2 {
            if VLAN.contains(&ether_type) {
                ether_type = frame.read_u16(ip + 2)?;
                ip += 4;
            }
        }
        match ether_type {
            IPV4 => Self::parse_v4(frame, ip),
            IPV6 => Self::parse_v6(frame, ip),
            _ => Err(Foreign),
        }
    }

    #[inline(always)]
    fn parse_v4(frame: &Frame, ip: usize) -> Result<Self, Foreign> {
        let [version_length] = frame.read(ip)?;
        let header = (version_length & 0xf) as usize * 4;
        let [protocol] = frame.read(ip + 9)?;
        if version_length >> 4 != 4
            || header < IPV4_HEADER
            || frame.read_u16(ip + 2)? != header as u16 + DATAGRAM
            || frame.read_u16(ip + 6)? & FRAGMENT != 0
            || protocol != UDP
        {
            return Err(Foreign);
        }
        let addresses = [frame.read_v4(ip + 12)?, frame.read_v4(ip + 16)?];
        Self::parse_udp(frame, Version::V4, ip, ip + header, addresses)
    }

    #[inline(always)]
    fn parse_v6(frame: &Frame, ip: usize) -> Result<Self, Foreign> {
        let [version] = frame.read(ip)?;
        let [next_header] = frame.read(ip + 6)?;
        if version >> 4 != 6 || frame.read_u16(ip + 4)? != DATAGRAM || next_header != UDP {
            return Err(Foreign);
        }
        let addresses = [frame.read_v6(ip + 8)?, frame.read_v6(ip + 24)?];
        Self::parse_udp(frame, Version::V6, ip, ip + IPV6_HEADER, addresses)
    }

    #[inline(always)]
    fn parse_udp(
        frame: &Frame,
        version: Version,
        ip: usize,
        udp: usize,
        [source, destination]: [Address; 2],
    ) -> Result<Self, Foreign> {
        let ports = [frame.read_u16(udp)?, frame.read_u16(udp + 2)?];
        // Nobody can be answered on port 0; in a setting it means none.
        if frame.read_u16(udp + 4)? != DATAGRAM || ports.contains(&0) {
            return Err(Foreign);
        }
        Ok(Self {
            version,
            ip,
            udp,
            source: (source, ports[0]),
            destination: (destination, ports[1]),
        })
    }

    /// Whether its IPv4 header has options.
    #[inline(always)]
    pub fn has_options(&self) -> bool {
        matches!(self.version, Version::V4) && self.udp - self.ip != IPV4_HEADER
    }

    /// Offset of the message.
    #[inline(always)]
    pub fn message(&self) -> usize {
        self.udp + UDP_HEADER
    }

    /// The message.
    #[inline(always)]
    pub fn packet(&self, frame: &Frame) -> Result<Packet, Foreign> {
        let bytes: [u8; LEN] = frame.read(self.message())?;
        Packet::from_bytes(&bytes).map_err(|_| Foreign)
    }
}
