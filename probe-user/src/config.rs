//! The configuration: from the YAML file to what the daemon needs. Every key is described in docs/configuration.md.
//!
//! The whole file is read before anything is said, so that one look shows all that is wrong with it.

pub mod agent;
mod duplicates;
mod duration;
mod groups;
mod overrides;
mod problem;
mod section;
mod services;
mod settings;
mod targets;
mod transmit;
mod yaml;

use std::{
    collections::HashSet,
    fmt, fs,
    net::{IpAddr, SocketAddr},
    path,
};

use probe_common::{siphash::Key, wire::REFLECTOR_PORT};

use self::{
    groups::Groups,
    problem::{Path, Problems},
    section::{get, list, mapping, text, word},
    settings::Settings,
    yaml::{Entry, Node, Value},
};
pub use self::{
    problem::{Errors, Place},
    services::Beats,
    transmit::{Engine, Transmit},
};
use crate::{
    fleet::{Class, Detail, Fleet, Group, Target},
    kernel::Want,
    keys,
};

/// What a configuration file says.
#[derive(Debug)]
pub struct Config {
    /// How pings leave.
    pub transmit: Transmit,
    /// How pongs are received in the kernel; `None`: by the sockets alone.
    pub xdp: Option<Want>,
    /// The only interfaces that get XDP; `None`: those that targets are routed through.
    pub interfaces: Option<Vec<String>>,
    /// The current and the previous key of the fleet; twice the current one where there is no previous one.
    pub keys: [Key; 2],
    /// Whether there is a key at all; without, `keys` are the all-zero key.
    pub keyed: bool,
    /// How beats are heard.
    pub beats: Beats,
    /// In the order of the file.
    pub groups: Vec<Group>,
    /// Each group under each of its policies.
    pub classes: Vec<Class>,
    /// Which targets have series of their own; `None`: as suits their number.
    pub detail: Option<Detail>,
    /// In the order of the file, blocks spelt out.
    pub targets: Vec<Wanted>,
}

/// A target as configured: a name is not an address yet.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The value of the `target` label; `None` where it follows from address and port.
    pub name: Option<Box<str>>,
    /// Where it is.
    pub host: Host,
    /// Its UDP port.
    pub port: u16,
    /// Index into [`Config::classes`].
    pub class: u16,
    /// Where the file names it, or the block it is in.
    pub place: Place,
}

/// A host by its address or its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A DNS name, in lower case.
    Name(Box<str>),
}

impl Wanted {
    /// The target as its label shows it.
    fn show(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| match (&self.name, &self.host) {
            (Some(name), _) | (None, Host::Name(name)) => f.write_str(name),
            (None, Host::Ip(ip)) if self.port == REFLECTOR_PORT => write!(f, "{ip}"),
            (None, Host::Ip(ip)) => write!(f, "{}", SocketAddr::new(*ip, self.port)),
        })
    }
}

/// The keys at the top of the file.
const TOP_KEYS: [&str; 12] = [
    "keys",
    "engine",
    "pumps",
    "source_ports",
    "source_port",
    "dscp",
    "xdp",
    "interfaces",
    "services",
    "metrics",
    "defaults",
    "groups",
];
/// The keys of `metrics`.
const METRICS_KEYS: [&str; 1] = ["detail"];
/// The keys of `keys`.
const KEY_KEYS: [&str; 2] = ["current", "previous"];

/// Reads a configuration file and the key files that it names.
///
/// # Errors
///
/// All that is wrong with it, a line each.
pub fn load(path: &path::Path) -> Result<Config, Errors> {
    let mut problems = Problems::new(path);
    let config = match fs::read(path) {
        Ok(text) => {
            let folder = path.parent().unwrap_or(path::Path::new(""));
            parse(&text, folder, &mut problems)
        }
        Err(error) => {
            let what = format!("cannot read the configuration: {error}");
            problems.add(Place::default(), Path::Top, what);
            None
        }
    };
    match config {
        Some(config) if problems.len() == 0 => Ok(config),
        _ => Err(problems.into_errors()),
    }
}

/// Reads a configuration whose key files are relative to `folder`. It can be relied on only if there are no problems.
fn parse(text: &[u8], folder: &path::Path, problems: &mut Problems) -> Option<Config> {
    let top = yaml::parse(text, problems)?;
    let entries = mapping(&top, &Path::Top, &TOP_KEYS, problems)?;
    let xdp = get(entries, "xdp")
        .and_then(|node| word(node, &Path::Top.key("xdp"), &XDP_WORDS, problems))
        .unwrap_or(Some(Want::Auto));
    let transmit = Transmit::read(entries, xdp.is_some(), problems);
    let interfaces = get(entries, "interfaces")
        .map(|node| read_interfaces(node, &Path::Top.key("interfaces"), problems));
    let detail = get(entries, "metrics").and_then(|node| read_detail(node, problems));
    let beats =
        get(entries, "services").map_or_else(Beats::default, |node| Beats::read(node, problems));
    let keys = get(entries, "keys").and_then(|node| read_keys(node, folder, problems));
    let defaults = get(entries, "defaults").map_or_else(Settings::default, |node| {
        let path = Path::Top.key("defaults");
        let entries = mapping(node, &path, &Settings::KEYS, problems).unwrap_or_default();
        Settings::read(entries, &path, 0, problems)
    });
    let mut groups = Groups::default();
    match get(entries, "groups") {
        Some(node) => groups.read(node, &Path::Top.key("groups"), &defaults, problems),
        None => problems.add(
            top.place.max(Place { line: 1, column: 1 }),
            "groups",
            "is missing; a configuration needs at least one group of targets",
        ),
    }
    duplicates::find_services(&groups, problems);
    Some(Config {
        transmit,
        xdp,
        interfaces,
        keys: keys.unwrap_or_default(),
        keyed: keys.is_some(),
        beats,
        groups: groups.list,
        classes: groups.classes,
        detail,
        targets: groups.targets,
    })
}

const XDP_WORDS: [(&str, Option<Want>); 4] = [
    ("auto", Some(Want::Auto)),
    ("native", Some(Want::Native)),
    ("generic", Some(Want::Generic)),
    ("off", None),
];

/// The interfaces that XDP is to run on.
fn read_interfaces(node: &Node, path: &Path<'_>, problems: &mut Problems) -> Vec<String> {
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
    names
}

/// Which targets have series of their own.
fn read_detail(node: &Node, problems: &mut Problems) -> Option<Detail> {
    let path = Path::Top.key("metrics");
    let entries = mapping(node, &path, &METRICS_KEYS, problems)?;
    let detail = get(entries, "detail")?;
    word(detail, &path.key("detail"), &Detail::WORDS, problems)
}

/// The current and the previous key.
fn read_keys(node: &Node, folder: &path::Path, problems: &mut Problems) -> Option<[Key; 2]> {
    let path = Path::Top.key("keys");
    let entries = mapping(node, &path, &KEY_KEYS, problems)?;
    let [current, previous] = KEY_KEYS.map(|key| {
        let node = get(entries, key)?;
        let path = path.key(key);
        let file = text(node, &path, problems)?;
        keys::read(&folder.join(file))
            .map_err(|error| problems.add(node.place, path, error))
            .ok()
    });
    if get(entries, "current").is_none()
        && let Some(Entry { place, .. }) = entries.first()
    {
        problems.add(
            *place,
            path.key("current"),
            "is missing; the key that pings are sent with is the current one",
        );
    }
    let current = current?;
    Some([current, previous.unwrap_or(current)])
}

impl Config {
    /// The DNS names among the targets, in lower case, with the place that names them. A name that is there for several
    /// ports or groups comes as often; one that is not pinged is not looked up.
    pub fn names(&self) -> impl Iterator<Item = (&str, Place)> {
        let is_pinged = |target: &&Wanted| self.classes[usize::from(target.class)].pinged;
        let pinged = self.targets.iter().filter(is_pinged);
        pinged.filter_map(|target| match &target.host {
            Host::Name(name) => Some((&**name, target.place)),
            Host::Ip(_) => None,
        })
    }

    /// Which of its targets have series of their own.
    pub fn detail(&self) -> Detail {
        self.detail
            .unwrap_or_else(|| Detail::of(self.targets.len()))
    }

    /// How many services its targets have.
    pub fn services(&self) -> usize {
        let of_target = |target: &Wanted| self.classes[usize::from(target.class)].services.len();
        self.targets.iter().map(of_target).sum()
    }

    /// Makes a fleet of it, whose services are to be placed. `resolve` gives the address of a name, if it is known yet.
    pub fn fleet(self, resolve: impl Fn(&str) -> Option<IpAddr>) -> Fleet {
        let detail = self.detail();
        let targets = self.targets.into_iter().map(|wanted| {
            let ip = match &wanted.host {
                Host::Ip(ip) => Some(*ip),
                Host::Name(name) => resolve(name),
            };
            Some(Target {
                name: wanted.name,
                address: ip.map(|ip| SocketAddr::new(ip, wanted.port)),
                class: wanted.class,
            })
        });
        Fleet {
            detail,
            targets: targets.collect(),
            groups: self.groups,
            classes: self.classes,
            services: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
