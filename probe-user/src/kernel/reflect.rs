//! The kernel's part of a reflector.

use std::os::fd::{AsFd as _, OwnedFd};

use aya::{
    maps::{Array, MapData, MapError, PerCpuArray},
    programs::Xdp,
};
use probe_common::maps::{Reflection, Reflector};

use super::{
    AttachError, LoadError, Mode, Want,
    link::{self, Link, index_of},
    load,
    maps::{self, Value},
};

/// A reflector's program and maps. Pings with IPv4 options, and what is no ping, still come up to the port's socket.
pub struct ReflectKernel {
    pub(super) program: OwnedFd,
    reflector: Array<MapData, Value<Reflector>>,
    reflections: PerCpuArray<MapData, u64>,
    links: Vec<Link>,
}

impl ReflectKernel {
    /// Loads the program. Needs Linux 5.12.
    pub fn load() -> Result<Self, LoadError> {
        let mut ebpf = load::object(&[])?;
        Ok(Self {
            program: load::program(&mut ebpf, "reflect", Xdp::load)?,
            reflector: maps::take(&mut ebpf, "REFLECTOR")?,
            reflections: maps::take(&mut ebpf, "REFLECTIONS")?,
            links: Vec::new(),
        })
    }

    /// Tells the program what to answer, and how; until then everything passes untouched.
    pub fn set(&mut self, reflector: &Reflector) -> Result<(), MapError> {
        self.reflector.set(0, Value(*reflector), 0)
    }

    /// Answers pings at an interface as long as this lives.
    pub fn attach(&mut self, interface: &str, want: Want) -> Result<Mode, AttachError> {
        let index = index_of(interface)?;
        let (mode, link) = link::xdp(self.program.as_fd(), interface, index, want)?;
        self.links.push(link);
        Ok(mode)
    }

    /// Pings by what became of them: `[reflection as usize]`.
    pub fn counts(&self) -> [u64; Reflection::ALL.len()] {
        maps::counts(&self.reflections)
    }
}
