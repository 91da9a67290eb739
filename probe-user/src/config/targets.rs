//! The targets of a group, blocks spelt out, each with the class that its settings make.

use std::collections::{BTreeMap, HashMap};

use probe_common::wire::REFLECTOR_PORT;

use super::{
    Host, Place, Wanted,
    overrides::Overrides,
    problem::{Path, Problems},
    section::{list, text},
    settings::{Effective, Settings},
    yaml::Node,
};
use crate::{
    fleet::Class,
    written::address::{self, What},
};

/// More targets than these one monitor does not take.
pub(super) const MOST_TARGETS: usize = 1 << 20;
/// A target has the number of its class in 16 bits.
const MOST_CLASSES: usize = 1 << 16;

/// What reads the targets of one group.
pub(super) struct Targets<'a> {
    pub(super) group: u32,
    pub(super) settings: Settings,
    pub(super) overrides: &'a mut Overrides,
    /// Of all groups.
    pub(super) classes: &'a mut Vec<Class>,
    /// Of all groups.
    pub(super) all: &'a mut Vec<Wanted>,
    /// The class and port that the overrides with these numbers make.
    pub(super) known: HashMap<Vec<usize>, (u16, u16)>,
}

impl Targets<'_> {
    /// Reads a list of targets. Answers whether it could take them all.
    pub(super) fn read(&mut self, node: &Node, path: &Path<'_>, problems: &mut Problems) -> bool {
        let items = list(node, path, problems);
        let first = self.all.len();
        let before = problems.len();
        let mut full = false;
        for (index, item) in items.iter().enumerate() {
            let path = path.item(index);
            let Some(text) = text(item, &path, problems) else {
                continue;
            };
            match self.add(text, item.place, problems) {
                Err(Refusal::Wrong(what)) => problems.add(item.place, path, what),
                // Said once: what follows would be too many as well.
                Err(Refusal::TooMany(what)) if !full => {
                    problems.add(item.place, path, what);
                    full = true;
                }
                Ok(()) | Err(Refusal::TooMany(_)) => {}
            }
        }
        let complete = problems.len() == before;
        find_duplicates(&self.all[first..], items, path, problems);
        complete
    }

    /// Adds what one item of the list stands for.
    fn add(&mut self, text: &str, place: Place, problems: &mut Problems) -> Result<(), Refusal> {
        let written = address::parse(text).map_err(Refusal::Wrong)?;
        let count = match written.what {
            What::Block(net) => address::host_count(net),
            _ => 1,
        };
        if self.all.len() as u128 + count > MOST_TARGETS as u128 {
            return Err(Refusal::TooMany(format!(
                "{text} has {count} target{}; with the {} before it that is more than the {MOST_TARGETS} that one monitor takes",
                if count == 1 { "" } else { "s" },
                self.all.len()
            )));
        }
        let mut chosen = Vec::new();
        let mut push = |host: Host, as_written: Option<&str>| -> Result<(), Refusal> {
            self.overrides.choose(&host, &mut chosen);
            let (class, port) = self.class(&chosen, problems)?;
            let port = written.port.unwrap_or(port);
            self.all.push(Wanted {
                name: as_written.map(|text| label(text, &host, port)),
                host,
                port,
                class,
                place,
            });
            Ok(())
        };
        match written.what {
            What::Ip(ip, text) => {
                // An IPv4 address is written in one way only.
                let is_usual = ip.is_ipv4() || ip.to_string() == text;
                push(Host::Ip(ip), (!is_usual).then_some(text))
            }
            What::Name(text) => push(Host::Name(text.to_ascii_lowercase().into()), Some(text)),
            What::Block(net) => address::hosts(net).try_for_each(|ip| push(Host::Ip(ip), None)),
        }
    }

    /// The class under these overrides and the port that they give.
    fn class(&mut self, chosen: &[usize], problems: &mut Problems) -> Result<(u16, u16), Refusal> {
        if let Some(&known) = self.known.get(chosen) {
            return Ok(known);
        }
        let Effective {
            interval,
            timeout,
            late_after,
            policy,
            confirm_interval,
            port,
            pinged,
            services,
        } = self
            .overrides
            .apply(chosen, &self.settings)
            .effective(problems);
        let class = Class {
            group: self.group,
            interval,
            timeout,
            late_after,
            policy,
            pinged,
            services,
            confirm_interval,
        };
        // Those of a group stand together at the end.
        let mut of_group = self
            .classes
            .iter()
            .rposition(|known| known.group != class.group)
            .map_or(0, |other| other + 1)..self.classes.len();
        let number = of_group
            .find(|&number| self.classes[number] == class)
            .unwrap_or_else(|| {
                self.classes.push(class);
                self.classes.len() - 1
            });
        if number >= MOST_CLASSES {
            return Err(Refusal::TooMany(format!(
                "more than {MOST_CLASSES} different sets of settings; let some groups or overrides have the same"
            )));
        }
        let answer = (number as u16, port);
        self.known.insert(chosen.to_vec(), answer);
        Ok(answer)
    }
}

/// Why an item of the list adds no target.
enum Refusal {
    /// It is no target.
    Wrong(String),
    /// There is no room.
    TooMany(String),
}

/// The value of the `target` label: as written, with the port only where it is not the usual one.
fn label(text: &str, host: &Host, port: u16) -> Box<str> {
    match host {
        _ if port == REFLECTOR_PORT => text.into(),
        Host::Ip(ip) if ip.is_ipv6() => format!("[{text}]:{port}").into(),
        _ => format!("{text}:{port}").into(),
    }
}

/// One problem for each two places of a group that give the same host and port.
fn find_duplicates(targets: &[Wanted], items: &[Node], path: &Path<'_>, problems: &mut Problems) {
    let mut order: Vec<u32> = (0..targets.len() as u32).collect();
    let key = |&number: &u32| {
        let target = &targets[number as usize];
        (&target.host, target.port, number)
    };
    order.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
    let mut pairs: BTreeMap<(Place, Place), (usize, &Wanted)> = BTreeMap::new();
    let alike = |a: &u32, b: &u32| {
        let ((host, port, _), (other, other_port, _)) = (key(a), key(b));
        (host, port) == (other, other_port)
    };
    for run in order.chunk_by(alike).filter(|run| run.len() > 1) {
        let first = &targets[run[0] as usize];
        for again in run[1..].iter().map(|&number| &targets[number as usize]) {
            let entry = pairs.entry((again.place, first.place));
            entry.or_insert((0, again)).0 += 1;
        }
    }
    for ((again, first), (count, example)) in pairs {
        let index = items.iter().position(|item| item.place == again);
        let more = match count {
            1 => String::new(),
            _ => format!(" and {} more", count - 1),
        };
        let what = format!(
            "duplicate target: {}{more} is there already at {}; leave one out",
            example.show(),
            problems.name(first)
        );
        problems.add(again, path.item(index.unwrap_or(0)), what);
    }
}
