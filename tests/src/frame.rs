//! Ethernet frames that hold a UDP datagram: taken apart and put together, with every checksum.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The tag protocol identifier of IEEE 802.1Q, which comes before each VLAN tag's two bytes.
const VLAN: [u8; 2] = [0x81, 0x00];
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const UDP: u8 = 17;

/// A UDP datagram and who sent it to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The MAC address that it came from.
    pub source_mac: [u8; 6],
    /// The MAC address that it went to.
    pub destination_mac: [u8; 6],
    /// The address that it came from.
    pub source: SocketAddr,
    /// The address that it went to.
    pub destination: SocketAddr,
    /// IPv4's type of service, IPv6's traffic class.
    pub traffic_class: u8,
    /// The UDP header's checksum, as it stands there.
    pub checksum: u16,
    /// What it says.
    pub payload: Vec<u8>,
}

/// How a datagram is wrapped.
#[derive(Clone, Debug, Default)]
pub struct Wrapping {
    /// VLAN numbers, outermost first.
    pub vlans: Vec<u16>,
    /// Whether the IPv4 header has options (three times "no operation" and the end of the list, RFC 791 §3.1).
    pub options: bool,
}

impl Datagram {
    /// The datagram that the frame holds, if it holds one, under whatever tags and options.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let (destination_mac, rest) = frame.split_first_chunk::<6>()?;
        let (source_mac, mut rest) = rest.split_first_chunk::<6>()?;
        while let Some(tagged) = rest.strip_prefix(&VLAN) {
            rest = tagged.get(2..)?;
        }
        let (kind, packet) = rest.split_first_chunk::<2>()?;
        let (source, destination, traffic_class, udp) = match *kind {
            IPV4 if *packet.get(9)? == UDP => {
                let header = usize::from(packet[0] & 0xf) * 4;
                let length = usize::from(word(packet, 2)?);
                let address = |at| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<4>()?));
                let udp = packet.get(header..length)?;
                (address(12)?, address(16)?, packet[1], udp)
            }
            IPV6 if *packet.get(6)? == UDP => {
                let length = usize::from(word(packet, 4)?);
                let address = |at| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<16>()?));
                let udp = packet.get(40..40 + length)?;
                let traffic_class = (word(packet, 0)? >> 4) as u8;
                (address(8)?, address(24)?, traffic_class, udp)
            }
            _ => return None,
        };
        Some(Self {
            source_mac: *source_mac,
            destination_mac: *destination_mac,
            source: SocketAddr::new(source, word(udp, 0)?),
            destination: SocketAddr::new(destination, word(udp, 2)?),
            traffic_class,
            checksum: word(udp, 6)?,
            payload: udp.get(8..usize::from(word(udp, 4)?))?.to_vec(),
        })
    }

    /// An answer to this datagram.
    #[must_use]
    pub fn answer(&self, payload: Vec<u8>) -> Self {
        let mut answer = Self {
            source_mac: self.destination_mac,
            destination_mac: self.source_mac,
            source: self.destination,
            destination: self.source,
            traffic_class: 0,
            checksum: 0,
            payload,
        };
        answer.checksum = answer.right_checksum();
        answer
    }

    /// The frame that holds it.
    pub fn frame(&self, wrapping: &Wrapping) -> Vec<u8> {
        let mut frame = [self.destination_mac, self.source_mac].concat();
        for vlan in &wrapping.vlans {
            frame.extend(VLAN);
            frame.extend(vlan.to_be_bytes());
        }
        let length = 8 + self.payload.len() as u16;
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.extend(IPV4);
                frame.extend(ipv4_header(source, destination, length, wrapping.options));
            }
            (source, destination) => {
                frame.extend(IPV6);
                frame.extend([0x60, 0, 0, 0]);
                frame.extend(length.to_be_bytes());
                frame.extend([UDP, 64]);
                frame.extend(octets(source));
                frame.extend(octets(destination));
            }
        }
        for word in [
            self.source.port(),
            self.destination.port(),
            length,
            self.checksum,
        ] {
            frame.extend(word.to_be_bytes());
        }
        frame.extend(&self.payload);
        frame
    }

    /// The checksum that the datagram should have (RFC 768; RFC 8200 §8.1).
    pub fn right_checksum(&self) -> u16 {
        let length = 8 + self.payload.len() as u16;
        let mut bytes = Vec::new();
        for word in [self.source.port(), self.destination.port(), length] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(&self.payload);
        // Zero would mean that there is none.
        match !fold(self.pseudo_header_sum(), &bytes) {
            0 => 0xffff,
            sum => sum,
        }
    }

    /// What stands in the checksum's place while a network card is yet to fill it in.
    pub fn unfinished_checksum(&self) -> u16 {
        self.pseudo_header_sum()
    }

    fn pseudo_header_sum(&self) -> u16 {
        let mut bytes = octets(self.source.ip());
        bytes.extend(octets(self.destination.ip()));
        bytes.extend([0, UDP]);
        bytes.extend((8 + self.payload.len() as u16).to_be_bytes());
        fold(0, &bytes)
    }
}

fn ipv4_header(source: Ipv4Addr, destination: Ipv4Addr, udp_length: u16, options: bool) -> Vec<u8> {
    let options: &[u8] = if options { &[1, 1, 1, 0] } else { &[] };
    let words = 5 + options.len() as u8 / 4;
    let length = u16::from(words) * 4 + udp_length;
    let mut header = vec![0x40 | words, 0];
    header.extend(length.to_be_bytes());
    header.extend([0, 0, 0x40, 0, 64, UDP, 0, 0]);
    header.extend(source.octets());
    header.extend(destination.octets());
    header.extend(options);
    let checksum = !fold(0, &header);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    header
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => Ipv6Addr::octets(&v6).to_vec(),
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The one's complement sum of RFC 1071, with a sum to start from.
fn fold(sum: u16, bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    let mut sum = words.fold(u32::from(sum), |sum, word| sum + u32::from(word));
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of RFC 1071's most quoted worked example.
    #[test]
    fn the_sum_is_the_rfcs() {
        assert_eq!(
            fold(0, &[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            0xddf2
        );
    }

    #[test]
    fn what_is_wrapped_is_found_again() {
        let wrappings = [
            Wrapping::default(),
            Wrapping {
                vlans: vec![7],
                options: true,
            },
            Wrapping {
                vlans: vec![7, 8],
                options: false,
            },
        ];
        let pairs = [
            ("198.18.0.1:1", "198.18.64.1:4862"),
            ("[2001:db8::1]:1", "[2001:db8:2::1]:4862"),
        ];
        for (source, destination) in pairs {
            let mut datagram = Datagram {
                source_mac: [1; 6],
                destination_mac: [2; 6],
                source: source.parse().unwrap(),
                destination: destination.parse().unwrap(),
                traffic_class: 0,
                checksum: 0,
                payload: b"odd".to_vec(),
            };
            datagram.checksum = datagram.right_checksum();
            for wrapping in &wrappings {
                assert_eq!(
                    Datagram::parse(&datagram.frame(wrapping)),
                    Some(datagram.clone())
                );
            }
        }
    }
}
