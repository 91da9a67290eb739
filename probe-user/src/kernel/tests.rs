//! The programs under the real verifier, each run over frames made by hand. They need the privilege to load them: without,
//! they say so and end, but fail where `CI=true` promises it.

mod beats;
pub(super) mod frames;
mod interfaces;
pub(super) mod network;
mod receive;
mod reflect;
mod simulate;
mod stamp;

use std::{env, net::SocketAddr};

use probe_common::{
    ports::{self, Ports},
    siphash::Key,
    wire::Kind,
};
use rustix::time::{ClockId, clock_gettime};

use self::frames::{Frame, run};
use super::*;

pub(super) const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;

pub(super) const EPOCH: u32 = 0xdead_beef;
pub(super) const PORTS: Ports = Ports {
    first: [40_003, 60_005],
    paths: 4,
    beats: 4863,
};

/// Room for so many rows, classes, groups and next hops, and for two services.
pub(super) const fn room(rows: u32, classes: u32, groups: u32, hops: u32) -> Room {
    Room {
        rows,
        services: 2,
        classes,
        groups,
        hops,
    }
}

/// What was loaded; `None` without the privilege.
pub(super) fn privileged<T>(loaded: Result<T, LoadError>) -> Option<T> {
    match loaded {
        Ok(loaded) => Some(loaded),
        Err(error @ LoadError::Privilege) if env::var("CI").as_deref() != Ok("true") => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

pub(super) fn keys() -> [Key; 2] {
    [1, 2].map(|byte| Key::from_bytes([byte; 16]))
}

/// The monotonic time, ns, as the programs see it.
pub(super) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The monitor's and a host's address, in IPv4 and in IPv6.
pub(super) fn ends() -> [(SocketAddr, SocketAddr); 2] {
    [
        ("198.18.0.1:40004", "198.18.0.2:4862"),
        ("[fd00::1]:60006", "[fd00::2]:4862"),
    ]
    .map(|(monitor, host)| (monitor.parse().unwrap(), host.parse().unwrap()))
}

/// The same datagram in each shape of frame that the programs know.
fn shapes(frame: &Frame) -> Vec<Frame> {
    let mut shapes = vec![frame.clone()];
    for vlan in [
        vec![0x8100],
        vec![0x88a8],
        vec![0x88a8, 0x8100],
        vec![0x8100, 0x8100],
    ] {
        shapes.push(Frame {
            vlan,
            ..frame.clone()
        });
    }
    shapes
}

/// The same datagram with each length of options that an IPv4 header can have.
fn with_options(frame: &Frame) -> Vec<Frame> {
    let lengths = if frame.source.is_ipv4() { 1..11 } else { 0..0 };
    lengths
        .map(|options| Frame {
            options,
            ..frame.clone()
        })
        .collect()
}

/// Frames that no program may touch: each differs in one thing from `frame`, which is right.
fn strangers(frame: &Frame) -> Vec<(&'static str, Vec<u8>)> {
    let changed = |what, change: &dyn Fn(&mut Frame)| {
        let mut frame = frame.clone();
        change(&mut frame);
        (what, frame.bytes())
    };
    let mut strangers = vec![
        changed("a short message", &|frame| frame.payload.truncate(63)),
        changed("a long message", &|frame| frame.payload.push(0)),
        changed("no message", &|frame| frame.payload.clear()),
        changed("another magic", &|frame| frame.payload[3] ^= 1),
        changed("another kind", &|frame| frame.payload[4] = 9),
        changed("TCP", &|frame| frame.protocol = 6),
        changed("three tags", &|frame| frame.vlan = vec![0x8100; 3]),
        changed("another ether type", &|frame| frame.vlan = vec![0x0806]),
    ];
    if frame.source.is_ipv4() {
        strangers.extend([
            changed("a first fragment", &|frame| frame.fragment = 0x2000),
            changed("a last fragment", &|frame| frame.fragment = 0x0001),
        ]);
    } else {
        strangers.push(changed("an extension header", &|frame| frame.protocol = 0));
    }
    let whole = frame.bytes();
    for length in 14..whole.len() {
        strangers.push(("a frame cut off", whole[..length].to_vec()));
    }
    strangers
}
