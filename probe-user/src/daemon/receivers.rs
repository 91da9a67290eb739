//! Where the kernel takes pongs in: the programs are put on the interfaces that targets are routed through, and follow them
//! when they go and come back.

use std::collections::HashMap;

use probe_common::maps::{Class, Settings};

use crate::{
    kernel::{Attached, Kernel, Mode, Want},
    metrics::{Engine, Receive, Transmit},
    network::Network,
};

/// What is said of an interface that does not work.
const DOWN: &str = "down: pings that would leave by it are not held against the targets";

/// The kernel's receiver, where there is one.
pub struct Receivers {
    kernel: Option<Kernel>,
    want: Want,
    /// Only these interfaces, if the configuration says so.
    only: Option<Vec<String>>,
    /// What was last said of each interface, so that it is said once.
    told: HashMap<String, String>,
}

impl Receivers {
    /// With these programs, or, where they could not be loaded, without.
    pub fn new(kernel: Option<Kernel>, want: Want, only: Option<Vec<String>>) -> Self {
        Self {
            kernel,
            want,
            only,
            told: HashMap::new(),
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

    /// Attaches to the interfaces in use (indices, each once), detaches from all others, and tells what serves where.
    pub fn follow(&mut self, network: &Network, used: &[u32]) -> Vec<Engine> {
        let links = used.iter().filter_map(|&index| network.link(index));
        let mut engines = Vec::new();
        for link in links {
            let name = &link.name;
            let chosen = self.only.as_ref().is_none_or(|only| only.contains(name));
            // Pongs of this very box never cross an interface: generic XDP would only slow all of loopback down.
            let (receive, said) = if chosen && !link.loopback {
                self.attach(name)
            } else {
                (Receive::Socket, None)
            };
            if let Some(said) = said.filter(|_| link.works) {
                self.tell(name, said);
            } else if !link.works {
                self.tell(name, DOWN.to_owned());
            }
            engines.push(Engine {
                interface: name.clone(),
                transmit: Transmit::Socket,
                receive,
            });
        }
        self.detach_all_but(&engines, network);
        engines
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
                    ", pings are stamped by the daemon"
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
        if self.told.get(name) != Some(&what) {
            tracing::info!("{name}: {what}");
            self.told.insert(name.to_owned(), what);
        }
    }
}
