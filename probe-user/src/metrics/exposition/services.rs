//! The families with a sample a service.

use std::io::{self, Write};

use super::{Value, by_state, further_labels, text::Text, up_to_target};
use crate::{
    core::verdict::State,
    fleet::Detail,
    snapshot::{ServiceReading, Snapshot},
};

/// A family with a sample a service.
struct PerService {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&ServiceReading<'_>) -> Option<Value>,
}

/// Series of a service that has been heard.
pub const SERIES_PER_SERVICE: usize = PER_SERVICE.len();

const PER_SERVICE: [PerService; 6] = [
    PerService {
        name: "heartprobe_service_up",
        kind: "gauge",
        help: "Whether the service lives: its beats come.",
        value: |reading| Some(Value::Number(reading.state.is_up().into())),
    },
    PerService {
        name: "heartprobe_service_state",
        kind: "gauge",
        help: "The state of its session: 0 pending, 1 up, 3 critical, 4 dead, 6 unknown.",
        value: |reading| Some(Value::Number(reading.state as u32)),
    },
    PerService {
        name: "heartprobe_service_beats_total",
        kind: "counter",
        help: "Beats that came, each counted once.",
        value: |reading| Some(Value::Number(reading.beats())),
    },
    PerService {
        name: "heartprobe_service_beats_lost_total",
        kind: "counter",
        help: "Beats that never came, though later ones did.",
        value: |reading| Some(Value::Number(reading.lost)),
    },
    PerService {
        name: "heartprobe_service_restarts_total",
        kind: "counter",
        help: "How often the sender of its beats began anew.",
        value: |reading| Some(Value::Number(reading.restarts)),
    },
    PerService {
        name: "heartprobe_service_beat_age_seconds",
        kind: "gauge",
        help: "How long ago the newest beat came.",
        value: |reading| reading.beat_age().map(Value::Seconds),
    },
];

/// Writes every service, and how many each group has in each state.
pub(super) fn write(text: &mut Text<'_, impl Write>, snapshot: &Snapshot<'_>) -> io::Result<()> {
    let groups = &snapshot.fleet.groups;
    let after: Vec<_> = groups.iter().map(further_labels).collect();
    for family in &PER_SERVICE {
        text.family(family.name, family.kind, family.help);
        let before = up_to_target(family.name, groups);
        for reading in snapshot
            .services()
            .filter(|reading| is_shown(snapshot, reading))
        {
            let Some(value) = (family.value)(&reading) else {
                continue;
            };
            let group = reading.group as usize;
            text.push(&before[group]);
            text.target(reading.target.label());
            text.push(b"\",service=\"");
            text.escaped(&reading.service.name);
            text.push(&after[group]);
            text.value(&value);
            text.end()?;
        }
    }
    let name = "heartprobe_services";
    text.family(name, "gauge", "Services by group and state.");
    by_state(text, name, &snapshot.fleet, &snapshot.services_by_state())
}

/// Whether a service has series of its own, by the same rule as targets.
fn is_shown(snapshot: &Snapshot<'_>, reading: &ServiceReading<'_>) -> bool {
    match snapshot.fleet.detail {
        Detail::All => true,
        Detail::Exceptions => !matches!(reading.state, State::Up | State::Pending),
        Detail::Groups => false,
    }
}
