//! The agent's configuration. Every key is described in docs/agent.md.

mod check;

use std::{collections::HashMap, fs, net::SocketAddr, ops::RangeInclusive, path, time::Duration};

use probe_common::siphash::Key;

use super::{
    Errors, Place, duration,
    problem::{Path, Problems},
    read_interfaces, read_keys,
    section::{get, list, mapping, text, word},
    yaml::{self, Entry, Node, Value},
};
use crate::{checks::Check, health, kernel::Want, recipient::Name, reflector::Places};

/// The name of the agent's own beats.
pub const OWN: &str = "agent";

/// What an agent's configuration file says.
#[derive(Debug)]
pub struct Agent {
    /// The current and the previous key of the fleet; twice the current one where there is no previous one.
    pub keys: [Key; 2],
    /// Whether there is a key at all; without, `keys` are the all-zero key.
    pub keyed: bool,
    /// This host's name in its beats.
    pub host: String,
    /// Where pings are answered; `None`: nowhere.
    pub reflect: Option<Places>,
    /// Where beats go.
    pub monitors: Vec<Name>,
    /// Whether beats ask for acks.
    pub ack: bool,
    /// Time between two beats of a service.
    pub beat_interval: Duration,
    /// The session timeout that beats ask for; zero: the monitor's own.
    pub session: Duration,
    /// In the order of the file.
    pub services: Vec<Service>,
}

/// A service that beats while it works.
#[derive(Debug)]
pub struct Service {
    /// Its name in its beats.
    pub name: String,
    /// What tells whether it works.
    pub check: Check,
    /// Between two checks.
    pub interval: Duration,
    /// A check that takes longer has failed.
    pub timeout: Duration,
}

const TOP_KEYS: [&str; 8] = [
    "keys",
    "host",
    "reflect",
    "monitors",
    "ack",
    "beat_interval",
    "session_timeout",
    "services",
];
const REFLECT_KEYS: [&str; 3] = ["listen", "xdp", "xdp_mode"];
const SERVICE_KEYS: [&str; 4] = ["name", "check", "interval", "timeout"];

const WEEK: Duration = Duration::from_hours(7 * 24);
const SESSIONS: RangeInclusive<Duration> = Duration::from_millis(100)..=WEEK;
const BEAT_INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=WEEK;
const CHECK_INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=WEEK;
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(1);

const BEAT_INTERVAL: Duration = Duration::from_secs(5);
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(2);

const SWITCH: [(&str, bool); 4] = [
    ("true", true),
    ("false", false),
    ("on", true),
    ("off", false),
];
const XDP_MODES: [(&str, Want); 3] = [
    ("auto", Want::Auto),
    ("native", Want::Native),
    ("generic", Want::Generic),
];

/// Reads an agent's configuration file and the key files that it names.
///
/// # Errors
///
/// All that is wrong with it, a line each.
pub fn load(file: &path::Path) -> Result<Agent, Errors> {
    let mut problems = Problems::new(file);
    let folder = file.parent().unwrap_or(path::Path::new(""));
    let agent = match fs::read(file) {
        Ok(text) => parse(&text, folder, &mut problems),
        Err(error) => {
            let what = format!("cannot read the configuration: {error}");
            problems.add(Place::default(), Path::Top, what);
            None
        }
    };
    match agent {
        Some(agent) if problems.len() == 0 => Ok(agent),
        _ => Err(problems.into_errors()),
    }
}

/// Reads a configuration whose file names are relative to `folder`. It can be relied on only if there are no problems.
fn parse(source: &[u8], folder: &path::Path, problems: &mut Problems) -> Option<Agent> {
    let top = yaml::parse(source, problems)?;
    let entries = mapping(&top, &Path::Top, &TOP_KEYS, problems)?;
    let keys = get(entries, "keys").and_then(|node| read_keys(node, folder, problems));
    let host = get(entries, "host").and_then(|node| filled(node, &Path::Top.key("host"), problems));
    let reflect = match get(entries, "reflect") {
        Some(node) => read_reflect(node, &Path::Top.key("reflect"), problems),
        None => Some(Places::default()),
    };
    let ack = get(entries, "ack")
        .and_then(|node| word(node, &Path::Top.key("ack"), &SWITCH, problems))
        .unwrap_or(true);
    let session = time(entries, &Path::Top, "session_timeout", &SESSIONS, problems);
    let beats = BEAT_INTERVALS.start().to_owned()..=session.unwrap_or(WEEK);
    let beat_interval = time(entries, &Path::Top, "beat_interval", &beats, problems)
        .or(session.map(|session| session / 3))
        .unwrap_or(BEAT_INTERVAL);
    let monitors = if let Some(node) = get(entries, "monitors") {
        read_monitors(node, &Path::Top.key("monitors"), problems)
    } else {
        let place = top.place.max(Place { line: 1, column: 1 });
        let what = "is missing; write a list of addresses and names";
        problems.add(place, "monitors", what);
        Vec::new()
    };
    let services = get(entries, "services").map(|node| {
        let path = Path::Top.key("services");
        read_services(node, &path, folder, problems)
    });
    Some(Agent {
        keys: keys.unwrap_or_default(),
        keyed: keys.is_some(),
        host: host.map_or_else(health::host_name, Into::into),
        reflect,
        monitors,
        ack,
        beat_interval,
        session: session.unwrap_or_default(),
        services: services.unwrap_or_default(),
    })
}

fn read_reflect(node: &Node, path: &Path<'_>, problems: &mut Problems) -> Option<Places> {
    if matches!(node.value, Value::Text(_)) {
        let on = word(node, path, &SWITCH, problems)?;
        return on.then(Places::default);
    }
    let entries = mapping(node, path, &REFLECT_KEYS, problems)?;
    let listen = get(entries, "listen").map(|node| {
        let path = path.key("listen");
        let items = list(node, &path, problems).iter().enumerate();
        items
            .filter_map(|(index, item)| read_address(item, &path.item(index), problems))
            .collect()
    });
    let xdp = get(entries, "xdp").map(|node| read_interfaces(node, &path.key("xdp"), problems));
    let xdp_mode = get(entries, "xdp_mode")
        .and_then(|node| word(node, &path.key("xdp_mode"), &XDP_MODES, problems));
    Some(Places {
        listen: listen.unwrap_or_default(),
        xdp: xdp.unwrap_or_default(),
        xdp_mode: xdp_mode.unwrap_or_default(),
    })
}

fn read_address(node: &Node, path: &Path<'_>, problems: &mut Problems) -> Option<SocketAddr> {
    let written = text(node, path, problems)?;
    let address = written.parse().ok();
    if address.is_none() {
        let what =
            format!("{written:?} is no address with a port; write 0.0.0.0:4862 or \"[::]:4862\"");
        problems.add(node.place, path, what);
    }
    address
}

fn read_monitors(node: &Node, path: &Path<'_>, problems: &mut Problems) -> Vec<Name> {
    let mut monitors: Vec<Name> = Vec::new();
    let items = list(node, path, problems);
    if items.is_empty() && matches!(node.value, Value::Null | Value::List(_)) {
        problems.add(node.place, path, "names no monitor; write at least one");
    }
    for (index, item) in items.iter().enumerate() {
        let path = path.item(index);
        let Some(written) = text(item, &path, problems) else {
            continue;
        };
        match Name::parse(written) {
            Ok(name) if monitors.iter().any(|known| known.is_same(&name)) => {
                let what = format!("{written} is there twice; leave one out");
                problems.add(item.place, path, what);
            }
            Ok(name) => monitors.push(name),
            Err(what) => problems.add(item.place, path, what),
        }
    }
    monitors
}

fn read_services(
    node: &Node,
    path: &Path<'_>,
    folder: &path::Path,
    problems: &mut Problems,
) -> Vec<Service> {
    let mut names = HashMap::new();
    let items = list(node, path, problems).iter().enumerate();
    items
        .filter_map(|(index, item)| {
            read_service(item, &path.item(index), folder, &mut names, problems)
        })
        .collect()
}

fn read_service<'a>(
    node: &'a Node,
    path: &Path<'_>,
    folder: &path::Path,
    names: &mut HashMap<&'a str, Place>,
    problems: &mut Problems,
) -> Option<Service> {
    let entries = mapping(node, path, &SERVICE_KEYS, problems)?;
    let name = read_name(node, entries, &path.key("name"), names, problems);
    let check_path = path.key("check");
    let check = if let Some(node) = get(entries, "check") {
        check::read(node, &check_path, folder, problems)
    } else {
        let what = "is missing; write what tells that the service works: {systemd: nginx.service}";
        problems.add(node.place, check_path, what);
        None
    };
    let interval = time(entries, path, "interval", &CHECK_INTERVALS, problems);
    let timeout = time(entries, path, "timeout", &TIMEOUTS, problems);
    Some(Service {
        name: name?.to_owned(),
        check: check?,
        interval: interval.unwrap_or(CHECK_INTERVAL),
        timeout: timeout.unwrap_or(TIMEOUT),
    })
}

fn read_name<'a>(
    node: &Node,
    entries: &'a [Entry],
    path: &Path<'_>,
    names: &mut HashMap<&'a str, Place>,
    problems: &mut Problems,
) -> Option<&'a str> {
    let Some(name_node) = get(entries, "name") else {
        problems.add(node.place, path, "is missing; a service needs a name");
        return None;
    };
    let name = filled(name_node, path, problems)?;
    let what = if name == OWN {
        format!("{OWN} is the name of the agent's own beats; choose another")
    } else if let Some(&first) = names.get(name) {
        let first = problems.name(first);
        format!("a service {name:?} is there already at {first}; choose another name")
    } else {
        names.insert(name, name_node.place);
        return Some(name);
    };
    problems.add(name_node.place, path, what);
    None
}

/// A single value that is not empty.
fn filled<'a>(node: &'a Node, path: &Path<'_>, problems: &mut Problems) -> Option<&'a str> {
    let text = text(node, path, problems)?;
    if text.trim().is_empty() {
        problems.add(node.place, path, "is empty; write a name");
        return None;
    }
    Some(text)
}

/// A duration within limits.
fn time(
    entries: &[Entry],
    path: &Path<'_>,
    key: &str,
    range: &RangeInclusive<Duration>,
    problems: &mut Problems,
) -> Option<Duration> {
    let node = get(entries, key)?;
    let path = path.key(key);
    duration::read_in(node, &path, range, problems)
}

#[cfg(test)]
mod tests;
