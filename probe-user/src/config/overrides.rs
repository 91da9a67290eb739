//! Overrides: other settings for some targets of a group.

use std::collections::HashMap;

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;

use super::{
    Host, Place,
    problem::{Path, Problems},
    section::{get, list, mapping, text},
    settings::Settings,
    yaml::Node,
};
use crate::written::address::{self, What};

/// The key of an override besides the settings.
pub(super) const KEY: &str = "match";

/// The overrides of one group. Each is known by its number here.
#[derive(Default)]
pub(super) struct Overrides {
    list: Vec<Override>,
    /// By what they match; an address is the smallest block.
    blocks: JointPrefixMap<IpNet, Vec<usize>>,
    /// By what they match, in lower case.
    names: HashMap<String, Vec<usize>>,
}

/// One entry of `overrides`.
struct Override {
    settings: Settings,
    /// For the message when it matches nothing: its place in the list, and where and what its `match` is.
    index: usize,
    place: Place,
    text: String,
    used: bool,
}

impl Overrides {
    /// Reads a list of overrides.
    pub(super) fn read(node: &Node, path: &Path<'_>, problems: &mut Problems) -> Self {
        let known = [&[KEY][..], &Settings::KEYS[..]].concat();
        let mut overrides = Self::default();
        for (index, node) in list(node, path, problems).iter().enumerate() {
            let path = path.item(index);
            let Some(entries) = mapping(node, &path, &known, problems) else {
                continue;
            };
            let settings = Settings::read(entries, &path, 2 + index, problems);
            let path = path.key(KEY);
            let Some(node) = get(entries, KEY) else {
                let what = "is missing; write the address, name or block it is for";
                problems.add(node.place, path, what);
                continue;
            };
            let Some(text) = text(node, &path, problems) else {
                continue;
            };
            if let Err(what) = overrides.note(text) {
                problems.add(node.place, path, what);
                continue;
            }
            overrides.list.push(Override {
                settings,
                index,
                place: node.place,
                text: text.to_owned(),
                used: false,
            });
        }
        overrides
    }

    /// Notes what the next override matches.
    fn note(&mut self, text: &str) -> Result<(), String> {
        let written = address::parse(text)?;
        if let Some(port) = written.port {
            return Err(format!(
                "{text:?} has a port; an override is for every port of a host, leave :{port} out"
            ));
        }
        let numbers = match written.what {
            What::Ip(ip, _) => self.blocks.entry(ip.into()).or_default(),
            What::Block(net) => self.blocks.entry(net).or_default(),
            What::Name(name) => self.names.entry(name.to_ascii_lowercase()).or_default(),
        };
        numbers.push(self.list.len());
        Ok(())
    }

    /// Finds the settings of single overrides that do not go together with those of the group.
    pub(super) fn check(&self, group: &Settings, problems: &mut Problems) {
        for one in &self.list {
            one.settings.clone().over(group).effective(problems);
        }
    }

    /// Puts the numbers of the overrides for a host into `chosen`, in the order of the file.
    pub(super) fn choose(&self, host: &Host, chosen: &mut Vec<usize>) {
        chosen.clear();
        match host {
            Host::Ip(ip) => {
                chosen.extend(self.blocks.cover_values(&IpNet::from(*ip)).flatten());
                chosen.sort_unstable();
            }
            Host::Name(name) => chosen.extend(self.names.get(&**name).into_iter().flatten()),
        }
    }

    /// The settings of a group's targets that these overrides match: later ones win.
    pub(super) fn apply(&mut self, chosen: &[usize], group: &Settings) -> Settings {
        chosen.iter().fold(group.clone(), |settings, &number| {
            let one = &mut self.list[number];
            one.used = true;
            one.settings.clone().over(&settings)
        })
    }

    /// Finds those that were never applied.
    pub(super) fn find_unused(&self, path: &Path<'_>, problems: &mut Problems) {
        for one in self.list.iter().filter(|one| !one.used) {
            let what = format!("{} matches no target of the group", one.text);
            problems.add(one.place, path.item(one.index).key(KEY), what);
        }
    }
}
