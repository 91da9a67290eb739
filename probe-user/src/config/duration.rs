//! Durations in the file.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    problem::{Path, Problems},
    section::text,
    yaml::Node,
};
use crate::written::duration::{parse, show};

/// Reads a duration.
pub(super) fn read(node: &Node, path: &Path<'_>, problems: &mut Problems) -> Option<Duration> {
    let text = text(node, path, problems)?;
    parse(text)
        .map_err(|what| problems.add(node.place, path, what))
        .ok()
}

/// Reads a duration that must lie in a range.
pub(super) fn read_in(
    node: &Node,
    path: &Path<'_>,
    range: &RangeInclusive<Duration>,
    problems: &mut Problems,
) -> Option<Duration> {
    let time = read(node, path, problems)?;
    if range.contains(&time) {
        return Some(time);
    }
    let what = format!(
        "{} is out of range; it must be {} to {}",
        show(time),
        show(*range.start()),
        show(*range.end())
    );
    problems.add(node.place, path, what);
    None
}
