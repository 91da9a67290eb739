//! What the daemon tells the prober, and what comes of it.

use std::sync::{Arc, mpsc};

use probe_common::{address::Address, row::Row, siphash::Key};

use super::Prober;
use crate::{
    engine::PumpError,
    fleet::{Class, Fleet, Step},
    kernel::TransmitError,
    network::Link,
    udp::Waker,
};

/// What the daemon tells the prober.
#[derive(Debug)]
pub enum Order {
    /// Probe this fleet from now on: these steps lead to it from the one before.
    Fleet(Arc<Fleet>, Vec<Step>),
    /// Sign with the first key, accept both.
    Keys([Key; 2]),
    /// These are the links that targets are reached through now, and the index of the one that each number in a row's
    /// [`hop`](Row::hop) stands for.
    Links(Vec<Link>, Arc<[u32]>),
    /// These are all interfaces of the box (indices), and whether each works: beats may come by any.
    Ears(Vec<(u32, bool)>),
    /// Pings of the sockets bear this type of service or traffic class.
    TrafficClass(u8),
    /// Have the kernel send by this interface, which has this Ethernet address, if it can; the answer tells why not.
    Open {
        /// Its index.
        interface: u32,
        /// Its address.
        mac: [u8; 6],
        /// Gets the answer.
        answer: mpsc::SyncSender<Result<(), TransmitError>>,
    },
    /// End.
    Stop,
}

/// The daemon's hold on the running prober.
#[derive(Debug)]
pub struct Handle {
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) waker: Waker,
}

impl Handle {
    /// Gives an order; it is carried out in the loop's next turn. Nothing happens if the prober has ended.
    pub fn order(&self, order: Order) {
        if self.orders.send(order).is_ok() {
            self.waker.wake();
        }
    }
}

impl Prober {
    pub(super) fn obey(&mut self, order: Order, now: u64) -> Result<(), PumpError> {
        match order {
            Order::Fleet(fleet, steps) => self.change_fleet(fleet, steps),
            Order::Keys(keys) => self.settings.keys = keys,
            Order::Links(links, interfaces) => {
                self.interfaces = interfaces;
                self.change_links(links, now);
            }
            Order::Ears(links) => self.ears.set(&links, now),
            Order::TrafficClass(traffic_class) => self.sockets.set_traffic_class(traffic_class),
            Order::Open {
                interface,
                mac,
                answer,
            } => {
                let kernel = self.kernel.as_mut();
                let opened = kernel.map_or(Ok(Ok(())), |kernel| kernel.open(interface, mac))?;
                // Whoever asked may have given up.
                let _ = answer.send(opened);
            }
            Order::Stop => {}
        }
        Ok(())
    }

    fn change_links(&mut self, links: Vec<Link>, now: u64) {
        let is_old = |old: &&Link| links.iter().all(|new| new.index != old.index);
        for gone in self.links.iter().filter(is_old) {
            // Pings that left by it and are out yet cannot be answered; later ones do not leave by it.
            self.outages.set_link(gone.index, false, now);
            self.outages.set_link(gone.index, true, now);
        }
        for link in &links {
            self.outages.set_link(link.index, link.works, now);
        }
        if let Some(kernel) = &mut self.kernel {
            kernel.keep(&links);
        }
        self.links = links;
    }

    /// Begins to go from one fleet to the next. The classes of the one before are still there under their numbers, so until its
    /// step is taken a target is pinged as it was.
    fn change_fleet(&mut self, fleet: Arc<Fleet>, steps: Vec<Step>) {
        self.classes = fleet.classes.iter().map(Class::for_receiver).collect();
        self.confirmations.set_classes(&fleet.classes);
        self.vitals.set_groups(&fleet.groups);
        if self.steps.is_empty() {
            // As they are: to copy a million takes longer than a ping may be late.
            self.steps = steps.into();
        } else {
            self.steps.extend(steps);
        }
        let old = std::mem::replace(&mut self.fleet, fleet);
        // To free a million targets takes longer than a ping may be late.
        std::thread::spawn(move || drop(old));
    }

    /// Brings one target's row, verdict and phase, or one service, to the new fleet; all others keep theirs.
    pub(super) fn take(&mut self, step: Step, now: u64) {
        if let Step::Add(number) | Step::Change(number) | Step::Remove(number) = step {
            self.confirmations.forget(number);
        }
        match step {
            Step::Add(number) => {
                self.place(number, now, |row, address, port, class| {
                    row.assign(address, port, class);
                });
            }
            Step::Change(number) => self.place(number, now, |row, address, port, class| {
                row.set_class(class);
                if row.address() != (address, port) {
                    row.set_address(address, port);
                }
            }),
            // If its number has been given anew, that is a step of its own.
            Step::Remove(number) => {
                self.schedule.remove(number);
                self.live.standings.clear(number);
                self.live.paths.clear(number);
                self.live.table.clocks()[number as usize].clear();
                self.live.table.rows()[number as usize].clear();
            }
            Step::Service(number) => self.place_service(number, now),
        }
    }

    /// Writes the row of a target with its address, port and class, and schedules it.
    fn place(&mut self, number: u32, now: u64, write: impl FnOnce(&Row, Address, u16, u16)) {
        // If a later fleet has it no more, the step that removes it follows.
        let Some(Some(target)) = self.fleet.targets.get(number as usize) else {
            return;
        };
        let (address, port) = target
            .address
            .map_or((Address::default(), 0), |at| (at.ip().into(), at.port()));
        let row = &self.live.table.rows()[number as usize];
        write(row, address, port, target.class);
        let class = self.fleet.class_of(target);
        if class.pinged {
            let interval = class.interval.as_nanos() as u64;
            self.schedule.set(number, interval, now);
        } else {
            self.schedule.remove(number);
        }
    }

    fn place_service(&mut self, number: u32, now: u64) {
        let service = self.fleet.services.get(number as usize);
        let service = service.and_then(Option::as_ref).and_then(|service| {
            let host = self.fleet.host_of(service)?;
            Some((service, host.address.map(|at| at.ip()), host.class))
        });
        let before = self.services.get(number).map(|known| known.target);
        let live = &self.live;
        self.services
            .set(number, service, now, live.table.rows(), &live.sessions);
        let hosts = [before, service.map(|(service, ..)| service.target)];
        for target in hosts.into_iter().flatten() {
            self.conclude(target, self.live.standings.get(target), now);
        }
    }
}
