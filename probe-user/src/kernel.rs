//! The kernel's part of a monitor: its eBPF programs, loaded and attached, and the maps that they share with the daemon.
//!
//! Programs are attached by links alone. A link is a file descriptor, so whatever way the daemon ends, the kernel takes its
//! programs off; nothing is pinned.

mod link;
mod load;
mod maps;
pub mod reflect;
pub mod simulate;
mod syscall;
mod transmit;

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
};

use aya::{
    maps::{Array, HashMap, MapData, MapError, PerCpuArray},
    programs::{SchedClassifier, Xdp},
};
use probe_common::maps::{Class, Histogram, Settings};

pub use self::{
    link::{AttachError, Mode, Want},
    load::LoadError,
    transmit::{TransmitError, Transmitter},
};
use self::{
    link::{Link, index_of},
    maps::Value,
    transmit::Transmit,
};
use crate::{
    table::Table,
    tally::{Received, Source},
};

/// A monitor's programs and maps.
pub struct Kernel {
    receive: OwnedFd,
    stamp: OwnedFd,
    /// Rows and clocks.
    table: [OwnedFd; 2],
    settings: Array<MapData, Value<Settings>>,
    classes: Array<MapData, Value<Class>>,
    services: Option<Directory>,
    transmit: Transmit,
    counters: Arc<Counters>,
    rows: u32,
    interfaces: Vec<Interface>,
}

/// How much there is room for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Targets and services.
    pub rows: u32,
    /// Services.
    pub services: u32,
    /// Groups under each of their policies.
    pub classes: u32,
    /// Groups.
    pub groups: u32,
    /// Next hops, the number 0, which is none, among them.
    pub hops: u32,
}

/// What was attached to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// How pongs are taken in.
    pub receive: Mode,
    /// Whether pings get their time as they leave; else it is the time at which the daemon sent them.
    pub stamp: bool,
}

#[derive(Debug)]
struct Interface {
    name: Box<str>,
    index: u32,
    attached: Attached,
    _links: (Link, Option<Link>),
}

impl Kernel {
    /// Loads the programs, with this room. Needs Linux 5.12.
    pub fn load(room: Room) -> Result<Self, LoadError> {
        let cpus = cpus()?;
        let sizes = [
            ("ROWS", room.rows),
            ("CLOCKS", room.rows),
            ("CLASSES", room.classes),
            ("RTT", room.groups),
            ("HOPS", room.hops),
            ("SERVICES", room.services),
            ("BATCHES", cpus),
        ];
        let mut ebpf = load::object(&sizes)?;
        Ok(Self {
            receive: load::program(&mut ebpf, "receive", Xdp::load)?,
            stamp: load::program(&mut ebpf, "stamp", SchedClassifier::load)?,
            table: [load::array(&ebpf, "ROWS")?, load::array(&ebpf, "CLOCKS")?],
            settings: maps::take(&mut ebpf, "SETTINGS")?,
            classes: maps::take(&mut ebpf, "CLASSES")?,
            services: Some(Directory(maps::take(&mut ebpf, "SERVICES")?)),
            transmit: Transmit::take(&mut ebpf, cpus)?,
            counters: Arc::new(Counters {
                fates: maps::take(&mut ebpf, "FATES")?,
                beats: maps::take(&mut ebpf, "BEATS")?,
                rtt: maps::take(&mut ebpf, "RTT")?,
            }),
            rows: room.rows,
            interfaces: Vec::new(),
        })
    }

    /// The programs' directory of services. For one caller: whoever takes it writes it.
    pub fn take_services(&mut self) -> Option<Directory> {
        self.services.take()
    }

    /// The table that the programs write pongs into. Each call maps it anew.
    pub fn table(&self) -> io::Result<Table> {
        let [rows, clocks] = &self.table;
        Table::of_maps(rows.as_fd(), clocks.as_fd(), self.rows)
    }

    /// Tells the programs keys, epoch and ports. Until then everything passes untouched.
    pub fn set_settings(&mut self, settings: &Settings) -> Result<(), MapError> {
        self.settings.set(0, Value(*settings), 0)
    }

    /// Tells the programs the classes that rows refer to; no more than there is room for.
    pub fn set_classes(&mut self, classes: &[Class]) -> Result<(), MapError> {
        for (number, class) in (0..).zip(classes) {
            self.classes.set(number, Value(*class), 0)?;
        }
        Ok(())
    }

    /// Takes in pongs at an interface, and stamps pings there where the kernel can (Linux 6.6). An interface that has come
    /// anew under its old name is attached anew; one that is still attached stays as it is.
    pub fn attach(&mut self, interface: &str, want: Want) -> Result<Attached, AttachError> {
        let index = index_of(interface)?;
        let mut known = self.interfaces.iter_mut();
        if let Some(known) = known.find(|known| known.index == index) {
            // It may have got another name.
            known.name = interface.into();
            return Ok(known.attached);
        }
        self.detach(interface);
        let (receive, link) = link::xdp(self.receive.as_fd(), interface, index, want)?;
        let stamp = link::egress(self.stamp.as_fd(), interface, index)
            .inspect_err(|error| {
                tracing::warn!(
                    interface,
                    "pings carry the time at which they were handed to the kernel: {error}"
                );
            })
            .ok();
        let attached = Attached {
            receive,
            stamp: stamp.is_some(),
        };
        self.interfaces.push(Interface {
            name: interface.into(),
            index,
            attached,
            _links: (link, stamp),
        });
        Ok(attached)
    }

    /// Takes the programs off an interface, if they are there. To be called too when the interface has gone.
    pub fn detach(&mut self, interface: &str) {
        self.interfaces.retain(|known| &*known.name != interface);
    }

    /// What is attached, by interface.
    pub fn attached(&self) -> impl Iterator<Item = (&str, Attached)> {
        self.interfaces
            .iter()
            .map(|interface| (&*interface.name, interface.attached))
    }

    /// The counts of what the programs took in; to be read from any thread.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }
}

/// How many CPUs there may be.
fn cpus() -> Result<u32, LoadError> {
    match aya::util::nr_cpus() {
        Ok(cpus) => Ok(cpus as u32),
        Err((file, error)) => Err(LoadError::Other(
            anyhow::Error::from(error).context(format!("reading {file}")),
        )),
    }
}

/// Which row each service has, by the identities of its host and its own, as the programs look it up.
#[derive(Debug)]
pub struct Directory(HashMap<MapData, [u64; 2], u32>);

impl Directory {
    /// Beats of this identity are of that row from now on.
    pub fn insert(&mut self, identity: [u64; 2], row: u32) -> Result<(), MapError> {
        self.0.insert(identity, row, 0)
    }

    /// Beats of this identity are the daemon's from now on.
    pub fn remove(&mut self, identity: [u64; 2]) {
        // It fails where the identity is not there: just what is wanted.
        let _ = self.0.remove(&identity);
    }
}

/// What the programs count, a value a CPU.
pub struct Counters {
    fates: PerCpuArray<MapData, u64>,
    beats: PerCpuArray<MapData, u64>,
    rtt: PerCpuArray<MapData, Value<Histogram>>,
}

impl Source for Counters {
    fn received(&self) -> Received {
        Received {
            fates: maps::counts(&self.fates),
            beats: maps::counts(&self.beats),
            rtt: maps::sums(&self.rtt, |sum: &mut Histogram, Value(cpu)| sum.add(&cpu)),
        }
    }
}

#[cfg(test)]
mod tests;
