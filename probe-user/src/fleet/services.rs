//! The services of a fleet: those that the configuration names, and those that were heard and adopted.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use probe_common::siphash::identity;

use super::{Class, Fleet, Group, Target};
use crate::core::{session::Terms, verdict::Policy};

/// The group of hosts that nobody configured.
pub const AUTO_GROUP: &str = "auto";

/// Of adopted services: as their senders ask.
const AS_ASKED: Terms = Terms {
    timeout: 0,
    interval: 0,
    critical_after: 2,
};

/// A service that each target of a class has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// What it is called.
    pub name: Arc<str>,
    /// When it is to beat.
    pub terms: Terms,
}

/// A service on a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The number of its target.
    pub target: u32,
    /// The value of the `service` label.
    pub name: Arc<str>,
    /// The identities of its host and its own, as its beats tell them.
    pub identity: [u64; 2],
    /// When it is to beat.
    pub terms: Terms,
}

/// A service that nobody configured, but whose beats carry a right tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// The identities of its host and its own.
    pub identity: [u64; 2],
    /// Where its beats came from.
    pub source: IpAddr,
}

impl Fleet {
    /// The services with their numbers.
    pub fn services(&self) -> impl Iterator<Item = (u32, &Service)> {
        self.services
            .iter()
            .enumerate()
            .filter_map(|(number, service)| Some((number as u32, service.as_ref()?)))
    }

    /// The target that a service is on.
    pub fn host_of(&self, service: &Service) -> Option<&Target> {
        self.targets.get(service.target as usize)?.as_ref()
    }

    /// Adds the hosts of adopted services that are not among its targets, as a group of their own. They are called by their
    /// identities in hex, for those are all that beats tell. To be done before it gets its numbers.
    pub fn add_hosts(&mut self, adopted: &[Adopted]) {
        let mut missing = adopted.to_vec();
        if !missing.is_empty() {
            let hosts = Hosts::of(self);
            missing.retain(|one| hosts.find(one).is_none());
        }
        if missing.is_empty() {
            return;
        }
        let group = self.groups.len() as u32;
        self.groups.push(Group {
            name: AUTO_GROUP.into(),
            labels: Vec::new(),
            gone: false,
        });
        let class = self.classes.len() as u16;
        self.classes.push(Class {
            group,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            late_after: Duration::from_secs(1),
            policy: Policy::default(),
            confirm_interval: None,
            pinged: false,
            services: Arc::default(),
        });
        let mut known = HashSet::new();
        missing.retain(|one| known.insert(one.identity[0]));
        let host = |one: &Adopted| Target {
            name: Some(format!("{:016x}", one.identity[0]).into()),
            address: None,
            class,
        };
        self.targets
            .extend(missing.iter().map(|one| Some(host(one))));
    }

    /// Lists the services of its targets and those adopted, of each name one a target, each by the number that it has in `old`. Numbers that `old` uses
    /// and this fleet does not stay free until the next time.
    pub fn place_services(&mut self, old: &Self, adopted: &[Adopted]) {
        let mut services = Vec::new();
        for (target, at) in self.iter() {
            let class = self.class_of(at);
            if class.services.is_empty() {
                continue;
            }
            let host = identity(&at.host());
            services.extend(class.services.iter().map(|promise| Service {
                target,
                name: promise.name.clone(),
                identity: [host, identity(&promise.name)],
                terms: promise.terms,
            }));
        }
        self.add_adopted(&mut services, adopted);

        let key = |service: &Service| (service.target, service.identity[1]);
        let numbers: HashMap<_, _> = old.services().map(|(n, known)| (key(known), n)).collect();
        self.services.clear();
        self.services.resize_with(old.services.len(), || None);
        let mut fresh = Vec::new();
        for service in services {
            match numbers.get(&key(&service)) {
                Some(&number) => self.services[number as usize] = Some(service),
                None => fresh.push(service),
            }
        }
        let is_free = |number: &usize| old.services.get(*number).is_none_or(Option::is_none);
        for (number, service) in (0..).filter(is_free).zip(fresh) {
            if self.services.len() <= number {
                self.services.resize_with(number + 1, || None);
            }
            self.services[number] = Some(service);
        }
    }

    fn add_adopted(&self, services: &mut Vec<Service>, adopted: &[Adopted]) {
        if adopted.is_empty() {
            return;
        }
        let hosts = Hosts::of(self);
        let key = |target: u32, identity: [u64; 2]| (target, identity[1]);
        let mut known: HashSet<_> = services
            .iter()
            .map(|service| key(service.target, service.identity))
            .collect();
        // A name that is configured somewhere is likely meant here too.
        let promises = self.classes.iter().flat_map(|class| class.services.iter());
        let names: HashMap<u64, &Arc<str>> = promises
            .map(|promise| (identity(&promise.name), &promise.name))
            .collect();
        for one in adopted {
            let Some(target) = hosts.find(one) else {
                continue;
            };
            if !known.insert(key(target, one.identity)) {
                continue;
            }
            let name = names.get(&one.identity[1]).map_or_else(
                || format!("{:016x}", one.identity[1]).into(),
                |&name| name.clone(),
            );
            services.push(Service {
                target,
                name,
                identity: one.identity,
                terms: AS_ASKED,
            });
        }
    }
}

/// Targets by what beats tell of them.
struct Hosts {
    names: HashMap<u64, u32>,
    addresses: HashMap<IpAddr, u32>,
}

impl Hosts {
    fn of(fleet: &Fleet) -> Self {
        let (mut names, mut addresses) = (HashMap::new(), HashMap::new());
        for (number, target) in fleet.iter() {
            let name = target.host();
            let is_auto = &*fleet.group_of(target).name == AUTO_GROUP;
            let id = u64::from_str_radix(&name, 16)
                .ok()
                .filter(|_| is_auto && name.len() == 16);
            names
                .entry(id.unwrap_or_else(|| identity(&name)))
                .or_insert(number);
            if let Some(at) = target.address {
                addresses.entry(at.ip()).or_insert(number);
            }
        }
        Self { names, addresses }
    }

    fn find(&self, one: &Adopted) -> Option<u32> {
        let by_name = self.names.get(&one.identity[0]);
        by_name.or_else(|| self.addresses.get(&one.source)).copied()
    }
}

#[cfg(test)]
mod tests;
