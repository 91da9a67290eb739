//! Which engines serve the interfaces that targets are reached through: XDP takes pongs in there and the kernel sends there,
//! where that can be had. Interfaces are followed when they go and come back.

use std::collections::HashMap;

use probe_common::maps::{Class, Hop, Settings};

use crate::{
    kernel::{Attached, Kernel, Mode, Want},
    metrics::{Engine, Receive, Transmit},
    monitor::Monitor,
    network::{Link, Network},
};

/// What is said of an interface that does not work.
const DOWN: &str = "down: pings that would leave by it are not held against the targets";

/// The kernel's programs, where there are any, and where they serve.
pub struct Interfaces {
    kernel: Option<Kernel>,
    want: Want,
    /// Only these interfaces, if the configuration says so.
    only: Option<Vec<String>>,
    /// Whether there are pumps: else all pings leave by sockets.
    has_pumps: bool,
    /// What was last said of each interface, so that it is said once.
    told: HashMap<String, String>,
    /// Why pings leave an interface by sockets.
    refusals: Vec<(String, String)>,
}

impl Interfaces {
    /// With these programs, or, where they could not be loaded, without.
    pub fn new(
        kernel: Option<Kernel>,
        want: Want,
        only: Option<Vec<String>>,
        has_pumps: bool,
    ) -> Self {
        Self {
            kernel,
            want,
            only,
            has_pumps,
            told: HashMap::new(),
            refusals: Vec::new(),
        }
    }

    /// Tells the programs keys, epoch, ports and classes.
    pub fn set(&mut self, settings: &Settings, classes: &[Class]) -> anyhow::Result<()> {
        if let Some(kernel) = &mut self.kernel {
            kernel.set_classes(classes)?;
            kernel.set_settings(settings)?;
        }
        Ok(())
    }

    /// Tells the programs what a next hop's number means.
    pub fn set_hop(&mut self, number: u32, hop: &Hop) {
        if let Some(kernel) = &mut self.kernel
            && let Err(error) = kernel.set_hop(number, hop)
        {
            tracing::error!("a next hop could not be told to the kernel: {error}");
        }
    }

    /// Has every interface in use (indices, each once) served, detaches from all others, and tells what serves where.
    pub fn follow(&mut self, network: &Network, used: &[u32], monitor: &Monitor) -> Vec<Engine> {
        let links = used.iter().filter_map(|&index| network.link(index));
        let mut engines = Vec::new();
        self.refusals.clear();
        for link in links {
            let name = &link.name;
            let chosen = self.only.as_ref().is_none_or(|only| only.contains(name));
            // Pongs of this very box never cross an interface: generic XDP would only slow all of loopback down.
            let (receive, received) = if chosen && !link.loopback {
                self.attach(name)
            } else {
                (Receive::Socket, None)
            };
            let (transmit, sent) = self.open(link, receive, monitor);
            if !link.works {
                self.tell(name, DOWN.to_owned());
            } else if !link.loopback {
                let said = [sent, received].into_iter().flatten().collect::<Vec<_>>();
                self.tell(name, said.join("; "));
            }
            engines.push(Engine {
                interface: name.clone(),
                transmit,
                receive,
            });
        }
        self.detach_all_but(&engines, network);
        engines
    }

    /// Whether the kernel sends by every interface in use.
    ///
    /// # Errors
    /// With the reason of each by which it does not.
    pub fn check_kernel_sends(&self) -> anyhow::Result<()> {
        let reasons: Vec<String> = self
            .refusals
            .iter()
            .map(|(name, why)| format!("{name}: {why}"))
            .collect();
        anyhow::ensure!(reasons.is_empty(), "engine: kernel: {}", reasons.join("; "));
        Ok(())
    }

    fn detach_all_but(&mut self, engines: &[Engine], network: &Network) {
        let Some(kernel) = &mut self.kernel else {
            return;
        };
        let unused: Vec<String> = kernel
            .attached()
            .map(|(name, _)| name.to_owned())
            .filter(|name| engines.iter().all(|engine| engine.interface != *name))
            .collect();
        for name in &unused {
            kernel.detach(name);
        }
        for name in unused {
            let said = match network.links.iter().find(|link| link.name == name) {
                None => "gone: the targets behind it are unknown until it is back",
                Some(link) if !link.works => DOWN,
                Some(_) => "no target is reached through it any more",
            };
            self.tell(&name, said.to_owned());
        }
    }

    /// How pings leave there now, and what there is to say of it.
    fn open(
        &mut self,
        link: &Link,
        receive: Receive,
        monitor: &Monitor,
    ) -> (Transmit, Option<String>) {
        let opened = match link.ethernet {
            _ if !self.has_pumps => return (Transmit::Socket, None),
            _ if !link.works => Err(DOWN.to_owned()),
            None => Err("it is no Ethernet".to_owned()),
            // The kernel runs a program over frames of its own only where it is attached.
            Some(_) if receive == Receive::Socket => Err("no XDP takes its pongs in".to_owned()),
            Some(mac) => monitor
                .open(link.index, mac)
                .map_err(|error| error.to_string()),
        };
        match opened {
            Ok(()) => (Transmit::Kernel, Some("the kernel sends pings".to_owned())),
            Err(why) => {
                let said = format!("pings leave by sockets: {why}");
                self.refusals.push((link.name.clone(), why));
                (Transmit::Socket, Some(said))
            }
        }
    }

    /// How pongs are received there now, and what there is to say of it.
    fn attach(&mut self, name: &str) -> (Receive, Option<String>) {
        let Some(kernel) = &mut self.kernel else {
            return (Receive::Socket, None);
        };
        match kernel.attach(name, self.want) {
            Ok(Attached { receive, stamp }) => {
                let stamped = if stamp {
                    ""
                } else {
                    ", pings of sockets are stamped by the daemon"
                };
                let said = format!(
                    "pongs are timed in the kernel, XDP {}{stamped}",
                    receive.name()
                );
                let receive = match receive {
                    Mode::Native => Receive::XdpNative,
                    Mode::Generic => Receive::XdpGeneric,
                };
                (receive, Some(said))
            }
            Err(error) => (
                Receive::Socket,
                Some(format!("pongs are timed at the sockets: {error}")),
            ),
        }
    }

    /// Says something of an interface unless it was said last.
    fn tell(&mut self, name: &str, what: String) {
        if !what.is_empty() && self.told.get(name) != Some(&what) {
            tracing::info!("{name}: {what}");
            self.told.insert(name.to_owned(), what);
        }
    }
}
