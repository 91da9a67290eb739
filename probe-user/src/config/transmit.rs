//! How pings leave: the keys at the top of the file that are about that.

use std::ops::RangeInclusive;

use probe_common::ports::{MOST_PATHS, PORTS};

use super::{
    problem::{Path, Problems},
    section::{get, list, number, word},
    yaml::{Entry, Node},
};

/// What sends the pings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// The kernel's engine where an interface can, sockets elsewhere.
    #[default]
    Auto,
    /// The kernel's, or nothing.
    Kernel,
    /// Sockets.
    Socket,
}

/// How pings leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// What sends them.
    pub engine: Engine,
    /// Over how many ports a target's pings go in turn.
    pub paths: u16,
    /// The first of the monitor's ports; `None`: any.
    pub first_port: Option<u16>,
    /// The CPUs that pumps are bound to; none: the prober's thread is the only pump, and free.
    pub pumps: Vec<u32>,
    /// The DSCP of pings (RFC 2474), 0 to 63.
    pub dscp: u8,
}

const FIRST_PORTS: RangeInclusive<u16> = 1..=u16::MAX - (PORTS - 1);

/// The most CPUs that Linux can have (`NR_CPUS` of its largest configurations).
const CPUS: u32 = 8192;

impl Default for Transmit {
    fn default() -> Self {
        Self {
            engine: Engine::default(),
            paths: 1,
            first_port: None,
            pumps: Vec::new(),
            dscp: 0,
        }
    }
}

impl Transmit {
    /// The names of the keys.
    pub(super) const KEYS: [&str; 5] = ["engine", "pumps", "source_ports", "source_port", "dscp"];

    /// Reads them from the top of the file; `has_xdp` tells whether XDP is not switched off there.
    pub(super) fn read(entries: &[Entry], has_xdp: bool, problems: &mut Problems) -> Self {
        let usual = Self::default();
        let [engine, pumps, source_ports, source_port, dscp] =
            Self::KEYS.map(|key| get(entries, key));
        Self {
            engine: engine
                .and_then(|node| read_engine(node, has_xdp, problems))
                .unwrap_or_default(),
            paths: source_ports
                .and_then(|node| read_paths(node, problems))
                .unwrap_or(usual.paths),
            first_port: source_port.and_then(|node| read_first_port(node, problems)),
            pumps: pumps
                .map(|node| read_pumps(node, problems))
                .unwrap_or_default(),
            dscp: dscp
                .and_then(|node| read_dscp(node, problems))
                .unwrap_or_default(),
        }
    }

    /// IPv4's type of service and IPv6's traffic class: the DSCP is their upper six bits.
    pub fn traffic_class(&self) -> u8 {
        self.dscp << 2
    }
}

fn read_engine(node: &Node, has_xdp: bool, problems: &mut Problems) -> Option<Engine> {
    let words = [
        ("auto", Engine::Auto),
        ("kernel", Engine::Kernel),
        ("socket", Engine::Socket),
    ];
    let path = Path::Top.key("engine");
    let engine = word(node, &path, &words, problems)?;
    if engine == Engine::Kernel && !has_xdp {
        let what = "the kernel sends pings by the program that receives them; leave xdp: off out";
        problems.add(node.place, path, what);
    }
    Some(engine)
}

fn read_paths(node: &Node, problems: &mut Problems) -> Option<u16> {
    let path = Path::Top.key("source_ports");
    let paths: u16 = number(node, &path, problems)?;
    if paths.is_power_of_two() && paths <= MOST_PATHS {
        return Some(paths);
    }
    let what = format!("{paths} cannot be; write 1, 2, 4, 8 or {MOST_PATHS}");
    problems.add(node.place, path, what);
    None
}

fn read_first_port(node: &Node, problems: &mut Problems) -> Option<u16> {
    let path = Path::Top.key("source_port");
    let port: u32 = number(node, &path, problems)?;
    if let Ok(port) = u16::try_from(port)
        && FIRST_PORTS.contains(&port)
    {
        return Some(port);
    }
    let (least, most) = (FIRST_PORTS.start(), FIRST_PORTS.end());
    let what = format!(
        "{port} is out of range; it is the first of {PORTS} ports and must be {least} to {most}"
    );
    problems.add(node.place, path, what);
    None
}

fn read_pumps(node: &Node, problems: &mut Problems) -> Vec<u32> {
    let path = Path::Top.key("pumps");
    let mut cpus = Vec::new();
    for (index, item) in list(node, &path, problems).iter().enumerate() {
        let path = path.item(index);
        let Some(cpu) = number(item, &path, problems) else {
            continue;
        };
        if cpu >= CPUS {
            let what = format!("{cpu} is no CPU; see: lscpu --extended");
            problems.add(item.place, path, what);
        } else if cpus.contains(&cpu) {
            let what = format!("CPU {cpu} is there twice; leave one out");
            problems.add(item.place, path, what);
        } else {
            cpus.push(cpu);
        }
    }
    cpus
}

fn read_dscp(node: &Node, problems: &mut Problems) -> Option<u8> {
    let path = Path::Top.key("dscp");
    let dscp: u32 = number(node, &path, problems)?;
    if let Ok(dscp) = u8::try_from(dscp)
        && dscp < 64
    {
        return Some(dscp);
    }
    let what = format!("{dscp} is no DSCP; those are 0 to 63");
    problems.add(node.place, path, what);
    None
}
