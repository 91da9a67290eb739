//! The text format of Prometheus (version 0.0.4), written straight from the snapshot.
//!
//! All samples of a family stand together, so the fleet is walked once a family; the text goes out a chunk at a time, and
//! nothing is kept for a target.

mod services;
mod text;

use std::{
    io::{self, Write},
    time::Duration,
};

use probe_common::{
    beat::BeatFate,
    maps::{Fate, Histogram, RTT_BOUNDS_NS},
};
use prometheus::{Encoder, TextEncoder};

use self::text::Text;
use super::vitals::Vitals;
use crate::{
    core::verdict::State,
    fleet::{Fleet, Group},
    snapshot::{Reading, Snapshot},
    tally::Received,
};

/// The `Content-Type` of what [`write`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A family with a sample a target.
struct PerTarget {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&Reading<'_>) -> Option<Value>,
}

pub use self::services::SERIES_PER_SERVICE;

/// Series of a target that nothing is wrong with, whose host tells its boot, its load and its time; a broken path has two more,
/// and services one.
pub const SERIES_PER_TARGET: usize = PER_TARGET.len() - 3;

/// Series of a group: targets, services and changes by state, and a histogram with its sum, its count and the bucket of all.
pub const SERIES_PER_GROUP: usize = 3 * State::ALL.len() + RTT_BOUNDS_NS.len() + 3;

enum Value {
    Number(u32),
    Ratio(f64),
    Seconds(Duration),
    /// In ns; either sign.
    Offset(i64),
}

impl<W: Write> Text<'_, W> {
    fn value(&mut self, value: &Value) {
        match value {
            Value::Number(number) => self.number(*number),
            Value::Ratio(ratio) => self.ratio(*ratio),
            Value::Seconds(time) => self.seconds(time.as_nanos() as u64),
            Value::Offset(nanos) => {
                if *nanos < 0 {
                    self.push(b"-");
                }
                self.seconds(nanos.unsigned_abs());
            }
        }
    }
}

const PER_TARGET: [PerTarget; 16] = [
    PerTarget {
        name: "heartprobe_target_up",
        kind: "gauge",
        help: "Whether the target answers, in time or late.",
        value: |reading| Some(Value::Number(reading.verdict.state.is_up().into())),
    },
    PerTarget {
        name: "heartprobe_target_state",
        kind: "gauge",
        help: "The verdict: 0 pending, 1 up, 2 overloaded, 3 critical, 4 dead, 5 zombie, 6 unknown.",
        value: |reading| Some(Value::Number(reading.verdict.state as u32)),
    },
    PerTarget {
        name: "heartprobe_target_missed",
        kind: "gauge",
        help: "Pings missed in a row.",
        value: |reading| Some(Value::Number(reading.missed)),
    },
    PerTarget {
        name: "heartprobe_target_rtt_seconds",
        kind: "gauge",
        help: "Round-trip time of the newest pong.",
        value: |reading| reading.rtt().map(Value::Seconds),
    },
    PerTarget {
        name: "heartprobe_target_pings_total",
        kind: "counter",
        help: "Pings sent.",
        value: |reading| Some(Value::Number(reading.pings)),
    },
    PerTarget {
        name: "heartprobe_target_pongs_total",
        kind: "counter",
        help: "Pings answered within the timeout, late ones among them.",
        value: |reading| Some(Value::Number(reading.pongs())),
    },
    PerTarget {
        name: "heartprobe_target_late_total",
        kind: "counter",
        help: "Pings answered within the timeout, but after late_after.",
        value: |reading| Some(Value::Number(reading.late)),
    },
    PerTarget {
        name: "heartprobe_target_boots_total",
        kind: "counter",
        help: "How often the host has booted anew.",
        value: |reading| reading.boots().map(Value::Number),
    },
    PerTarget {
        name: "heartprobe_target_cpu_load_ratio",
        kind: "gauge",
        help: "CPU load of the host, as its last pong told it.",
        value: |reading| reading.health()[0].map(Value::Ratio),
    },
    PerTarget {
        name: "heartprobe_target_memory_used_ratio",
        kind: "gauge",
        help: "Memory used of the host, as its last pong told it.",
        value: |reading| reading.health()[1].map(Value::Ratio),
    },
    PerTarget {
        name: "heartprobe_target_beats_arrive",
        kind: "gauge",
        help: "Whether beats of its services arrive; not there if it has none.",
        value: |reading| Some(Value::Number(reading.verdict.beats?.into())),
    },
    PerTarget {
        name: "heartprobe_target_clock_offset_seconds",
        kind: "gauge",
        help: "By how much the host's clock is ahead of the monitor's; true to half of the round-trip time.",
        value: |reading| reading.clock_offset().map(Value::Offset),
    },
    PerTarget {
        name: "heartprobe_target_forward_delay_seconds",
        kind: "gauge",
        help: "What the way to the host took; not there if the clocks cannot tell.",
        value: |reading| reading.ways().map(|ways| Value::Seconds(ways.forward)),
    },
    PerTarget {
        name: "heartprobe_target_return_delay_seconds",
        kind: "gauge",
        help: "What the way back from the host took; not there if the clocks cannot tell.",
        value: |reading| reading.ways().map(|ways| Value::Seconds(ways.back)),
    },
    PerTarget {
        name: "heartprobe_target_path_loss_ratio",
        kind: "gauge",
        help: "Share of the last pings lost by the path that loses more than the others; not there if none does.",
        value: |reading| reading.worst_path().map(|worst| Value::Ratio(worst.loss)),
    },
    PerTarget {
        name: "heartprobe_target_path_source_port",
        kind: "gauge",
        help: "The source port of the path that loses more than the others; not there if none does.",
        value: |reading| {
            let worst = reading.worst_path()?;
            Some(Value::Number(reading.source_port(worst.path).into()))
        },
    },
];

/// Writes every metric.
///
/// # Errors
/// Those of `out`.
pub fn write(
    out: &mut impl Write,
    snapshot: &Snapshot<'_>,
    received: &Received,
    vitals: &Vitals,
) -> io::Result<()> {
    let mut text = Text::new(out);
    targets(&mut text, snapshot)?;
    targets_by_state(&mut text, snapshot)?;
    rtt(&mut text, &snapshot.fleet, received)?;
    pongs(&mut text, received)?;
    services::write(&mut text, snapshot)?;
    beats(&mut text, received)?;
    state_changes(&mut text, vitals)?;
    engines(&mut text, vitals)?;
    let out = text.finish()?;
    let encoded = TextEncoder::new().encode(&vitals.gather(), out);
    encoded.map_err(|error| match error {
        prometheus::Error::Io(error) => error,
        other => io::Error::other(other),
    })
}

fn targets(text: &mut Text<'_, impl Write>, snapshot: &Snapshot<'_>) -> io::Result<()> {
    let groups = &snapshot.fleet.groups;
    let after: Vec<_> = groups.iter().map(further_labels).collect();
    let detailed = snapshot.detailed();
    for family in &PER_TARGET {
        text.family(family.name, family.kind, family.help);
        let before = up_to_target(family.name, groups);
        for reading in snapshot.readings(detailed.as_deref()) {
            let Some(value) = (family.value)(&reading) else {
                continue;
            };
            let group = reading.class.group as usize;
            text.push(&before[group]);
            text.target(reading.target.label());
            text.push(&after[group]);
            text.value(&value);
            text.end()?;
        }
    }
    Ok(())
}

/// What stands before the value of the `target` label of a family's samples, by group.
fn up_to_target(family: &str, groups: &[Group]) -> Vec<Vec<u8>> {
    let of_group = |group: &Group| {
        let mut line = text::series(family, [("group", &*group.name)]);
        line.extend_from_slice(b",target=\"");
        line
    };
    groups.iter().map(of_group).collect()
}

/// What stands behind the `target` label of each sample of a group.
fn further_labels(group: &Group) -> Vec<u8> {
    let mut labels = Vec::from(b"\"");
    for (name, value) in &group.labels {
        labels.push(b',');
        text::label(&mut labels, name, value);
    }
    labels.extend_from_slice(b"} ");
    labels
}

/// Groups that a reload removed are not shown.
fn shown(fleet: &Fleet) -> impl Iterator<Item = (usize, &Group)> {
    let groups = fleet.groups.iter().enumerate();
    groups.filter(|(_, group)| !group.gone)
}

fn targets_by_state(text: &mut Text<'_, impl Write>, snapshot: &Snapshot<'_>) -> io::Result<()> {
    let name = "heartprobe_targets";
    text.family(name, "gauge", "Targets by group and state.");
    by_state(text, name, &snapshot.fleet, &snapshot.by_state())
}

/// A sample for each group and state.
fn by_state(
    text: &mut Text<'_, impl Write>,
    name: &str,
    fleet: &Fleet,
    counts: &[[u64; State::ALL.len()]],
) -> io::Result<()> {
    for (number, group) in shown(fleet) {
        for state in State::ALL {
            let labels = [("group", &*group.name), ("state", state.name())];
            text.sample(name, labels, counts[number][state as usize])?;
        }
    }
    Ok(())
}

fn rtt(text: &mut Text<'_, impl Write>, fleet: &Fleet, received: &Received) -> io::Result<()> {
    let name = "heartprobe_rtt_seconds";
    text.family(
        name,
        "histogram",
        "Round-trip times of the pongs that count.",
    );
    // Exact: both are whole numbers, and what Rust prints is the shortest number that reads back as the quotient.
    let bounds = RTT_BOUNDS_NS.map(|bound| (f64::from(bound) / 1e9).to_string());
    let bounds = || bounds.iter().map(String::as_str).chain(["+Inf"]);
    let none = Histogram::default();
    for (number, group) in shown(fleet) {
        let histogram = received.rtt.get(number).unwrap_or(&none);
        let group = ("group", &*group.name);
        let mut count = 0;
        for (bucket, le) in histogram.buckets.iter().zip(bounds()) {
            count += bucket;
            text.sample("heartprobe_rtt_seconds_bucket", [group, ("le", le)], count)?;
        }
        text.series("heartprobe_rtt_seconds_sum", [group]);
        text.seconds(histogram.sum_ns);
        text.end()?;
        text.sample("heartprobe_rtt_seconds_count", [group], count)?;
    }
    Ok(())
}

fn pongs(text: &mut Text<'_, impl Write>, received: &Received) -> io::Result<()> {
    let name = "heartprobe_pongs_total";
    text.family(name, "counter", "Pongs received, by what became of them.");
    for fate in Fate::ALL {
        let count = received.fates[fate as usize];
        text.sample(name, [("fate", fate.name())], count)?;
    }
    Ok(())
}

fn beats(text: &mut Text<'_, impl Write>, received: &Received) -> io::Result<()> {
    let name = "heartprobe_beats_total";
    text.family(name, "counter", "Beats received, by what became of them.");
    for fate in BeatFate::ALL {
        let count = received.beats[fate as usize];
        text.sample(name, [("fate", fate.name())], count)?;
    }
    Ok(())
}

fn state_changes(text: &mut Text<'_, impl Write>, vitals: &Vitals) -> io::Result<()> {
    let name = "heartprobe_state_changes_total";
    text.family(
        name,
        "counter",
        "Changes of state, by group and the new state.",
    );
    for group in vitals.changes().iter().filter(|group| !group.gone) {
        for state in State::ALL {
            let labels = [("group", &*group.name), ("state", state.name())];
            text.sample(name, labels, group.count(state))?;
        }
    }
    Ok(())
}

fn engines(text: &mut Text<'_, impl Write>, vitals: &Vitals) -> io::Result<()> {
    let name = "heartprobe_engine_info";
    text.family(
        name,
        "gauge",
        "1; how pings leave by an interface and how pongs are taken from it.",
    );
    for engine in vitals.engines().iter() {
        let labels = [
            ("interface", &*engine.interface),
            ("transmit", engine.transmit.name()),
            ("receive", engine.receive.name()),
        ];
        text.sample(name, labels, 1)?;
    }
    Ok(())
}
