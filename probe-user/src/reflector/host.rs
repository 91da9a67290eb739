//! All that answers pings on this host: sockets, and the kernel where it is asked to; health and clock kept fresh.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use probe_common::{
    maps::{self, Reflection},
    siphash::Key,
    wire::REFLECTOR_PORT,
};

use super::{Reflector, listen};
use crate::{
    clock, health,
    kernel::{Want, reflect::ReflectKernel},
    udp::Socket,
};

/// Where pings are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Addresses to listen on; none: every address of the host, at the usual port.
    pub listen: Vec<SocketAddr>,
    /// Interfaces at which the kernel answers.
    pub xdp: Vec<String>,
    /// By which mode.
    pub xdp_mode: Want,
}

/// Answers pings on this host until it is stopped.
pub struct HostReflector {
    reflector: Reflector,
    kernel: Option<ReflectKernel>,
    identity: maps::Reflector,
}

impl HostReflector {
    /// Starts to answer. `health` as [`probe_common::wire::Message::health`].
    pub fn start(places: &Places, keys: [Key; 2], health: u32) -> anyhow::Result<Self> {
        let sockets = sockets(&places.listen)?;
        let port = sockets
            .first()
            .map_or(Ok(REFLECTOR_PORT), |s| s.local_addr().map(|a| a.port()))?;
        for socket in &sockets {
            tracing::info!("answering pings on {}", socket.local_addr()?);
        }
        let identity = maps::Reflector {
            keys,
            clock_offset_ns: clock::offset(),
            health,
            boot: health::boot(),
            port,
            ..maps::Reflector::default()
        };
        let kernel = kernel(places, &identity)?;
        let reflector = Reflector::start(sockets, identity)?;
        Ok(Self {
            reflector,
            kernel,
            identity,
        })
    }

    /// Tells health and clock anew: to be called once a second.
    pub fn refresh(&mut self, health: u32) -> anyhow::Result<()> {
        self.identity.health = health;
        self.identity.clock_offset_ns = clock::offset();
        self.tell()
    }

    /// Answers pings of these keys from now on.
    pub fn set_keys(&mut self, keys: [Key; 2]) -> anyhow::Result<()> {
        self.identity.keys = keys;
        self.tell()
    }

    fn tell(&mut self) -> anyhow::Result<()> {
        let identity = self.identity;
        self.reflector.shared.identity.store(Arc::new(identity));
        if let Some(kernel) = &mut self.kernel {
            kernel
                .set(&identity)
                .context("telling the kernel's reflector the time")?;
        }
        Ok(())
    }

    /// Whether it cannot go on; [`HostReflector::stop`] tells why.
    pub fn has_ended(&self) -> bool {
        self.reflector.has_ended()
    }

    /// Pings so far by what became of them: `[reflection as usize]`.
    pub fn counts(&self) -> [u64; Reflection::ALL.len()] {
        let mut counts = self.reflector.shared.counts();
        let kernel = self.kernel.as_ref().map(ReflectKernel::counts);
        for (to, count) in counts.iter_mut().zip(kernel.unwrap_or_default()) {
            *to += count;
        }
        counts
    }

    /// Pings that the kernel dropped because a socket's buffer was full.
    pub fn overflows(&self) -> u64 {
        self.reflector.shared.overflows()
    }

    /// Ends it.
    ///
    /// # Errors
    /// With what ended it before, if anything did.
    pub fn stop(self) -> anyhow::Result<()> {
        self.reflector
            .stop()
            .context("the reflector could not go on")
    }
}

fn sockets(addresses: &[SocketAddr]) -> anyhow::Result<Vec<Socket>> {
    if addresses.is_empty() {
        let v4 = open((Ipv4Addr::UNSPECIFIED, REFLECTOR_PORT).into())?;
        let any = (Ipv6Addr::UNSPECIFIED, REFLECTOR_PORT).into();
        let v6 = match listen(any) {
            // A host without IPv6 has no such socket.
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => None,
            v6 => Some(or_say(any, v6)?),
        };
        return Ok([Some(v4), v6].into_iter().flatten().collect());
    }
    addresses.iter().map(|&address| open(address)).collect()
}

fn open(address: SocketAddr) -> anyhow::Result<Socket> {
    or_say(address, listen(address))
}

fn or_say(address: SocketAddr, socket: io::Result<Socket>) -> anyhow::Result<Socket> {
    socket.with_context(|| {
        format!("cannot listen on {address} (is another reflector running? have this one listen elsewhere)")
    })
}

fn kernel(places: &Places, identity: &maps::Reflector) -> anyhow::Result<Option<ReflectKernel>> {
    if places.xdp.is_empty() {
        return Ok(None);
    }
    let mut kernel = ReflectKernel::load().context("loading the kernel's reflector")?;
    kernel
        .set(identity)
        .context("telling the kernel's reflector its key")?;
    for interface in &places.xdp {
        let want = match places.xdp_mode {
            Want::Auto if is_virtual(interface) => Want::Generic,
            want => want,
        };
        let mode = kernel.attach(interface, want)?;
        tracing::info!("the kernel answers on {interface}, XDP {}", mode.name());
    }
    Ok(Some(kernel))
}

/// Whether no hardware stands behind an interface.
fn is_virtual(interface: &str) -> bool {
    !Path::new("/sys/class/net")
        .join(interface)
        .join("device")
        .exists()
}
