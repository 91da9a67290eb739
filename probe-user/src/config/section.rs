//! Reading mappings and single values out of the tree: whatever is of the wrong shape or has no meaning is a problem.

use std::str::FromStr;

use super::{
    problem::{Path, Place, Problems},
    settings::Settings,
    yaml::{Entry, Node, Value},
};
use crate::written::did_you_mean;

/// The entries of a mapping whose keys are known; nothing counts as an empty one. `None` if it is something else.
pub(super) fn mapping<'a>(
    node: &'a Node,
    path: &Path<'_>,
    known: &[&str],
    problems: &mut Problems,
) -> Option<&'a [Entry]> {
    let entries = match &node.value {
        Value::Map(entries) => entries.as_slice(),
        Value::Null => &[],
        _ => {
            let what = format!("is {}; write a mapping of keys to values", node.kind());
            problems.add(node.place, path, what);
            return None;
        }
    };
    for Entry { place, key, .. } in entries {
        if known.contains(&key.as_str()) {
            continue;
        }
        let advice = match did_you_mean(key, known.iter().copied()) {
            Some(close) => format!("did you mean {close}?"),
            None if known.contains(&"defaults") && Settings::KEYS.contains(&key.as_str()) => {
                format!("{key} belongs under defaults or under a group")
            }
            None => format!("the keys here are {}", known.join(", ")),
        };
        problems.add(*place, path.key(key), format!("unknown key; {advice}"));
    }
    Some(entries)
}

/// The value of one key.
pub(super) fn get<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Node> {
    entries
        .iter()
        .find(|entry| entry.key == key)
        .map(|entry| &entry.node)
}

/// The items of a list; nothing counts as an empty one.
pub(super) fn list<'a>(node: &'a Node, path: &Path<'_>, problems: &mut Problems) -> &'a [Node] {
    match &node.value {
        Value::List(items) => items,
        Value::Null => &[],
        _ => {
            let what = format!("is {}; write a list: [..]", node.kind());
            problems.add(node.place, path, what);
            &[]
        }
    }
}

/// A single value.
pub(super) fn text<'a>(
    node: &'a Node,
    path: &Path<'_>,
    problems: &mut Problems,
) -> Option<&'a str> {
    if let Value::Text(text) = &node.value {
        return Some(text);
    }
    problems.add(
        node.place,
        path,
        format!("is {}; write a single value", node.kind()),
    );
    None
}

/// One of some words.
pub(super) fn word<T: Copy>(
    node: &Node,
    path: &Path<'_>,
    words: &[(&str, T)],
    problems: &mut Problems,
) -> Option<T> {
    let text = text(node, path, problems)?;
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
        return Some(*meaning);
    }
    let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let advice = match did_you_mean(text, all.iter().copied()) {
        Some(close) => format!("did you mean {close}?"),
        None => format!("write one of {}", all.join(", ")),
    };
    problems.add(node.place, path, format!("{text:?} is not known; {advice}"));
    None
}

/// A whole number.
pub(super) fn number<T: FromStr>(
    node: &Node,
    path: &Path<'_>,
    problems: &mut Problems,
) -> Option<T> {
    let text = text(node, path, problems)?;
    let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    if number.is_none() {
        let what = if digits {
            format!("{text} is too large")
        } else {
            format!("{text:?} is no whole number; write digits alone")
        };
        problems.add(node.place, path, what);
    }
    number
}

/// A value with the place that it was set at.
#[derive(Clone, Debug)]
pub(super) struct Set<T> {
    pub(super) value: T,
    pub(super) place: Place,
    /// The key's path.
    pub(super) path: String,
    /// How special the section is that it stands in: 0 are the defaults, 1 the group, more its overrides.
    pub(super) rank: usize,
}
