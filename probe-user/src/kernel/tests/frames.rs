//! Frames made by hand, and the kernel's own way of running a program over one.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd as _, BorrowedFd},
};

use probe_common::wire::Packet;

/// A UDP datagram in an Ethernet frame; each field may be what it should not be.
#[derive(Clone, Debug)]
pub struct Frame {
    pub macs: [[u8; 6]; 2],
    pub vlan: Vec<u16>,
    pub traffic_class: u8,
    pub identification: u16,
    /// Words of four bytes in the IPv4 header's options.
    pub options: u8,
    pub fragment: u16,
    pub protocol: u8,
    pub ttl: u8,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub udp_checksum: u16,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(source: SocketAddr, destination: SocketAddr, packet: &Packet) -> Self {
        let mut frame = Self {
            macs: [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]],
            vlan: Vec::new(),
            traffic_class: 0,
            identification: 0x1234,
            options: 0,
            fragment: 0x4000,
            protocol: 17,
            ttl: 17,
            source,
            destination,
            udp_checksum: 0,
            payload: packet.to_bytes().into(),
        };
        frame.udp_checksum = frame.right_checksum();
        frame
    }

    /// The bytes from the Ethernet header on.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.macs.concat();
        let udp = self.udp();
        for tag in &self.vlan {
            bytes.extend([&tag.to_be_bytes()[..], &[0, 7]].concat());
        }
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                bytes.extend([0x08, 0x00]);
                let length = 20 + 4 * self.options;
                let mut header = vec![0x40 | (length / 4), self.traffic_class];
                header.extend((u16::from(length) + udp.len() as u16).to_be_bytes());
                header.extend(self.identification.to_be_bytes());
                header.extend(self.fragment.to_be_bytes());
                header.extend([self.ttl, self.protocol, 0, 0]);
                header.extend(source.octets());
                header.extend(destination.octets());
                header.resize(length.into(), 1);
                let checksum = checksum(&header);
                header[10..12].copy_from_slice(&checksum.to_be_bytes());
                bytes.extend(header);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let class = self.traffic_class;
                bytes.extend([0x86, 0xdd, 0x60 | class >> 4, class << 4, 0, 0]);
                bytes.extend((udp.len() as u16).to_be_bytes());
                bytes.extend([self.protocol, self.ttl]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
            }
            _ => panic!("one family"),
        }
        bytes.extend(udp);
        bytes
    }

    fn udp(&self) -> Vec<u8> {
        let mut udp = Vec::new();
        udp.extend(self.source.port().to_be_bytes());
        udp.extend(self.destination.port().to_be_bytes());
        udp.extend((8 + self.payload.len() as u16).to_be_bytes());
        udp.extend(self.udp_checksum.to_be_bytes());
        udp.extend(&self.payload);
        udp
    }

    /// The UDP checksum that is right for what the frame holds.
    pub fn right_checksum(&self) -> u16 {
        let bare = Self {
            udp_checksum: 0,
            ..self.clone()
        };
        let mut pseudo = Vec::new();
        for ip in [self.source.ip(), self.destination.ip()] {
            match ip {
                IpAddr::V4(ip) => pseudo.extend(ip.octets()),
                IpAddr::V6(ip) => pseudo.extend(ip.octets()),
            }
        }
        pseudo.extend([0, 0, 0, 8 + self.payload.len() as u8, 0, 0, 0, 17]);
        pseudo.extend(bare.udp());
        match checksum(&pseudo) {
            0 => 0xffff,
            sum => sum,
        }
    }

    /// The message that it carries.
    pub fn packet(&self) -> Packet {
        Packet::from_bytes(&self.payload).unwrap()
    }
}

/// RFC 1071 §4.1, over an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

/// `test` of `union bpf_attr`, as far as it is needed.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: i32,
    returned: u32,
    size_in: u32,
    size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
}

const BPF_PROG_TEST_RUN: libc::c_int = 10;

/// Runs a program over a frame: what it returned, and the frame as it left it.
pub fn run(program: BorrowedFd<'_>, frame: &[u8]) -> io::Result<(u32, Vec<u8>)> {
    test(program, frame, &[])
}

/// Runs a program over a frame of so many bytes after so many of metadata, as over a live one; the frame is not sent.
pub fn run_as_live(
    program: BorrowedFd<'_>,
    metadata: usize,
    length: usize,
) -> io::Result<(u32, Vec<u8>)> {
    // `struct xdp_md` begins with where the data begin and end.
    let context = [metadata as u32, (metadata + length) as u32, 0, 0, 0, 0];
    let (action, mut out) = test(program, &vec![0xa5; metadata + length], &context)?;
    out.drain(..metadata);
    Ok((action, out))
}

fn test(program: BorrowedFd<'_>, frame: &[u8], context: &[u32]) -> io::Result<(u32, Vec<u8>)> {
    let mut out = vec![0; frame.len() + 128];
    let mut test = TestRun {
        program: program.as_raw_fd(),
        size_in: frame.len() as u32,
        size_out: out.len() as u32,
        data_in: frame.as_ptr() as u64,
        data_out: out.as_mut_ptr() as u64,
        repeat: 1,
        context_size_in: size_of_val(context) as u32,
        context_in: if context.is_empty() {
            0
        } else {
            context.as_ptr() as u64
        },
        ..TestRun::default()
    };
    // SAFETY: all pointers, with their sizes, are to memory that outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_TEST_RUN,
            &raw mut test,
            size_of::<TestRun>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    out.truncate(test.size_out as usize);
    Ok((test.returned, out))
}
