//! The kernel's transmit engine: pings made and sent by the program `receive` over live frames.
//!
//! What its caller keeps to:
//!
//! 1. Pongs must be taken in by XDP somewhere ([`Kernel::attach`]) before the first ping. The driver of an interface may need it
//!    there to send at all, and the kernel runs a program that is attached nowhere only after some 30 ms.
//! 2. Either one thread sends, on whatever CPU it happens to be, or several do, each bound to a CPU of its own
//!    ([`Transmitter::bind`]).
//! 3. [`Transmitter::trial`] tells whether an interface takes live frames; again after the interface was down or its driver
//!    changed.
//! 4. A row's next hop is [`Row::hop`](probe_common::row::Row::hop), what that number means is told with
//!    [`Kernel::set_hop`], also while it is in use: when a neighbour is found, has another Ethernet address or is lost. A ping
//!    made at that very moment may go astray, which changes no verdict. A number for another way is given only when no row
//!    has it any more.
//! 5. [`Transmitter::send`] sends the due pings of one interface and tells of every target once: either the ping was opened
//!    and left, or it was opened and the interface dropped it (take it back, it was never sent), or it is none of this
//!    interface and nothing was done. Of several interfaces each takes its own from what the others left; what remains is
//!    the socket engine's.
//!
//! A call costs some 13 µs beside its pings: at most one each few milliseconds where few pings are due.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
};

use aya::{
    Ebpf,
    maps::{Array, MapData, MapError},
    programs::RawTracePoint,
    util::KernelVersion,
};
use memmap2::{MmapOptions, MmapRaw};
use probe_common::{
    batch::{Batch, LIVE_MARK, Outcome, ROOM, TRIAL},
    maps::Hop,
};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

use super::{
    Kernel, LoadError,
    link::{self, Link},
    load,
    maps::{self, Value},
    syscall::run_live,
};
use crate::flights::Departure;

/// Frames that the kernel makes before it hands them to the interface. The first waits for the last, which shows in the
/// round-trip times: over a veth pair their median is 7 µs with 16, 13 µs with 32, 25 µs with 64. A round trip costs 4% more
/// with 16 than with 64, 1% more with 32.
const FRAMES: u32 = 32;

/// Where few are due it need not show: so many frames at a time for up to so many pings.
const FEW: (u32, u32) = (8, 128);

/// Bytes of an IPv4 ping in its frame without tag; the program adds what others are longer by.
const FRAME: usize = 106;

/// The ether type of a trial: the first of those for local experiments (IEEE 802), which no one's protocol is.
const EXPERIMENT: [u8; 2] = [0x88, 0xb5];

/// Why the kernel does not send pings.
#[derive(Debug, thiserror::Error)]
pub enum TransmitError {
    /// Live frames are not known here.
    #[error("live frames need Linux 5.18 or later, this is {0}")]
    Kernel(KernelVersion),
    /// What became of a ping could not be told.
    #[error("cannot follow what interfaces answer: {0}")]
    Tracepoints(io::Error),
    /// As above: the programs for it could not be loaded.
    #[error("cannot follow what interfaces answer: {0}")]
    Programs(Arc<LoadError>),
    /// Two pumps that meet on a CPU would take each other's pings.
    #[error("a CPU can have one pump only")]
    Taken,
    /// The CPU is not there or not allowed.
    #[error("cannot bind a pump to CPU {cpu}: {error}")]
    Cpu {
        /// Which one.
        cpu: u32,
        /// What the system call returned.
        error: io::Error,
    },
    /// The pings that are due could not be shared with the kernel.
    #[error("cannot share the pings that are due with the kernel: {0}")]
    Share(io::Error),
    /// The interface does not take the frames.
    #[error("{}", advice(.0))]
    Interface(io::Error),
    /// Nothing was heard of the frames.
    #[error("the kernel does not tell what became of its frames")]
    Silent,
    /// The program was not run.
    #[error("the kernel does not run live frames: {0}")]
    Run(io::Error),
}

fn advice(error: &io::Error) -> String {
    let advice = match error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => {
            "its driver takes no frames from XDP; that of a veth pair does if the other end has an XDP program or GRO"
        }
        Some(libc::ENXIO) => {
            "its driver is not ready to take frames from XDP; that of a veth pair is if the other end is up and has an XDP \
             program or GRO"
        }
        Some(libc::EMSGSIZE) => "its MTU is too small for a ping",
        Some(libc::ENETDOWN) => "it is down",
        Some(libc::EINVAL) => "it is gone",
        Some(libc::ENOBUFS | libc::ENOSPC) => "its queue is full",
        _ => return format!("it refuses frames: {error}"),
    };
    advice.to_owned()
}

/// What the pumps share.
pub(super) struct Transmit {
    hops: Array<MapData, Value<Hop>>,
    batches: OwnedFd,
    cpus: u32,
    /// The CPUs that have a pump; `None`: any of them.
    pumps: Vec<Option<u32>>,
    witness: Result<Witness, Arc<LoadError>>,
    /// Attached as the first pump starts.
    links: Option<Arc<[Link; 2]>>,
}

/// The programs that hear what interfaces answer.
struct Witness {
    answered: OwnedFd,
    refused: OwnedFd,
}

impl Transmit {
    /// Takes its part out of the loaded object. Where its programs are refused, the receiver can still do its work.
    pub(super) fn take(ebpf: &mut Ebpf, cpus: u32) -> Result<Self, LoadError> {
        Ok(Self {
            hops: maps::take(ebpf, "HOPS")?,
            batches: load::array(ebpf, "BATCHES")?,
            cpus,
            pumps: Vec::new(),
            witness: Witness::load(ebpf).map_err(Arc::new),
            links: None,
        })
    }

    fn links(&mut self) -> Result<Arc<[Link; 2]>, TransmitError> {
        if let Some(links) = &self.links {
            return Ok(links.clone());
        }
        let witness = self.witness.as_ref();
        let witness = witness.map_err(|error| TransmitError::Programs(error.clone()))?;
        let links = Arc::new(witness.attach().map_err(TransmitError::Tracepoints)?);
        self.links = Some(links.clone());
        Ok(links)
    }
}

impl Witness {
    fn load(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        Ok(Self {
            answered: load::program(ebpf, "answered", RawTracePoint::load)?,
            refused: load::program(ebpf, "refused", RawTracePoint::load)?,
        })
    }

    fn attach(&self) -> io::Result<[Link; 2]> {
        Ok([
            link::tracepoint(self.answered.as_fd(), c"xdp_devmap_xmit")?,
            link::tracepoint(self.refused.as_fd(), c"xdp_redirect_err")?,
        ])
    }
}

impl Kernel {
    /// Says what a number in a row's [`hop`](probe_common::row::Row::hop) means from now on, which must not be 0; see [`self`].
    pub fn set_hop(&mut self, number: u32, hop: &Hop) -> Result<(), MapError> {
        self.transmit.hops.set(number, Value(*hop), 0)
    }

    /// The hold of the pump of a CPU, or of the only pump. Needs Linux 5.18.
    pub fn transmitter(&mut self, cpu: Option<u32>) -> Result<Transmitter, TransmitError> {
        if let Ok(version) = KernelVersion::current()
            && version < KernelVersion::new(5, 18, 0)
        {
            return Err(TransmitError::Kernel(version));
        }
        let mut pumps = self.transmit.pumps.iter();
        if pumps.any(|pump| pump.is_none() || cpu.is_none() || *pump == cpu) {
            return Err(TransmitError::Taken);
        }
        if let Some(cpu) = cpu.filter(|cpu| *cpu >= self.transmit.cpus) {
            let error = io::Error::from_raw_os_error(libc::EINVAL);
            return Err(TransmitError::Cpu { cpu, error });
        }
        let transmitter = Transmitter {
            program: self.receive.try_clone().map_err(TransmitError::Share)?,
            batches: MmapOptions::new()
                .len(self.transmit.cpus as usize * size_of::<Batch>())
                .map_raw(&self.transmit.batches)
                .map_err(TransmitError::Share)?,
            cpu,
            cpus: self.transmit.cpus,
            frames: FRAMES,
            _links: self.transmit.links()?,
        };
        self.transmit.pumps.push(cpu);
        Ok(transmitter)
    }
}

/// A pump's hold on the transmit program.
#[derive(Debug)]
pub struct Transmitter {
    program: OwnedFd,
    batches: MmapRaw,
    cpu: Option<u32>,
    cpus: u32,
    frames: u32,
    _links: Arc<[Link; 2]>,
}

impl Transmitter {
    /// Binds the calling thread to this pump's CPU, if it has one of its own.
    ///
    /// # Errors
    /// When the CPU is not there or this process may not use it.
    pub fn bind(&self) -> Result<(), TransmitError> {
        self.cpu.map_or(Ok(()), bind)
    }

    /// Whether an interface takes live frames: sends it one that is for nobody, of the length of an IPv4 ping, from its own
    /// Ethernet address to its own.
    pub fn trial(&mut self, interface: u32, mac: [u8; 6]) -> Result<(), TransmitError> {
        let mut frame = [0; LIVE_MARK + FRAME];
        let addresses = [mac.as_slice(), &mac, &EXPERIMENT].concat();
        frame[LIVE_MARK..LIVE_MARK + addresses.len()].copy_from_slice(&addresses);
        let mut result = Err(TransmitError::Silent);
        self.run(&frame, interface, &[TRIAL], |batch, tried| {
            for (_, outcome) in batch.outcomes(tried) {
                result = match outcome {
                    Outcome::Left(_) if batch.is_settled() => Ok(()),
                    Outcome::Left(_) => Err(TransmitError::Silent),
                    Outcome::Dropped(_, errno) => Err(refusal(errno)),
                    Outcome::Untouched => Err(refusal(batch.refusal())),
                };
            }
        })?;
        result
    }

    /// Sends the next ping to each of `targets` that is reached by this interface, and tells of each that was opened whether
    /// it left; the others are added to `rest`.
    ///
    /// # Errors
    /// Tells why a ping did not leave or could not be opened, if it is worth a complaint; all targets were told of all the same.
    pub fn send(
        &mut self,
        interface: u32,
        targets: &[u32],
        rest: &mut Vec<u32>,
        mut departed: impl FnMut(Departure),
    ) -> Result<(), TransmitError> {
        let mut error = 0;
        let mut told = 0;
        let run = self.run(
            &[0; LIVE_MARK + FRAME],
            interface,
            targets,
            |batch, taken| {
                told += taken.len();
                if batch.refusal() != 0 {
                    error = batch.refusal();
                }
                for (target, outcome) in batch.outcomes(taken) {
                    let (seq, left) = match outcome {
                        Outcome::Left(seq) => (seq, true),
                        Outcome::Dropped(seq, errno) => {
                            error = errno;
                            (seq, false)
                        }
                        Outcome::Untouched => {
                            rest.push(target);
                            continue;
                        }
                    };
                    departed(Departure { target, seq, left });
                }
            },
        );
        rest.extend(&targets[told..]);
        match error {
            _ if run.is_err() => run,
            0 => Ok(()),
            errno => Err(refusal(errno)),
        }
    }

    /// Has the program take the targets, a batch at a time, and shows each batch when it is done with those told of; they come
    /// in order.
    fn run(
        &self,
        frame: &[u8],
        interface: u32,
        mut targets: &[u32],
        mut done: impl FnMut(&Batch, &[u32]),
    ) -> Result<(), TransmitError> {
        let mut idle = false;
        while !targets.is_empty() {
            let batch = self.batch()?;
            batch.fill(interface, targets);
            let count = targets.len().min(ROOM) as u32;
            let frames = if count <= FEW.1 { FEW.0 } else { self.frames };
            let run = run_live(self.program.as_fd(), frame, count, frames);
            let taken = batch.close() as usize;
            done(batch, &targets[..taken]);
            targets = &targets[taken..];
            match run {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TransmitError::Run(error)),
                Ok(()) if taken > 0 => idle = false,
                Ok(()) if idle => return Err(TransmitError::Silent),
                // This thread was moved to another CPU, which has another batch.
                Ok(()) => {
                    self.bind()?;
                    idle = true;
                }
            }
        }
        Ok(())
    }

    /// The batch of this pump's CPU, or of the one that the thread is on now.
    #[expect(clippy::cast_ptr_alignment, reason = "a mapping is aligned to a page")]
    fn batch(&self) -> Result<&Batch, TransmitError> {
        let cpu = self.cpu.unwrap_or_else(|| sched_getcpu() as u32);
        if cpu >= self.cpus {
            // The kernel found a CPU at start that is not among those it can have.
            return Err(TransmitError::Silent);
        }
        let first = self.batches.as_ptr().cast::<Batch>();
        // SAFETY: the mapping holds a batch for each CPU, of which `cpu` is one.
        let own = unsafe { first.add(cpu as usize) };
        // SAFETY: it is aligned (four pages each), lives as long as `self`, and is atomics alone.
        Ok(unsafe { &*own })
    }
}

fn refusal(errno: u32) -> TransmitError {
    TransmitError::Interface(io::Error::from_raw_os_error(errno as i32))
}

/// Binds the calling thread to a CPU.
fn bind(cpu: u32) -> Result<(), TransmitError> {
    let at = cpu as usize;
    let mut cpus = CpuSet::new();
    if at < CpuSet::MAX_CPU {
        cpus.set(at);
    }
    sched_setaffinity(None, &cpus).map_err(|error| TransmitError::Cpu {
        cpu,
        error: error.into(),
    })
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod bench;
