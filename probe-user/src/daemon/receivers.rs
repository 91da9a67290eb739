//! Where the kernel takes pongs in: the programs are put on the interfaces that targets are routed through, and follow them
//! when they go and come back.

use std::collections::HashMap;

use probe_common::maps::{Class, Settings};

use crate::{
    kernel::{Kernel, Mode, Want},
    metrics::{Engine, Receive, Transmit},
    network::Network,
};

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
            let chosen = self
                .only
                .as_ref()
                .is_none_or(|only| only.contains(&link.name));
            // Pongs of this very box never cross an interface: generic XDP would only slow all of loopback down.
            let receive = if chosen && !link.loopback {
                self.attach(&link.name)
            } else {
                Receive::Socket
            };
            engines.push(Engine {
                interface: link.name.clone(),
                transmit: Transmit::Socket,
                receive,
            });
        }
        self.detach_all_but(&engines);
        engines
    }

    fn detach_all_but(&mut self, engines: &[Engine]) {
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
            self.tell(
                &name,
                format!("{name}: no target is reached through it any more"),
            );
        }
    }

    fn attach(&mut self, name: &str) -> Receive {
        let Some(kernel) = &mut self.kernel else {
            return Receive::Socket;
        };
        match kernel.attach(name, self.want) {
            Ok(attached) => {
                let stamp = if attached.stamp {
                    ""
                } else {
                    ", pings are stamped by the daemon"
                };
                let mode = attached.receive.name();
                self.tell(
                    name,
                    format!("{name}: pongs are timed in the kernel, XDP {mode}{stamp}"),
                );
                match attached.receive {
                    Mode::Native => Receive::XdpNative,
                    Mode::Generic => Receive::XdpGeneric,
                }
            }
            Err(error) => {
                self.tell(
                    name,
                    format!("{name}: pongs are timed at the sockets: {error}"),
                );
                Receive::Socket
            }
        }
    }

    fn tell(&mut self, name: &str, what: String) {
        if self.told.get(name) != Some(&what) {
            tracing::info!("{what}");
            self.told.insert(name.to_owned(), what);
        }
    }
}
