//! The shortest that live frames allow: a program that sends them on as they are, one that lets the Ethernet addresses change
//! places and sends them back, one that counts them. Written by hand, in BPF's own instructions (RFC 9669).

use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, RawFd};

use memmap2::MmapRaw;

use super::super::{tests::*, *};
use crate::kernel::{
    link::{self, index_of},
    syscall::bpf,
};

/// Both ends of a veth pair in one namespace: frames that leave by the near one are counted at the last end that they reach.
pub struct Wire {
    pub near: u32,
    counter: MmapRaw,
    _links: Vec<Link>,
}

/// Sends frames that nobody has made, by a wire.
pub struct Bare {
    send: OwnedFd,
    _link: Link,
}

/// Frames that a call sends, as many as one of ours.
const FRAMES: u32 = ROOM as u32;

impl Wire {
    /// In the network namespace of the calling thread. What comes to the far end is counted there, or sent back by this program
    /// and counted at the near end.
    pub fn new(name: &str, back: Option<BorrowedFd<'_>>) -> Self {
        let [near, far] = pair(name);
        let map = array();
        let count = load(&counter(map.as_raw_fd()));
        let links = match back {
            None => vec![attach(&far, count.as_fd())],
            Some(back) => vec![attach(&far, back), attach(&near, count.as_fd())],
        };
        wait_for(&near, || is_up(&near));
        Self {
            near: index_of(&near).unwrap(),
            counter: MmapOptions::new().len(8).map_raw(&map).unwrap(),
            _links: links,
        }
    }

    /// One whose far end lets the Ethernet addresses change places.
    pub fn reflected(name: &str) -> Self {
        Self::new(name, Some(load(&REFLECTOR).as_fd()))
    }

    /// How many frames have come to the end of their way.
    #[expect(clippy::cast_ptr_alignment, reason = "a mapping is aligned to a page")]
    pub fn arrived(&self) -> u64 {
        let counter = self.counter.as_ptr().cast::<u64>();
        // SAFETY: the mapping begins with the counter; the kernel writes it in one piece.
        unsafe { counter.read_volatile() }
    }
}

impl Bare {
    /// Sends by this wire.
    pub fn by(wire: &Wire) -> Self {
        let send = load(&sender(wire.near));
        // Two more ends hold the sender: the kernel must know it for a program that is attached.
        let [held, _] = pair(&format!("held{}-", wire.near));
        let link = attach(&held, send.as_fd());
        Self { send, _link: link }
    }

    /// Sends frames; all are taken to have left.
    pub fn send(&self, batch: u32) -> (u64, u64) {
        let mut frame = [0; LIVE_MARK + FRAME];
        frame[LIVE_MARK..][12..14].copy_from_slice(&EXPERIMENT);
        // Whole batches: the kernel makes no others.
        let frames = FRAMES / batch * batch;
        run_live(self.send.as_fd(), &frame, frames, batch).unwrap();
        (frames.into(), 0)
    }
}

/// A veth pair, both ends up.
fn pair(name: &str) -> [String; 2] {
    let ends = [0, 1].map(|end| format!("{name}{end}"));
    let [one, other] = &ends;
    ip(&format!("link add {one} type veth peer name {other}"));
    for end in &ends {
        ip(&format!("link set {end} addrgenmode none up"));
    }
    ends
}

fn attach(name: &str, program: BorrowedFd<'_>) -> Link {
    let index = index_of(name).unwrap();
    link::xdp(program, name, index, Want::Native).unwrap().1
}

/// One instruction: operation, destination, source, offset, immediate.
const fn op(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> u64 {
    code as u64
        | (to as u64) << 8
        | (from as u64) << 12
        | (offset as u16 as u64) << 16
        | (immediate as u32 as u64) << 32
}

const EXIT: u64 = op(0x95, 0, 0, 0, 0);

/// `return bpf_redirect(interface, 0)`
fn sender(interface: u32) -> [u64; 4] {
    [
        op(0xb7, 1, 0, 0, interface as i32),
        op(0xb7, 2, 0, 0, 0),
        op(0x85, 0, 0, 0, 23),
        EXIT,
    ]
}

/// If the frame has an Ethernet header, exchanges its addresses and returns `XDP_TX`, else `XDP_DROP`.
const REFLECTOR: [u64; 17] = [
    op(0x61, 2, 1, 0, 0),
    op(0x61, 3, 1, 4, 0),
    op(0xbf, 4, 2, 0, 0),
    op(0x07, 4, 0, 0, 14),
    op(0x2d, 4, 3, 10, 0),
    op(0x61, 5, 2, 0, 0),
    op(0x69, 6, 2, 4, 0),
    op(0x61, 7, 2, 6, 0),
    op(0x69, 8, 2, 10, 0),
    op(0x63, 2, 7, 0, 0),
    op(0x6b, 2, 8, 4, 0),
    op(0x63, 2, 5, 6, 0),
    op(0x6b, 2, 6, 10, 0),
    op(0xb7, 0, 0, 0, 3),
    EXIT,
    op(0xb7, 0, 0, 0, 1),
    EXIT,
];

/// Adds one to the map's value, which one CPU alone does, and returns `XDP_DROP`.
fn counter(map: RawFd) -> [u64; 7] {
    [
        op(0x18, 1, 2, 0, map),
        0,
        op(0x79, 2, 1, 0, 0),
        op(0x07, 2, 0, 0, 1),
        op(0x7b, 1, 2, 0, 0),
        op(0xb7, 0, 0, 0, 1),
        EXIT,
    ]
}

/// `BPF_MAP_CREATE`, of an array of one 64-bit number that can be mapped.
fn array() -> OwnedFd {
    let mut attributes: [u32; 5] = [2, 4, 8, 1, 1 << 10];
    own(bpf(0, &mut attributes).unwrap())
}

/// `BPF_PROG_LOAD` of an XDP program.
fn load(program: &[u64]) -> OwnedFd {
    let licence = c"GPL";
    let mut attributes: [u64; 4] = [
        6 | (program.len() as u64) << 32,
        program.as_ptr() as u64,
        licence.as_ptr() as u64,
        0,
    ];
    own(bpf(5, &mut attributes).unwrap())
}

fn own(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made it for us alone.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}
