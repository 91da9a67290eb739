//! Who has the kernel send: the prober's own thread, or threads of their own, each bound to a CPU, that share what is due.

use std::{sync::mpsc, thread::JoinHandle};

use crate::flights::Departure;
use crate::kernel::{TransmitError, Transmitter};

/// A share of fewer is not worth waking another thread for.
const SHARE: usize = 64;

/// The kernel engine's threads.
#[derive(Debug)]
pub enum Pumps {
    /// None: the caller's thread sends.
    Here(Transmitter),
    /// As many as there are CPUs for it.
    Threads(Vec<Pump>),
}

/// Why pumps cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PumpError {
    /// The thread did not start.
    #[error("starting a pump: {0}")]
    Start(std::io::Error),
    /// It ended by itself.
    #[error("the pump of CPU {cpu} ended: {error}")]
    Ended {
        /// Its CPU.
        cpu: u32,
        /// Why.
        error: TransmitError,
    },
    /// It panicked.
    #[error("the pump of CPU {0} panicked")]
    Panicked(u32),
}

/// A thread that sends on its CPU.
#[derive(Debug)]
pub struct Pump {
    cpu: u32,
    jobs: mpsc::SyncSender<Job>,
    done: mpsc::Receiver<Done>,
    thread: Option<JoinHandle<Result<(), TransmitError>>>,
    /// The memory of the last job, for the next.
    spare: Done,
}

#[derive(Debug)]
enum Job {
    Try { interface: u32, mac: [u8; 6] },
    Send { interface: u32, spare: Done },
}

/// A job's result, and its memory.
#[derive(Debug, Default)]
struct Done {
    targets: Vec<u32>,
    departures: Vec<Departure>,
    rest: Vec<u32>,
    error: Option<TransmitError>,
}

impl Pumps {
    /// Starts a thread for each of these CPUs and their transmitters.
    ///
    /// # Errors
    /// When the kernel gives no thread.
    pub fn start(transmitters: Vec<(u32, Transmitter)>) -> Result<Self, PumpError> {
        let pumps = transmitters
            .into_iter()
            .map(|(cpu, transmitter)| Pump::start(cpu, transmitter));
        Ok(Self::Threads(pumps.collect::<Result<_, _>>()?))
    }

    /// Whether an interface takes live frames, see [`Transmitter::trial`].
    pub fn trial(
        &mut self,
        interface: u32,
        mac: [u8; 6],
    ) -> Result<Result<(), TransmitError>, PumpError> {
        match self {
            Self::Here(transmitter) => Ok(transmitter.trial(interface, mac)),
            Self::Threads(pumps) => {
                let Some(pump) = pumps.first_mut() else {
                    return Ok(Err(TransmitError::Silent));
                };
                pump.give(Job::Try { interface, mac })?;
                Ok(pump.take()?.map_or(Ok(()), Err))
            }
        }
    }

    /// Sends, see [`Transmitter::send`]: the inner result is the interface's, the outer the pumps' own.
    pub fn send(
        &mut self,
        interface: u32,
        targets: &[u32],
        rest: &mut Vec<u32>,
        mut departed: impl FnMut(Departure),
    ) -> Result<Result<(), TransmitError>, PumpError> {
        let pumps = match self {
            Self::Here(transmitter) => {
                return Ok(transmitter.send(interface, targets, rest, departed));
            }
            Self::Threads(pumps) => pumps,
        };
        let share = targets.len().div_ceil(pumps.len().max(1)).max(SHARE);
        let mut busy = 0;
        for (pump, share) in pumps.iter_mut().zip(targets.chunks(share)) {
            let mut spare = std::mem::take(&mut pump.spare);
            spare.targets.clear();
            spare.targets.extend(share);
            pump.give(Job::Send { interface, spare })?;
            busy += 1;
        }
        let mut result = Ok(());
        for pump in &mut pumps[..busy] {
            if let Some(error) = pump.take()? {
                result = Err(error);
            }
            pump.spare.departures.drain(..).for_each(&mut departed);
            rest.append(&mut pump.spare.rest);
        }
        Ok(result)
    }
}

impl Pump {
    fn start(cpu: u32, transmitter: Transmitter) -> Result<Self, PumpError> {
        let (jobs, inbox) = mpsc::sync_channel(1);
        let (outbox, done) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name(format!("pump-{cpu}"))
            .spawn(move || work(transmitter, &inbox, &outbox))
            .map_err(PumpError::Start)?;
        Ok(Self {
            cpu,
            jobs,
            done,
            thread: Some(thread),
            spare: Done::default(),
        })
    }

    fn give(&mut self, job: Job) -> Result<(), PumpError> {
        if self.jobs.send(job).is_err() {
            return Err(self.end());
        }
        Ok(())
    }

    /// Waits for the job's end: what there is to complain of. Its results are in `spare`.
    fn take(&mut self) -> Result<Option<TransmitError>, PumpError> {
        let Ok(done) = self.done.recv() else {
            return Err(self.end());
        };
        self.spare = done;
        Ok(self.spare.error.take())
    }

    /// Why the thread is no longer there.
    fn end(&mut self) -> PumpError {
        let cpu = self.cpu;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => PumpError::Ended { cpu, error },
            _ => PumpError::Panicked(cpu),
        }
    }
}

/// Works until there is nobody to work for. That its CPU was taken from it ends it: on another it would be in another pump's way.
fn work(
    mut transmitter: Transmitter,
    jobs: &mpsc::Receiver<Job>,
    done: &mpsc::SyncSender<Done>,
) -> Result<(), TransmitError> {
    transmitter.bind()?;
    for job in jobs {
        let result = match job {
            Job::Try { interface, mac } => Done {
                error: transmitter.trial(interface, mac).err(),
                ..Done::default()
            },
            Job::Send {
                interface,
                mut spare,
            } => {
                let Done {
                    targets,
                    departures,
                    rest,
                    error,
                } = &mut spare;
                *error = transmitter
                    .send(interface, targets, rest, |departure| {
                        departures.push(departure);
                    })
                    .err();
                spare
            }
        };
        match result.error {
            Some(error @ TransmitError::Cpu { .. }) => return Err(error),
            _ if done.send(result).is_err() => break,
            _ => {}
        }
    }
    Ok(())
}
