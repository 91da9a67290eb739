//! Services: which beats are expected, by target, and how the monitor hears them.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use probe_common::wire::BEAT_PORT;

use super::{
    Place, duration,
    problem::{Path, Problems},
    section::{get, list, mapping, number, text, word},
    yaml::{Node, Value},
};
use crate::{core::session::Terms, fleet::Promise, written::duration::show};

/// Of session timeouts.
pub(super) const TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_hours(7 * 24);
/// Between two beats.
pub(super) const INTERVALS: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_hours(7 * 24);

/// The keys of `services` at the top of the file.
pub(super) const TOP_KEYS: [&str; 3] = ["port", "auto", "auto_most"];
/// The keys of one service in a list.
pub(super) const KEYS: [&str; 3] = ["name", "session_timeout", "beat_interval"];

/// How many services are adopted at the most unless the configuration says otherwise.
const AUTO_MOST: u32 = 1000;
/// More than these it may not say: each has a row, and room is made for all at the start.
const MOST_AUTO_MOST: u32 = 1_000_000;

/// How beats are heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beats {
    /// The UDP port that they come to.
    pub port: u16,
    /// How many services that nobody configured are adopted at the most; 0: none.
    pub adopt: u32,
}

impl Default for Beats {
    fn default() -> Self {
        Self {
            port: BEAT_PORT,
            adopt: 0,
        }
    }
}

impl Beats {
    /// Reads `services` at the top of the file.
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Self {
        let path = Path::Top.key("services");
        let mut beats = Self::default();
        let Some(entries) = mapping(node, &path, &TOP_KEYS, problems) else {
            return beats;
        };
        if let Some(node) = get(entries, "port") {
            let path = path.key("port");
            match number::<u32>(node, &path, problems).map(u16::try_from) {
                Some(Ok(port)) if port > 0 => beats.port = port,
                Some(_) => problems.add(node.place, path, "is no port; ports are 1 to 65535"),
                None => {}
            }
        }
        let auto = get(entries, "auto")
            .and_then(|node| word(node, &path.key("auto"), &BOOLEANS, problems))
            .unwrap_or(false);
        let mut most = AUTO_MOST;
        if let Some(node) = get(entries, "auto_most") {
            let path = path.key("auto_most");
            most = number(node, &path, problems).unwrap_or(most);
            if !(1..=MOST_AUTO_MOST).contains(&most) {
                let what = format!("{most} is out of range; it must be 1 to {MOST_AUTO_MOST}");
                problems.add(node.place, path, what);
            }
        }
        beats.adopt = if auto { most } else { 0 };
        beats
    }
}

const BOOLEANS: [(&str, bool); 2] = [("true", true), ("false", false)];

/// A service in a list, with what it sets itself.
#[derive(Clone, Debug)]
pub(super) struct Named {
    name: Arc<str>,
    place: Place,
    timeout: Option<Duration>,
    interval: Option<Duration>,
}

/// Reads a list of services: each a name, or a mapping with more.
pub(super) fn read_list(node: &Node, path: &Path<'_>, problems: &mut Problems) -> Arc<[Named]> {
    let mut services: Vec<Named> = Vec::new();
    for (index, item) in list(node, path, problems).iter().enumerate() {
        let path = path.item(index);
        let Some(named) = read_one(item, &path, problems) else {
            continue;
        };
        if named.name.trim().is_empty() {
            problems.add(item.place, path, "is empty; a service needs a name");
        } else if let Some(known) = services.iter().find(|known| known.name == named.name) {
            let what = format!(
                "a service {:?} is there already at {}; leave one out",
                named.name,
                problems.name(known.place)
            );
            problems.add(item.place, path, what);
        } else {
            services.push(named);
        }
    }
    services.into()
}

fn read_one(item: &Node, path: &Path<'_>, problems: &mut Problems) -> Option<Named> {
    let place = item.place;
    if !matches!(item.value, Value::Map(_)) {
        let name = text(item, path, problems)?.into();
        return Some(Named {
            name,
            place,
            timeout: None,
            interval: None,
        });
    }
    let entries = mapping(item, path, &KEYS, problems)?;
    let mut time = |key: &str, range: &RangeInclusive<Duration>| {
        duration::read_in(get(entries, key)?, &path.key(key), range, problems)
    };
    let timeout = time("session_timeout", &TIMEOUTS);
    let interval = time("beat_interval", &INTERVALS);
    let Some(name) = get(entries, "name") else {
        problems.add(
            place,
            path.key("name"),
            "is missing; a service needs a name",
        );
        return None;
    };
    let name = text(name, &path.key("name"), problems)?.into();
    Some(Named {
        name,
        place,
        timeout,
        interval,
    })
}

impl Named {
    /// The service where the sections around it set these times, and this many overdue beats make it critical.
    pub(super) fn promise(
        &self,
        timeout: Option<Duration>,
        interval: Option<Duration>,
        critical_after: u8,
        problems: &mut Problems,
    ) -> Promise {
        let timeout = self.timeout.or(timeout);
        // Whoever sets a timeout alone means beats that go with it.
        let interval = self
            .interval
            .or(interval.filter(|_| self.timeout.is_none()));
        if let (Some(timeout), Some(interval)) = (timeout, interval)
            && interval > timeout
        {
            let what = format!(
                "beat_interval {} of {} is longer than session_timeout {}: its session would end between two beats",
                show(interval),
                self.name,
                show(timeout)
            );
            problems.add(self.place, Path::Top.key("services"), what);
        }
        let nanos = |time: Option<Duration>| time.map_or(0, |time| time.as_nanos() as u64);
        Promise {
            name: self.name.clone(),
            terms: Terms {
                timeout: nanos(timeout),
                interval: nanos(interval),
                critical_after,
            },
        }
    }
}
