//! What tells that a service works.

use std::{ops::RangeInclusive, path, time::Duration};

use super::{filled, time};
use crate::{
    checks::{Check, Command, File, Http, PidFile, Process, Systemd, Tcp},
    config::{
        problem::{Path, Problems},
        section::{get, list, mapping, text},
        yaml::{Entry, Node, Value},
    },
    written::address::{self, What},
};

/// The kinds of checks.
pub(super) const KINDS: [&str; 7] = [
    "systemd", "pid_file", "process", "tcp", "http", "command", "file",
];
/// The keys of `file`.
pub(super) const FILE_KEYS: [&str; 2] = ["path", "fresh"];

const FRESH: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(366 * 24);

/// Reads a check: one kind and what it is to look at.
pub(super) fn read(
    node: &Node,
    path: &Path<'_>,
    folder: &path::Path,
    problems: &mut Problems,
) -> Option<Check> {
    let entries = mapping(node, path, &KINDS, problems)?;
    let [Entry { key, node, .. }] = entries else {
        let what = format!("needs one of {}; a service has one check", KINDS.join(", "));
        problems.add(node.place, path, what);
        return None;
    };
    let path = path.key(key);
    let check = match key.as_str() {
        "command" => Check::Command(read_command(node, &path, problems)?),
        "file" => Check::File(read_file(node, &path, folder, problems)?),
        _ => {
            let written = filled(node, &path, problems)?;
            let read = match key.as_str() {
                "systemd" => Ok(Check::Systemd(Systemd {
                    unit: written.into(),
                })),
                "pid_file" => Ok(Check::PidFile(PidFile::new(folder.join(written)))),
                "process" => Ok(Check::Process(Process::new(written.into()))),
                "tcp" => read_tcp(written).map(Check::Tcp),
                "http" => Http::parse(written).map(Check::Http),
                // Told already.
                _ => return None,
            };
            read.map_err(|what| problems.add(node.place, path, what))
                .ok()?
        }
    };
    Some(check)
}

fn read_tcp(written: &str) -> Result<Tcp, String> {
    let parsed = address::parse(written)?;
    let host = match parsed.what {
        What::Ip(ip, _) => ip.to_string(),
        What::Name(name) => name.to_owned(),
        What::Block(_) => return Err(format!("{written} is a block; name one host")),
    };
    let port = parsed
        .port
        .ok_or_else(|| format!("{written} has no port; write HOST:PORT"))?;
    Ok(Tcp { host, port })
}

fn read_command(node: &Node, path: &Path<'_>, problems: &mut Problems) -> Option<Command> {
    if let Value::Text(line) = &node.value {
        let words = line.split_whitespace().collect::<Vec<_>>().join(", ");
        let what = format!("is a single value; no shell reads it, write a list: [{words}]");
        problems.add(node.place, path, what);
        return None;
    }
    let items = list(node, path, problems).iter().enumerate();
    let argv = items.map(|(index, item)| text(item, &path.item(index), problems).map(Into::into));
    let argv: Vec<String> = argv.collect::<Option<_>>()?;
    if argv.first().is_none_or(String::is_empty) {
        problems.add(
            node.place,
            path,
            "names no program; write [PROGRAM, ARGUMENTS..]",
        );
        return None;
    }
    Some(Command { argv })
}

fn read_file(
    node: &Node,
    path: &Path<'_>,
    folder: &path::Path,
    problems: &mut Problems,
) -> Option<File> {
    let entries = mapping(node, path, &FILE_KEYS, problems)?;
    for key in FILE_KEYS {
        if get(entries, key).is_none() {
            let what = "is missing; write {path: FILE, fresh: 10m}";
            problems.add(node.place, path.key(key), what);
        }
    }
    let fresh = time(entries, path, "fresh", &FRESH, problems);
    let file = filled(get(entries, "path")?, &path.key("path"), problems)?;
    Some(File::new(folder.join(file), fresh?))
}
