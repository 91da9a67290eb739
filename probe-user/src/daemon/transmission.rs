//! Who sends: the kernel's pumps, as far as the configuration wants them and this box can have them.

use anyhow::Context;

use crate::{
    config::{Engine, Transmit},
    engine::Pumps,
    kernel::{Kernel, TransmitError},
    prober::Transmission,
};

/// What the prober is given to send with. Without a kernel, or where it cannot send, that is sockets alone.
///
/// # Errors
/// When the configuration asks for the kernel engine, or for a CPU, that is not to be had.
pub fn start(kernel: Option<&mut Kernel>, transmit: &Transmit) -> anyhow::Result<Transmission> {
    let wanted = kernel.filter(|_| transmit.engine != Engine::Socket);
    let pumps = match wanted.map(|kernel| pumps(kernel, &transmit.pumps)) {
        None => None,
        Some(Ok(pumps)) => Some(pumps),
        Some(Err(Failure::Transmit(error))) if transmit.engine == Engine::Auto => {
            tracing::info!("pings leave by sockets: {error}");
            None
        }
        Some(Err(Failure::Transmit(error))) => return Err(error).context("engine: kernel"),
        Some(Err(Failure::Other(error))) => return Err(error),
    };
    Ok(Transmission {
        first_port: transmit.first_port,
        paths: transmit.paths,
        pumps,
    })
}

enum Failure {
    Transmit(TransmitError),
    Other(anyhow::Error),
}

fn pumps(kernel: &mut Kernel, cpus: &[u32]) -> Result<Pumps, Failure> {
    if cpus.is_empty() {
        let transmitter = kernel.transmitter(None).map_err(Failure::Transmit)?;
        return Ok(Pumps::Here(transmitter));
    }
    let transmitters = cpus.iter().map(|&cpu| match kernel.transmitter(Some(cpu)) {
        Ok(transmitter) => Ok((cpu, transmitter)),
        Err(error @ TransmitError::Cpu { .. }) => {
            Err(Failure::Other(anyhow::Error::new(error).context("pumps")))
        }
        Err(error) => Err(Failure::Transmit(error)),
    });
    let transmitters = transmitters.collect::<Result<_, _>>()?;
    Pumps::start(transmitters).map_err(|error| Failure::Other(error.into()))
}
