//! Groups: their targets with what holds for each, after the overrides.

use std::collections::{BTreeMap, HashMap, HashSet};

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;
use probe_common::wire::REFLECTOR_PORT;

use super::{
    Host, Place, Wanted,
    address::{self, What},
    problem::{Path, Problems},
    section::{get, list, mapping, text},
    settings::{Effective, Settings},
    yaml::{Entry, Node, Value},
};
use crate::fleet::{Class, Group};

/// More targets than this one monitor does not take.
pub(super) const MOST_TARGETS: usize = 1 << 20;

/// The keys of a group besides the settings.
pub(super) const GROUP_KEYS: [&str; 4] = ["name", "labels", "targets", "overrides"];
/// The key of an override besides the settings.
pub(super) const OVERRIDE_KEY: &str = "match";

/// Labels that every target has anyway or that Prometheus gives a meaning.
const RESERVED_LABELS: [&str; 4] = ["group", "target", "state", "le"];

/// All groups, as they are read.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub(super) groups: Vec<Group>,
    pub(super) classes: Vec<Class>,
    pub(super) targets: Vec<Wanted>,
    /// Whether it has been said that there are too many targets or classes.
    too_many: bool,
}

/// One entry of `overrides`.
struct Override {
    /// Its place in the list, also where others of the list are no overrides.
    index: usize,
    place: Place,
    /// Its `match`, for the message when it matches nothing.
    wanted: String,
    settings: Settings,
    used: bool,
}

/// Which overrides are meant for a host.
#[derive(Default)]
struct Matches {
    blocks: JointPrefixMap<IpNet, Vec<usize>>,
    names: HashMap<String, Vec<usize>>,
}

impl Groups {
    /// Reads the list of groups.
    pub(super) fn read(
        &mut self,
        node: &Node,
        path: &Path<'_>,
        defaults: &Settings,
        problems: &mut Problems,
    ) {
        let nodes = list(node, path, problems);
        if nodes.is_empty() && matches!(node.value, Value::Null | Value::List(_)) {
            problems.add(node.place, path, "holds no group; write at least one");
        }
        let mut names = HashMap::new();
        for (index, node) in nodes.iter().enumerate() {
            self.read_group(node, &path.item(index), defaults, &mut names, problems);
        }
    }

    fn read_group<'a>(
        &mut self,
        node: &'a Node,
        path: &Path<'_>,
        defaults: &Settings,
        names: &mut HashMap<&'a str, Place>,
        problems: &mut Problems,
    ) {
        let known = [&GROUP_KEYS[..], &Settings::KEYS[..]].concat();
        let Some(entries) = mapping(node, path, &known, problems) else {
            return;
        };
        let name = read_name(node, entries, path, names, problems);
        let labels = get(entries, "labels").map_or_else(Vec::new, |labels| {
            read_labels(labels, &path.key("labels"), problems)
        });
        let settings = Settings::read(entries, path, 1, problems).over(defaults);
        let (mut overrides, matches) = get(entries, "overrides")
            .map_or_else(Default::default, |node| {
                read_overrides(node, &path.key("overrides"), problems)
            });

        let group = self.groups.len() as u32;
        self.groups.push(Group {
            name: name.into(),
            labels,
            gone: false,
        });
        let mut classes = GroupClasses {
            group,
            settings,
            known: HashMap::new(),
        };
        // Whatever targets there are, what the group itself says must make sense.
        classes.settings.effective(problems);
        for one in &overrides {
            one.settings
                .clone()
                .over(&classes.settings)
                .effective(problems);
        }

        let Some(targets) = get(entries, "targets") else {
            problems.add(
                node.place,
                path.key("targets"),
                "is missing; write a list of addresses, names and blocks",
            );
            return;
        };
        let path_targets = path.key("targets");
        let items = list(targets, &path_targets, problems);
        let first = self.targets.len();
        let mut chosen = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = path_targets.item(index);
            let Some(text) = text(item, &path, problems) else {
                continue;
            };
            let written = match address::parse(text) {
                Ok(written) => written,
                Err(what) => {
                    problems.add(item.place, path, what);
                    continue;
                }
            };
            let count = match written.what {
                What::Block(net) => address::host_count(net),
                _ => 1,
            };
            if self.targets.len() as u128 + count > MOST_TARGETS as u128 {
                if !std::mem::replace(&mut self.too_many, true) {
                    let what = format!(
                        "{text} has {count} target{}; with the {} before it that is more than the {MOST_TARGETS} that one monitor takes",
                        if count == 1 { "" } else { "s" },
                        self.targets.len()
                    );
                    problems.add(item.place, path, what);
                }
                continue;
            }
            let mut add = |host: Host, as_written: Option<&str>| {
                matches.of(&host, &mut chosen);
                let (class, port) =
                    classes.of(&chosen, &mut overrides, &mut self.classes, problems);
                let port = written.port.unwrap_or(port);
                self.targets.push(Wanted {
                    name: as_written.map(|text| label(text, &host, port)),
                    host,
                    port,
                    class,
                    place: item.place,
                });
            };
            match written.what {
                What::Ip(ip, text) => add(Host::Ip(ip), (ip.to_string() != text).then_some(text)),
                What::Name(text) => add(Host::Name(text.to_ascii_lowercase().into()), Some(text)),
                What::Block(net) => address::hosts(net).for_each(|ip| add(Host::Ip(ip), None)),
            }
        }
        if self.classes.len() > usize::from(u16::MAX) + 1
            && !std::mem::replace(&mut self.too_many, true)
        {
            problems.add(
                node.place,
                path,
                "more than 65536 different sets of settings; merge some groups or overrides",
            );
        }
        for one in overrides.iter().filter(|one| !one.used) {
            let what = format!("{} matches no target of the group", one.wanted);
            problems.add(
                one.place,
                path.key("overrides").item(one.index).key(OVERRIDE_KEY),
                what,
            );
        }
        find_duplicates(&self.targets[first..], items, &path_targets, problems);
    }
}

/// The classes of one group, by the overrides that make them.
struct GroupClasses {
    group: u32,
    settings: Settings,
    known: HashMap<Vec<usize>, (u16, u16)>,
}

impl GroupClasses {
    /// The class under these overrides and the port that they give.
    fn of(
        &mut self,
        chosen: &[usize],
        overrides: &mut [Override],
        classes: &mut Vec<Class>,
        problems: &mut Problems,
    ) -> (u16, u16) {
        if let Some(&known) = self.known.get(chosen) {
            return known;
        }
        let mut settings = self.settings.clone();
        for &index in chosen {
            overrides[index].used = true;
            settings = overrides[index].settings.clone().over(&settings);
        }
        let Effective {
            interval,
            timeout,
            late_after,
            policy,
            port,
        } = settings.effective(problems);
        let class = Class {
            group: self.group,
            interval,
            timeout,
            late_after,
            policy,
        };
        let first = classes
            .iter()
            .rposition(|known| known.group != self.group)
            .map_or(0, |last| last + 1);
        let number = match classes[first..].iter().position(|known| *known == class) {
            Some(at) => first + at,
            None => {
                classes.push(class);
                classes.len() - 1
            }
        };
        let answer = (number as u16, port);
        self.known.insert(chosen.to_vec(), answer);
        answer
    }
}

impl Matches {
    /// Puts the overrides for a host into `chosen`, in the order of the file.
    fn of(&self, host: &Host, chosen: &mut Vec<usize>) {
        chosen.clear();
        match host {
            Host::Ip(ip) => {
                chosen.extend(self.blocks.cover_values(&IpNet::from(*ip)).flatten());
                chosen.sort_unstable();
            }
            Host::Name(name) => chosen.extend(self.names.get(&**name).into_iter().flatten()),
        }
    }
}

/// The value of the `target` label: as written, with the port only where it is not the usual one.
fn label(text: &str, host: &Host, port: u16) -> Box<str> {
    match host {
        _ if port == REFLECTOR_PORT => text.into(),
        Host::Ip(ip) if ip.is_ipv6() => format!("[{text}]:{port}").into(),
        _ => format!("{text}:{port}").into(),
    }
}

fn read_name<'a>(
    node: &Node,
    entries: &'a [Entry],
    path: &Path<'_>,
    names: &mut HashMap<&'a str, Place>,
    problems: &mut Problems,
) -> &'a str {
    let path = path.key("name");
    let Some(name_node) = get(entries, "name") else {
        problems.add(node.place, path, "is missing; a group needs a name");
        return "";
    };
    let Some(name) = text(name_node, &path, problems) else {
        return "";
    };
    if name.trim().is_empty() {
        problems.add(name_node.place, path, "is empty; a group needs a name");
    } else if let Some(&first) = names.get(name) {
        let what = format!(
            "a group {name:?} is there already at {}; merge them or choose another name",
            problems.name(first)
        );
        problems.add(name_node.place, path, what);
    } else {
        names.insert(name, name_node.place);
    }
    name
}

fn read_labels(node: &Node, path: &Path<'_>, problems: &mut Problems) -> Vec<(String, String)> {
    let entries = match &node.value {
        Value::Map(entries) => entries.as_slice(),
        Value::Null => &[],
        _ => {
            let what = format!("is {}; write a mapping: {{dc: ams}}", node.kind());
            problems.add(node.place, path, what);
            &[]
        }
    };
    let mut labels = Vec::new();
    for Entry { place, key, node } in entries {
        let path = path.key(key);
        let letters = key.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
        if !letters || key.is_empty() || key.as_bytes()[0].is_ascii_digit() {
            problems.add(
                *place,
                path,
                "is no label name; it takes letters, digits and _, and begins with no digit",
            );
        } else if RESERVED_LABELS.contains(&key.as_str()) || key.starts_with("__") {
            let what = format!("the label {key} is taken; choose another name");
            problems.add(*place, path, what);
        } else if let Some(value) = text(node, &path, problems) {
            labels.push((key.clone(), value.to_owned()));
        }
    }
    labels
}

fn read_overrides(
    node: &Node,
    path: &Path<'_>,
    problems: &mut Problems,
) -> (Vec<Override>, Matches) {
    let known = [&[OVERRIDE_KEY][..], &Settings::KEYS[..]].concat();
    let mut overrides = Vec::new();
    let mut matches = Matches::default();
    for (index, node) in list(node, path, problems).iter().enumerate() {
        let path = path.item(index);
        let Some(entries) = mapping(node, &path, &known, problems) else {
            continue;
        };
        let settings = Settings::read(entries, &path, 2 + index, problems);
        let path = path.key(OVERRIDE_KEY);
        let mut one = Override {
            index,
            place: node.place,
            wanted: String::new(),
            settings,
            // So that one whose match is wrong is not said to match nothing as well.
            used: true,
        };
        if let Some(node) = get(entries, OVERRIDE_KEY) {
            if let Some(text) = text(node, &path, problems) {
                match matches.add(text, overrides.len()) {
                    Ok(()) => {
                        text.clone_into(&mut one.wanted);
                        one.place = node.place;
                        one.used = false;
                    }
                    Err(what) => problems.add(node.place, path, what),
                }
            }
        } else {
            problems.add(
                node.place,
                path,
                "is missing; write the address, name or block it is for",
            );
        }
        overrides.push(one);
    }
    (overrides, matches)
}

impl Matches {
    /// Notes what the override with this number matches.
    fn add(&mut self, text: &str, number: usize) -> Result<(), String> {
        let written = address::parse(text)?;
        if let Some(port) = written.port {
            return Err(format!(
                "{text:?} has a port; an override is for every port of a host, leave :{port} out"
            ));
        }
        match written.what {
            What::Ip(ip, _) => self.blocks.entry(ip.into()).or_default().push(number),
            What::Block(net) => self.blocks.entry(net).or_default().push(number),
            What::Name(name) => self
                .names
                .entry(name.to_ascii_lowercase())
                .or_default()
                .push(number),
        }
        Ok(())
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

/// What the interfaces are called that XDP is to run on.
pub(super) fn read_interfaces(
    node: &Node,
    path: &Path<'_>,
    problems: &mut Problems,
) -> Option<Vec<String>> {
    let items = list(node, path, problems);
    let mut seen = HashSet::new();
    let mut names = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = path.item(index);
        let Some(name) = text(item, &path, problems) else {
            continue;
        };
        // The kernel's rule: `dev_valid_name`.
        let valid = !name.is_empty()
            && name.len() < 16
            && !name.contains(|c: char| c.is_whitespace() || c == '/' || c == ':');
        if !valid {
            let what = format!("{name:?} is no name of an interface; see: ip link");
            problems.add(item.place, path, what);
        } else if !seen.insert(name) {
            problems.add(
                item.place,
                path,
                format!("{name} is there twice; leave one out"),
            );
        } else {
            names.push(name.to_owned());
        }
    }
    if items.is_empty() && matches!(node.value, Value::Null | Value::List(_)) {
        problems.add(
            node.place,
            path,
            "names no interface; leave the key out, or write xdp: off",
        );
    }
    Some(names)
}
