//! The list of groups.

use std::collections::HashMap;

use super::{
    Place, Wanted,
    overrides::Overrides,
    problem::{Path, Problems},
    section::{get, list, mapping, text},
    settings::Settings,
    targets::Targets,
    yaml::{Entry, Node, Value},
};
use crate::fleet::{Class, Group};

/// The keys of a group besides the settings.
pub(super) const KEYS: [&str; 4] = ["name", "labels", "targets", "overrides"];

/// Labels that every target has anyway or that Prometheus gives a meaning.
const RESERVED_LABELS: [&str; 5] = ["group", "target", "service", "state", "le"];

/// What comes of all groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub(super) list: Vec<Group>,
    pub(super) classes: Vec<Class>,
    pub(super) targets: Vec<Wanted>,
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
        let known = [&KEYS[..], &Settings::KEYS[..]].concat();
        let Some(entries) = mapping(node, path, &known, problems) else {
            return;
        };
        let name = read_name(node, entries, path, names, problems);
        let labels = get(entries, "labels").map_or_else(Vec::new, |labels| {
            read_labels(labels, &path.key("labels"), problems)
        });
        let settings = Settings::read(entries, path, 1, problems).over(defaults);
        let overrides_path = path.key("overrides");
        let mut overrides = get(entries, "overrides").map_or_else(Overrides::default, |node| {
            Overrides::read(node, &overrides_path, problems)
        });
        // Whatever targets there are, each section must make sense.
        settings.effective(problems);
        overrides.check(&settings, problems);

        let group = self.list.len() as u32;
        self.list.push(Group {
            name: name.into(),
            labels,
            gone: false,
        });
        let path = path.key("targets");
        let Some(node) = get(entries, "targets") else {
            let what = "is missing; write a list of addresses, names and blocks";
            problems.add(node.place, path, what);
            return;
        };
        let complete = Targets {
            group,
            settings,
            overrides: &mut overrides,
            classes: &mut self.classes,
            all: &mut self.targets,
            known: HashMap::new(),
        }
        .read(node, &path, problems);
        // One that is for a target with a typo is not to be told as well.
        if complete {
            overrides.find_unused(&overrides_path, problems);
        }
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
