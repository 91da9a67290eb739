//! The fleet: who is probed, in which group and by which policy. Read-only once made; a reload makes a new one.

mod detail;
mod difference;
mod renumber;
mod services;

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use probe_common::{maps, wire::REFLECTOR_PORT};

pub use self::{
    detail::Detail,
    difference::{Step, difference},
    renumber::renumber,
    services::{Adopted, Promise, Service},
};
use crate::core::{confirm::Plan, verdict::Policy};

/// Every target by its number, with the groups and classes that they refer to.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// In the order of the configuration.
    pub groups: Vec<Group>,
    /// Each group under each of its policies.
    pub classes: Vec<Class>,
    /// Which targets have series of their own.
    pub detail: Detail,
    /// By target number; `None` where a target was removed and its number is free.
    pub targets: Vec<Option<Target>>,
    /// By service number, likewise.
    pub services: Vec<Option<Service>>,
}

/// Targets that share labels and a histogram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The value of the `group` label.
    pub name: Arc<str>,
    /// Further labels of each of its targets, in the order of the configuration.
    pub labels: Vec<(String, String)>,
    /// Whether a reload removed it: it keeps its number, in case it comes back, but is shown no more.
    pub gone: bool,
}

/// A group under one policy: what a target is judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Index into [`Fleet::groups`].
    pub group: u32,
    /// Between two pings of a target.
    pub interval: Duration,
    /// A pong after this does not count.
    pub timeout: Duration,
    /// A pong after this is late.
    pub late_after: Duration,
    /// How many pings in a row change a verdict.
    pub policy: Policy,
    /// Whether its targets are pinged; else beats alone tell of them.
    pub pinged: bool,
    /// The services that each of its targets has.
    pub services: Arc<[Promise]>,
    /// Between the pings that confirm a silence; `None`: there are none.
    pub confirm_interval: Option<Duration>,
}

impl Class {
    /// What the receiver needs of it. Times end at 4 s, which the configuration enforces.
    pub fn for_receiver(&self) -> maps::Class {
        let nanos = |time: Duration| u32::try_from(time.as_nanos()).unwrap_or(u32::MAX);
        maps::Class {
            timeout_ns: nanos(self.timeout),
            late_after_ns: nanos(self.late_after),
            group: self.group,
        }
    }

    /// How its targets' silence is confirmed, if it is.
    pub fn confirmation(&self) -> Option<Plan> {
        let nanos = |time: Duration| time.as_nanos() as u64;
        let interval = self.confirm_interval?;
        Some(Plan::new(
            nanos(self.late_after),
            nanos(interval),
            self.policy,
        ))
    }

    /// Confirming pings a second for each target, when all fall silent at once: each gets its own, spread over an interval.
    pub fn most_confirming(&self) -> f64 {
        self.confirm_interval.map_or(0.0, |confirm| {
            let most = f64::from(self.policy.dead_after - 1);
            (most / self.interval.as_secs_f64()).min(1.0 / confirm.as_secs_f64())
        })
    }

    /// Within what time after its death a target that was well is known to have missed so many pings (2 or more) in a row.
    pub fn time_to_miss(&self, pings: u32) -> Duration {
        let plain = self.interval * pings + self.timeout;
        self.confirm_interval.map_or(plain, |confirm| {
            let confirmed = self.late_after + confirm * (pings - 2) + self.timeout;
            plain.min(self.interval + confirmed)
        })
    }
}

/// One address and port that is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As configured; `None` for a member of a block, which is called by its address.
    pub name: Option<Box<str>>,
    /// Where it is; `None` as long as its name has not been resolved.
    pub address: Option<SocketAddr>,
    /// Index into [`Fleet::classes`].
    pub class: u16,
}

impl Target {
    /// The DNS name that it is called by, if it is called by one.
    pub fn host_name(&self) -> Option<&str> {
        let name = self.name.as_deref()?;
        if name.parse::<IpAddr>().is_ok() || name.parse::<SocketAddr>().is_ok() {
            return None;
        }
        Some(name.split_once(':').map_or(name, |(host, _)| host))
    }

    /// The host as it is called, without a port.
    pub fn host(&self) -> Cow<'_, str> {
        match (&self.name, self.address) {
            (Some(name), _) => match name.parse::<SocketAddr>() {
                Ok(at) => at.ip().to_string().into(),
                Err(_) => self.host_name().unwrap_or(name).into(),
            },
            (None, Some(at)) => at.ip().to_string().into(),
            (None, None) => "".into(),
        }
    }

    /// Its port, which its label tells also before it has an address.
    fn port(&self) -> u16 {
        let port = self
            .name
            .as_deref()
            .and_then(|name| name.rsplit_once(':')?.1.parse().ok());
        self.address
            .map(|at| at.port())
            .or(port)
            .unwrap_or(REFLECTOR_PORT)
    }

    /// The value of the `target` label.
    pub fn label(&self) -> Label<'_> {
        match (&self.name, self.address) {
            (Some(name), _) => Label::Written(name),
            (None, Some(at)) if at.port() == REFLECTOR_PORT => Label::Ip(at.ip()),
            (None, Some(at)) => Label::Socket(at),
            (None, None) => Label::Written(""),
        }
    }
}

/// What a target is called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label<'a> {
    /// As configured.
    Written(&'a str),
    /// Its address, where its port is the usual one.
    Ip(IpAddr),
    /// Its address and port.
    Socket(SocketAddr),
}

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(name) => name.fmt(f),
            Self::Ip(ip) => ip.fmt(f),
            Self::Socket(at) => at.fmt(f),
        }
    }
}

impl Fleet {
    /// The targets with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Target)> {
        self.targets
            .iter()
            .enumerate()
            .filter_map(|(number, target)| Some((number as u32, target.as_ref()?)))
    }

    /// The DNS names of its targets. One that is not pinged is called by its name and not looked up.
    pub fn host_names(&self) -> impl Iterator<Item = &str> {
        let targets = self.targets.iter().flatten();
        targets
            .filter(|target| self.class_of(target).pinged)
            .filter_map(Target::host_name)
    }

    /// The same fleet, with every named target at the address that its name has now.
    pub fn at_addresses(&self, resolve: impl Fn(&str) -> Option<IpAddr>) -> Self {
        let mut fleet = self.clone();
        for target in fleet.targets.iter_mut().flatten() {
            if let Some(ip) = target.host_name().and_then(&resolve) {
                target.address = Some(SocketAddr::new(ip, target.port()));
            }
        }
        fleet
    }

    /// How many targets there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// The group of a target.
    pub fn group_of(&self, target: &Target) -> &Group {
        &self.groups[self.class_of(target).group as usize]
    }

    /// The class of a target.
    pub fn class_of(&self, target: &Target) -> &Class {
        &self.classes[usize::from(target.class)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, address: Option<&str>) -> Target {
        let address = address.map(|address| address.parse().unwrap());
        Target {
            name: Some(name.into()),
            address,
            class: 0,
        }
    }

    #[test]
    fn a_name_is_what_is_no_address() {
        assert_eq!(
            named("web-1.example.org", None).host_name(),
            Some("web-1.example.org")
        );
        assert_eq!(
            named("web-1.example.org:4863", None).host_name(),
            Some("web-1.example.org")
        );
        for address in [
            "192.0.2.1",
            "192.0.2.1:4863",
            "2001:db8::1",
            "[2001:db8::1]:4863",
        ] {
            assert_eq!(named(address, None).host_name(), None, "{address}");
        }
    }

    #[test]
    fn names_move_and_addresses_stay() {
        let targets = [
            named("web-1.example.org:4863", None),
            named("db.example.org", Some("192.0.2.7:4862")),
            named("192.0.2.9", Some("192.0.2.9:4862")),
        ];
        let fleet = Fleet {
            targets: targets.map(Some).into(),
            ..Fleet::default()
        };
        let moved = fleet.at_addresses(|name| {
            name.starts_with("web")
                .then(|| "192.0.2.1".parse().unwrap())
        });
        let at = |number: usize| {
            moved.targets[number]
                .as_ref()
                .unwrap()
                .address
                .unwrap()
                .to_string()
        };
        assert_eq!(
            [at(0), at(1), at(2)],
            ["192.0.2.1:4863", "192.0.2.7:4862", "192.0.2.9:4862"]
        );
    }
}
