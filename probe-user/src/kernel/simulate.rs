//! The kernel's part of a simulated fleet.

use std::os::fd::{AsFd as _, OwnedFd};

use aya::{
    maps::{Array, MapData, MapError, PerCpuArray},
    programs::Xdp,
};
use probe_common::{
    maps::Reflector,
    simulation::{Reply, Simulation},
};

use super::{
    AttachError, LoadError, Want,
    link::{self, Link, index_of},
    load,
    maps::{self, Value},
};

/// The program that answers for a whole fleet, and its maps.
pub struct SimulateKernel {
    pub(super) program: OwnedFd,
    reflector: Array<MapData, Value<Reflector>>,
    simulation: Array<MapData, Value<Simulation>>,
    replies: PerCpuArray<MapData, u64>,
    link: Option<Link>,
}

impl SimulateKernel {
    /// Loads the program. Needs Linux 5.12.
    pub fn load() -> Result<Self, LoadError> {
        let mut ebpf = load::object(&[])?;
        Ok(Self {
            program: load::program(&mut ebpf, "simulate", Xdp::load)?,
            reflector: maps::take(&mut ebpf, "REFLECTOR")?,
            simulation: maps::take(&mut ebpf, "SIMULATION")?,
            replies: maps::take(&mut ebpf, "REPLIES")?,
            link: None,
        })
    }

    /// Tells what every host answers with: key, port, health.
    pub fn set_reflector(&mut self, reflector: &Reflector) -> Result<(), MapError> {
        self.reflector.set(0, Value(*reflector), 0)
    }

    /// Tells who is in the fleet and what part they play; until then everything passes untouched.
    pub fn set(&mut self, simulation: &Simulation) -> Result<(), MapError> {
        self.simulation.set(0, Value(*simulation), 0)
    }

    /// Answers in the driver of an interface of the network namespace that this thread is in, as long as this lives.
    pub fn attach(&mut self, interface: &str) -> Result<(), AttachError> {
        let index = index_of(interface)?;
        let (_, link) = link::xdp(self.program.as_fd(), interface, index, Want::Native)?;
        self.link = Some(link);
        Ok(())
    }

    /// Pings so far by what became of them: `[reply as usize]`.
    pub fn replies(&self) -> [u64; Reply::ALL.len()] {
        maps::counts(&self.replies)
    }
}
