//! How targets are probed and judged: the keys that `defaults`, groups and overrides share.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use probe_common::wire::REFLECTOR_PORT;

use super::{
    duration,
    problem::{Path, Problems},
    section::{Set, get, number, text, word},
    services::{self, Named},
    yaml::{Entry, Node, Value},
};
use crate::{
    core::{
        confirm::MOST_IN_FLIGHT,
        verdict::{Overload, Policy},
    },
    fleet::Promise,
    written::duration::show,
};

/// The keys that one section sets.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    interval: Option<Set<Duration>>,
    timeout: Option<Set<Duration>>,
    late_after: Option<Set<Duration>>,
    critical_after: Option<Set<u32>>,
    dead_after: Option<Set<u32>>,
    up_after: Option<Set<u32>>,
    port: Option<Set<u16>>,
    overload_cpu: Option<Set<u16>>,
    overload_memory: Option<Set<u16>>,
    pings: Option<Set<bool>>,
    services: Option<Set<Arc<[Named]>>>,
    session_timeout: Option<Set<Duration>>,
    beat_interval: Option<Set<Duration>>,
    confirm_interval: Option<Set<Option<Duration>>>,
    /// Whether a value of theirs is a problem already, so that how they go together says nothing.
    broken: bool,
}

/// All that a target needs, from its sections and the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Effective {
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) late_after: Duration,
    pub(super) policy: Policy,
    pub(super) confirm_interval: Option<Duration>,
    pub(super) port: u16,
    pub(super) pinged: bool,
    pub(super) services: Arc<[Promise]>,
}

const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(1);
const LATE_AFTER: Duration = Duration::from_millis(250);

const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(1);
/// The receiver counts nanoseconds in 32 bits: just over 4 s.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(4);
const LATES: RangeInclusive<Duration> = Duration::from_micros(1)..=Duration::from_secs(4);

impl Settings {
    /// The names of the keys.
    pub(super) const KEYS: [&str; 14] = [
        "interval",
        "timeout",
        "late_after",
        "critical_after",
        "dead_after",
        "up_after",
        "port",
        "overload_cpu",
        "overload_memory",
        "pings",
        "services",
        "session_timeout",
        "beat_interval",
        "confirm_interval",
    ];

    /// Reads the keys of a section; `rank` tells how special it is.
    pub(super) fn read(
        entries: &[Entry],
        path: &Path<'_>,
        rank: usize,
        problems: &mut Problems,
    ) -> Self {
        let before = problems.len();
        let mut section = Section {
            entries,
            path,
            rank,
            problems,
        };
        let mut read = Self {
            interval: section.time("interval", &INTERVALS),
            timeout: section.time("timeout", &TIMEOUTS),
            late_after: section.time("late_after", &LATES),
            critical_after: section.count("critical_after", &(2..=100)),
            dead_after: section.count("dead_after", &(2..=1000)),
            up_after: section.count("up_after", &(1..=100)),
            port: section.port(),
            overload_cpu: section.percent("overload_cpu"),
            overload_memory: section.percent("overload_memory"),
            pings: section.switch("pings"),
            services: section.services(),
            session_timeout: section.time("session_timeout", &services::TIMEOUTS),
            beat_interval: section.time("beat_interval", &services::INTERVALS),
            confirm_interval: section.time_or_off("confirm_interval", &INTERVALS),
            broken: false,
        };
        read.broken = problems.len() > before;
        read
    }

    /// These settings, and where they are silent, those of `below`.
    pub(super) fn over(self, below: &Self) -> Self {
        Self {
            interval: self.interval.or_else(|| below.interval.clone()),
            timeout: self.timeout.or_else(|| below.timeout.clone()),
            late_after: self.late_after.or_else(|| below.late_after.clone()),
            critical_after: self.critical_after.or_else(|| below.critical_after.clone()),
            dead_after: self.dead_after.or_else(|| below.dead_after.clone()),
            up_after: self.up_after.or_else(|| below.up_after.clone()),
            port: self.port.or_else(|| below.port.clone()),
            overload_cpu: self.overload_cpu.or_else(|| below.overload_cpu.clone()),
            overload_memory: self
                .overload_memory
                .or_else(|| below.overload_memory.clone()),
            pings: self.pings.or_else(|| below.pings.clone()),
            services: self.services.or_else(|| below.services.clone()),
            session_timeout: self
                .session_timeout
                .or_else(|| below.session_timeout.clone()),
            beat_interval: self.beat_interval.or_else(|| below.beat_interval.clone()),
            confirm_interval: self
                .confirm_interval
                .or_else(|| below.confirm_interval.clone()),
            broken: self.broken || below.broken,
        }
    }

    /// What holds for a target. Values that do not go together are a problem of the more special section.
    pub(super) fn effective(&self, problems: &mut Problems) -> Effective {
        let usual = Policy::default();
        let interval = value(self.interval.as_ref(), INTERVAL);
        let timeout = value(self.timeout.as_ref(), TIMEOUT);
        // Half the timeout where the default would be past it.
        let late_after = self.late_after.as_ref().map_or_else(
            || {
                if timeout < LATE_AFTER {
                    timeout / 2
                } else {
                    LATE_AFTER
                }
            },
            |set| set.value,
        );
        let critical_after = value(
            self.critical_after.as_ref(),
            u32::from(usual.critical_after),
        );
        let dead_after = value(self.dead_after.as_ref(), usual.dead_after);
        let up_after = value(self.up_after.as_ref(), u32::from(usual.up_after));

        let effective = Effective {
            interval,
            timeout,
            late_after,
            policy: Policy {
                critical_after: critical_after as u8,
                dead_after,
                up_after: up_after as u8,
                overload: Overload {
                    cpu: value(self.overload_cpu.as_ref(), usual.overload.cpu),
                    memory: value(self.overload_memory.as_ref(), usual.overload.memory),
                },
            },
            confirm_interval: value(self.confirm_interval.as_ref(), None),
            port: value(self.port.as_ref(), REFLECTOR_PORT),
            pinged: value(self.pings.as_ref(), true),
            services: self.promises(critical_after as u8, problems),
        };
        if self.broken {
            return effective;
        }
        if timeout > interval {
            let what = format!(
                "interval {} is shorter than timeout {}; make the timeout {} or less, or the interval longer",
                show(interval),
                show(timeout),
                show(interval)
            );
            blame(
                self.interval.as_ref(),
                self.timeout.as_ref(),
                &what,
                problems,
            );
        }
        if late_after > timeout {
            let what = format!(
                "late_after {} is longer than timeout {}: nothing would ever be late; make late_after {} or less",
                show(late_after),
                show(timeout),
                show(timeout)
            );
            blame(
                self.late_after.as_ref(),
                self.timeout.as_ref(),
                &what,
                problems,
            );
        }
        if dead_after < critical_after {
            let what = format!(
                "dead_after {dead_after} is less than critical_after {critical_after}; make dead_after {critical_after} or more"
            );
            blame(
                self.dead_after.as_ref(),
                self.critical_after.as_ref(),
                &what,
                problems,
            );
        }
        self.check_confirmation(&effective, problems);
        effective
    }

    fn check_confirmation(&self, effective: &Effective, problems: &mut Problems) {
        let Some(confirm) = effective.confirm_interval else {
            return;
        };
        let (interval, timeout) = (effective.interval, effective.timeout);
        if confirm > interval {
            let what = format!(
                "confirm_interval {} is longer than interval {}: nothing would be known sooner; make it {} or less",
                show(confirm),
                show(interval),
                show(interval)
            );
            blame(
                self.confirm_interval.as_ref(),
                self.interval.as_ref(),
                &what,
                problems,
            );
        }
        let in_flight = timeout.as_nanos().div_ceil(confirm.as_nanos());
        if in_flight.min(u128::from(effective.policy.dead_after)) > MOST_IN_FLIGHT.into() {
            let what = format!(
                "confirm_interval {} is too short for timeout {}: more than {MOST_IN_FLIGHT} pings of a target would be out; make it {} or longer",
                show(confirm),
                show(timeout),
                show(timeout / MOST_IN_FLIGHT)
            );
            blame(
                self.confirm_interval.as_ref(),
                self.timeout.as_ref(),
                &what,
                problems,
            );
        }
    }
}

impl Settings {
    /// The services that a target has, each with its times.
    fn promises(&self, critical_after: u8, problems: &mut Problems) -> Arc<[Promise]> {
        let services = self.services.iter().flat_map(|set| set.value.iter());
        let timeout = self.session_timeout.as_ref().map(|set| set.value);
        let interval = self.beat_interval.as_ref().map(|set| set.value);
        services
            .map(|named| named.promise(timeout, interval, critical_after, problems))
            .collect()
    }
}

fn value<T: Copy>(set: Option<&Set<T>>, default: T) -> T {
    set.map_or(default, |set| set.value)
}

/// Puts a problem where the more special of two values was set.
fn blame<T, U>(one: Option<&Set<T>>, other: Option<&Set<U>>, what: &str, problems: &mut Problems) {
    let one = one.map(|set| (set.rank, set.place, &set.path));
    let other = other.map(|set| (set.rank, set.place, &set.path));
    if let Some((_, place, path)) = one.max(other) {
        problems.add(place, path, what);
    }
}

/// A section that keys are read from.
struct Section<'a> {
    entries: &'a [Entry],
    path: &'a Path<'a>,
    rank: usize,
    problems: &'a mut Problems,
}

impl Section<'_> {
    fn time(&mut self, key: &str, range: &RangeInclusive<Duration>) -> Option<Set<Duration>> {
        let node = get(self.entries, key)?;
        let time = duration::read_in(node, &self.path.key(key), range, self.problems)?;
        Some(self.set(node, key, time))
    }

    fn time_or_off(
        &mut self,
        key: &str,
        range: &RangeInclusive<Duration>,
    ) -> Option<Set<Option<Duration>>> {
        let node = get(self.entries, key)?;
        if matches!(&node.value, Value::Text(text) if text == "off") {
            return Some(self.set(node, key, None));
        }
        let time = self.time(key, range)?;
        Some(self.set(node, key, Some(time.value)))
    }

    fn count(&mut self, key: &str, range: &RangeInclusive<u32>) -> Option<Set<u32>> {
        let node = get(self.entries, key)?;
        let count = number(node, &self.path.key(key), self.problems)?;
        if !range.contains(&count) {
            let (least, most) = (range.start(), range.end());
            let why = match key {
                "critical_after" if count < 2 => {
                    "one single miss never changes a verdict, so it must be 2 to 100".to_owned()
                }
                _ => format!("it must be {least} to {most}"),
            };
            let what = format!("{count} is out of range; {why}");
            self.problems.add(node.place, self.path.key(key), what);
            return None;
        }
        Some(self.set(node, key, count))
    }

    fn port(&mut self) -> Option<Set<u16>> {
        let node = get(self.entries, "port")?;
        let port: u32 = number(node, &self.path.key("port"), self.problems)?;
        match u16::try_from(port) {
            Ok(port) if port > 0 => Some(self.set(node, "port", port)),
            _ => {
                let what = format!("{port} is no port; ports are 1 to 65535");
                self.problems.add(node.place, self.path.key("port"), what);
                None
            }
        }
    }

    /// A share, in hundredths of a percent.
    fn percent(&mut self, key: &str) -> Option<Set<u16>> {
        let node = get(self.entries, key)?;
        let path = self.path.key(key);
        let written = text(node, &path, self.problems)?;
        let share = written.strip_suffix('%').and_then(|number| {
            let plain = number.bytes().all(|c| c.is_ascii_digit() || c == b'.');
            let number: f64 = number.parse().ok().filter(|_| plain)?;
            (number <= 100.0).then(|| (number * 100.0).round() as u16)
        });
        let Some(share) = share else {
            let what = format!("{written:?} is no share; write 0% to 100%");
            self.problems.add(node.place, path, what);
            return None;
        };
        Some(self.set(node, key, share))
    }

    fn switch(&mut self, key: &str) -> Option<Set<bool>> {
        let node = get(self.entries, key)?;
        let words = [("on", true), ("off", false)];
        let is_on = word(node, &self.path.key(key), &words, self.problems)?;
        Some(self.set(node, key, is_on))
    }

    fn services(&mut self) -> Option<Set<Arc<[Named]>>> {
        let key = "services";
        let node = get(self.entries, key)?;
        let list = services::read_list(node, &self.path.key(key), self.problems);
        Some(self.set(node, key, list))
    }

    fn set<T>(&self, node: &Node, key: &str, value: T) -> Set<T> {
        Set {
            value,
            place: node.place,
            path: self.path.key(key).to_string(),
            rank: self.rank,
        }
    }
}
